"""From names in a config to objects; the only place that does this."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae import data, flows, likelihoods
from jaxvae._typing import Key, Scalar
from jaxvae.config import Config, FlowConfig
from jaxvae.decoders import DenseDecoder
from jaxvae.encoders import DenseEncoder
from jaxvae.estimators import Estimate, importance_log_likelihood
from jaxvae.evaluate import make_evaluator
from jaxvae.flows import Flow
from jaxvae.likelihoods import Likelihood
from jaxvae.model import VAE, log_weight, make_log_weight
from jaxvae.nn import initialize_from_data
from jaxvae.objectives import elbo
from jaxvae.posteriors import FlowPosterior, GaussianPosterior
from jaxvae.priors import FlowPrior, StandardNormal
from jaxvae.train import TrainState, init_state, make_optimizer, make_train_step
from jaxvae.train.optimizers import make_schedule
from jaxvae.train.step import TrainStep

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
}
FLOWS = {
    "iaf": flows.make_iaf,
    "naf": flows.make_naf,
    "spline": flows.make_spline,
    "planar": flows.make_planar,
    "sylvester-orthogonal": partial(flows.make_sylvester, basis="orthogonal"),
    "sylvester-householder": partial(flows.make_sylvester, basis="householder"),
    "sylvester-triangular": partial(flows.make_sylvester, basis="identity"),
}
LIKELIHOODS = {"bernoulli": likelihoods.Bernoulli, "grey-bernoulli": likelihoods.Bernoulli}


def make_key(config: Config, purpose: str) -> Key:
    """The root key of one purpose; no two purposes share a draw."""
    purposes = ("model", "train", "monitor", "evaluate", "initialize")
    return jax.random.fold_in(jax.random.key(config.seed), purposes.index(purpose))


def build_dataset(config: Config) -> data.Dataset:
    """Reads the data set."""
    config.check()
    source = config.data.dir or "mnist"
    return data.load_dataset(
        source, binarization=config.data.binarization, num_validation=config.data.num_validation
    )


def build_model(config: Config, image_shape: tuple[int, ...], key: Key) -> VAE:
    """The model with fresh weights, for images of shape `(C, H, W)`."""
    encoder_key, decoder_key, posterior_key, prior_key = jax.random.split(key, 4)
    dtype = jnp.dtype(config.precision)
    latent_dim = config.model.latent_dim
    context_dim = config.posterior.context_dim or latent_dim
    encoder = DenseEncoder(
        image_shape,
        latent_dim,
        config.encoder.widths,
        activation=ACTIVATIONS[config.encoder.activation],
        init=config.encoder.init,
        scale=config.encoder.scale,
        context_dim=0 if config.posterior.flow == "none" else context_dim,
        dtype=dtype,
        key=encoder_key,
    )
    decoder = DenseDecoder(
        latent_dim,
        image_shape,
        config.decoder.widths,
        activation=ACTIVATIONS[config.decoder.activation],
        init=config.decoder.init,
        dtype=dtype,
        key=decoder_key,
    )
    posterior, prior = GaussianPosterior(encoder), StandardNormal(latent_dim)
    if config.posterior.flow != "none":
        flow = build_flow(config.posterior, latent_dim, context_dim, dtype, posterior_key)
        posterior = FlowPosterior(encoder, flow)
    if config.prior.flow != "none":
        prior = FlowPrior(latent_dim, build_flow(config.prior, latent_dim, 0, dtype, prior_key))
    return VAE(posterior, prior, Likelihood(decoder, LIKELIHOODS[config.model.likelihood]))


def build_flow(config: FlowConfig, latent_dim: int, context_dim: int, dtype, key: Key) -> Flow:
    """A flow of latents `(D,)` and contexts `(F,)`, by its name."""
    options = config.options()
    if "activation" in options:
        options["activation"] = ACTIVATIONS[options["activation"]]
    return FLOWS[config.flow](latent_dim, context_dim=context_dim, dtype=dtype, key=key, **options)


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """The optimiser with its schedule."""
    options = config.optimizer
    schedule = make_schedule(
        options.schedule,
        options.learning_rate,
        num_steps=config.steps,
        warmup_steps=options.warmup_steps,
        decay_every=options.decay_every,
        decay_factor=options.decay_factor,
    )
    return make_optimizer(
        options.name,
        schedule,
        weight_decay=options.weight_decay,
        max_gradient_norm=options.max_gradient_norm,
    )


def negative_elbo(model: VAE, key: Key, x, y) -> Scalar:
    """The loss of one example, in nats."""
    return -elbo(make_log_weight(model, x, y), key)


def build_training(
    config: Config, image_shape: tuple[int, ...], images: np.ndarray | None = None
) -> tuple[TrainState, TrainStep]:
    """The state before the first step, and the step.

    Args:
        config: of the run.
        image_shape: `(C, H, W)`.
        images: training images `(N, C, H, W)`, whose first batch initialises what is weight-normalised;
            None where the state is only what a checkpoint is read into.
    """
    config.check()
    optimizer = build_optimizer(config)
    decay = config.optimizer.ema_decay
    model = build_model(config, image_shape, make_key(config, "model"))
    if images is not None:
        prepare_key, draws_key = jax.random.split(make_key(config, "initialize"))
        prepare = data.make_prepare(config.data.binarization, training=True)
        x = prepare(prepare_key, jnp.asarray(images[: config.batch_size]))
        model = initialize_from_data(model, log_weight, jax.random.split(draws_key, len(x)), x)
    state = init_state(model, optimizer, make_key(config, "train"), ema=decay is not None)
    return state, make_train_step(negative_elbo, optimizer, ema_decay=decay)


def build_evaluator(config: Config, num_samples: int, *, training: bool = False):
    """The importance-sampling evaluator of stored images, with batches and chunks that suit the device.

    Args:
        config: whose settings to use.
        num_samples: K.
        training: whether the images are training images, which `dynamic` binarises afresh.
    """
    batch_size, chunk_size = (100, 40) if jax.default_backend() == "cpu" else (1000, 50)
    if config.evaluate.batch_size is not None:
        batch_size = config.evaluate.batch_size
    if config.evaluate.chunk_size is not None:
        chunk_size = config.evaluate.chunk_size
    prepare = data.make_prepare(config.data.binarization, training=training)

    def estimate(model: VAE, key: Key, image, y) -> Estimate:
        prepare_key, draws_key = jax.random.split(key)
        log_weight_fn = make_log_weight(model, prepare(prepare_key, image), y)
        return importance_log_likelihood(
            log_weight_fn, draws_key, num_samples=num_samples, chunk_size=chunk_size
        )

    return make_evaluator(estimate, batch_size=batch_size)
