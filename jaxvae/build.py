"""From names in a config to objects; the only place that does this."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae import data, flows, likelihoods, nn
from jaxvae._checks import expect_choice, expected
from jaxvae._typing import Key, Scalar
from jaxvae.config import Config, DecoderConfig, EncoderConfig, FlowConfig, Options
from jaxvae.decoders import ConvDecoder, DenseDecoder
from jaxvae.encoders import ConvEncoder, DenseEncoder
from jaxvae.estimators import Estimate, importance_log_likelihood
from jaxvae.evaluate import make_evaluator
from jaxvae.flows import Flow
from jaxvae.likelihoods import Likelihood
from jaxvae.model import VAE, log_weight, make_log_weight, make_log_weight_terms, posterior_divergence
from jaxvae.nn import initialize_from_data
from jaxvae.nn.activations import elu
from jaxvae.objectives import elbo_terms, make_loss
from jaxvae.pixelcnn import PixelCNNLikelihood
from jaxvae.posteriors import FlowPosterior, GaussianPosterior
from jaxvae.priors import FlowPrior, StandardNormal
from jaxvae.train import TrainState, init_state, make_optimizer, make_train_step
from jaxvae.train.optimizers import make_schedule
from jaxvae.train.step import TrainStep

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
    "elu": elu,
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
DOWN = {"resnet": nn.ResNetDown, "gated-conv": nn.GatedConvDown}
UP = {"resnet": nn.ResNetUp, "gated-conv": nn.GatedConvUp}
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
    """The model with fresh weights, for images of shape `(C, H, W)`.

    Raises:
        ValueError: if its parts do not fit the images or each other, or the device has no bfloat16.
    """
    if config.precision == "bfloat16":
        _expect_bfloat16()
    encoder_key, decoder_key, posterior_key, prior_key = jax.random.split(key, 4)
    latent_dim, dtype = config.model.latent_dim, jnp.dtype(config.precision)
    context_dim = 0 if config.posterior.flow == "none" else config.posterior.context_dim or latent_dim
    encoder = build_encoder(config.encoder, image_shape, latent_dim, context_dim, dtype, encoder_key)
    posterior, prior = GaussianPosterior(encoder), StandardNormal(latent_dim)
    if config.posterior.flow != "none":
        flow = build_flow(config.posterior, latent_dim, context_dim, dtype, posterior_key)
        posterior = FlowPosterior(encoder, flow)
    if config.prior.flow != "none":
        prior = FlowPrior(latent_dim, build_flow(config.prior, latent_dim, 0, dtype, prior_key))
    return VAE(posterior, prior, build_likelihood(config, image_shape, dtype, decoder_key))


def _expect_bfloat16() -> None:
    try:
        jax.block_until_ready(jax.jit(jnp.dot)(*2 * [jnp.ones((8, 8), jnp.bfloat16)]))
    except jax.errors.JaxRuntimeError as error:
        device = jax.devices()[0].device_kind
        raise expected("a device that multiplies in bfloat16", "(or --precision float32)", device) from error


def build_encoder(
    config: EncoderConfig, image_shape: tuple[int, ...], latent_dim: int, context_dim: int, dtype, key: Key
) -> DenseEncoder | ConvEncoder:
    """An encoder by the name of its network."""
    options = _resolved(config)
    if config.network == "dense":
        return DenseEncoder(image_shape, latent_dim, context_dim=context_dim, dtype=dtype, key=key, **options)
    network_key, dense_key = jax.random.split(key)
    given = {name: options.pop(name) for name in ("scale", "scale_bias") if name in options}
    given |= {name: options[name] for name in ("weight_norm",) if name in options}
    network = DOWN[config.network](image_shape, dtype=dtype, key=network_key, **options)
    return ConvEncoder(
        network, image_shape, latent_dim, context_dim=context_dim, dtype=dtype, key=dense_key, **given
    )


def build_decoder(
    config: DecoderConfig, latent_dim: int, out_shape: tuple[int, ...], dtype, key: Key
) -> DenseDecoder | ConvDecoder:
    """A decoder to `(maps, H, W)` by the name of its network."""
    options = _resolved(config)
    if config.network == "dense":
        return DenseDecoder(latent_dim, out_shape, dtype=dtype, key=key, **options)
    return ConvDecoder(UP[config.network](latent_dim, out_shape, dtype=dtype, key=key, **options))


def build_likelihood(
    config: Config, image_shape: tuple[int, ...], dtype, key: Key
) -> Likelihood | PixelCNNLikelihood:
    """The decoder and what its output says about the pixels."""
    latent_dim = config.model.latent_dim
    if config.pixelcnn.model == "none":
        decoder = build_decoder(config.decoder, latent_dim, image_shape, dtype, key)
        return Likelihood(decoder, LIKELIHOODS[config.model.likelihood])
    expect_choice("the likelihood of a PixelCNN", config.model.likelihood, ["bernoulli"])
    options, (decoder_key, pixels_key) = _resolved(config.pixelcnn), jax.random.split(key)
    context_shape = (options.pop("context_maps", 32), *image_shape[1:])
    decoder = build_decoder(config.decoder, latent_dim, context_shape, dtype, decoder_key)
    pixelcnn = nn.PixelCNN(image_shape, context_shape[0], dtype=dtype, key=pixels_key, **options)
    return PixelCNNLikelihood(decoder, pixelcnn)


def _resolved(config: Options) -> dict[str, Any]:
    """What was given, with objects in the place of names."""
    options = config.options()
    if "activation" in options:
        options["activation"] = ACTIVATIONS[options["activation"]]
    return options


def build_flow(config: FlowConfig, latent_dim: int, context_dim: int, dtype, key: Key) -> Flow:
    """A flow of latents `(D,)` and contexts `(F,)`, by its name."""
    options = _resolved(config) | {"context_dim": context_dim}
    return FLOWS[config.flow](latent_dim, dtype=dtype, key=key, **options)


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


def make_loss_terms(config: Config) -> Callable[[VAE, Key, Any, Any], dict[str, Scalar]]:
    """The terms of one example's loss: with consistency regularisation, x comes with its augmentation."""

    def loss_terms(model: VAE, key: Key, x, y) -> dict[str, Scalar]:
        return elbo_terms(make_log_weight_terms(model, x, y), key)

    def with_consistency(model: VAE, key: Key, pair, y) -> dict[str, Scalar]:
        key, draw_key = jax.random.split(key)
        terms = loss_terms(model, key, pair[0], y)
        x, augmented = pair
        return {**terms, "consistency": posterior_divergence(model, draw_key, x, augmented, y)}

    return with_consistency if config.objective.consistency else loss_terms


def build_prepare(config: Config) -> Callable[[Key, Any], Any]:
    """From the stored training images to what the loss takes."""
    if config.objective.consistency:
        return data.make_prepare_pair(config.data.binarization)
    return data.make_prepare(config.data.binarization, training=True)


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
    combine = make_loss(**dataclasses.asdict(config.objective))
    step = make_train_step(
        make_loss_terms(config), optimizer, combine=combine, ema_decay=decay, num_parts=config.num_parts
    )
    return state, step


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
