"""From names in a config to objects; the only place that does this."""

import jax
import jax.numpy as jnp
import optax

from jaxvae import data, likelihoods
from jaxvae._typing import Key, Scalar
from jaxvae.config import Config
from jaxvae.decoders import DenseDecoder
from jaxvae.encoders import DenseEncoder
from jaxvae.estimators import Estimate, importance_log_likelihood
from jaxvae.evaluate import make_evaluator
from jaxvae.likelihoods import Likelihood
from jaxvae.model import VAE, make_log_weight
from jaxvae.objectives import elbo
from jaxvae.posteriors import GaussianPosterior
from jaxvae.priors import StandardNormal
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
LIKELIHOODS = {"bernoulli": likelihoods.Bernoulli, "grey-bernoulli": likelihoods.Bernoulli}


def make_key(config: Config, purpose: str) -> Key:
    """The root key of one purpose; no two purposes share a draw."""
    purposes = ("model", "train", "monitor", "evaluate")
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
    encoder_key, decoder_key = jax.random.split(key)
    dtype = jnp.dtype(config.precision)
    latent_dim = config.model.latent_dim
    encoder = DenseEncoder(
        image_shape,
        latent_dim,
        config.encoder.widths,
        activation=ACTIVATIONS[config.encoder.activation],
        init=config.encoder.init,
        scale=config.encoder.scale,
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
    return VAE(
        posterior=GaussianPosterior(encoder),
        prior=StandardNormal(latent_dim),
        likelihood=Likelihood(decoder, LIKELIHOODS[config.model.likelihood]),
    )


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


def build_training(config: Config, image_shape: tuple[int, ...]) -> tuple[TrainState, TrainStep]:
    """The state before the first step, and the step."""
    config.check()
    optimizer = build_optimizer(config)
    decay = config.optimizer.ema_decay
    model = build_model(config, image_shape, make_key(config, "model"))
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
