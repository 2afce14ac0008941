"""Models, and the parts of them, by their names."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxvae import flows, likelihoods, nn
from jaxvae._checks import expect_choice, expect_positive, expected
from jaxvae._typing import Key
from jaxvae.config import Config, DecoderConfig, EncoderConfig, FlowConfig, Options
from jaxvae.decoders import ConvDecoder, DenseDecoder
from jaxvae.encoders import ConvEncoder, DenseEncoder, LabelEncoder
from jaxvae.flows import Flow
from jaxvae.labels import WithEmbedding
from jaxvae.likelihoods import Likelihood, Recipe
from jaxvae.model import VAE
from jaxvae.nn.activations import elu
from jaxvae.pixelcnn import PixelCNNLikelihood
from jaxvae.posteriors import FlowPosterior, GaussianPosterior
from jaxvae.priors import FlowPrior, GaussianPrior, StandardNormal

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
# name -> make(options), with the number of decoder maps for each channel and what they parameterise
LIKELIHOODS: dict[str, Callable[..., Recipe]] = {
    "bernoulli": partial(Recipe, 1, likelihoods.Bernoulli),
    "grey-bernoulli": partial(Recipe, 1, likelihoods.Bernoulli),
    "continuous-bernoulli": partial(Recipe, 1, likelihoods.ContinuousBernoulli),
    "gaussian": likelihoods.make_gaussian,
    "discretized-logistic": partial(Recipe, 2, likelihoods.discretized_logistic),
    "logistic-mixture": likelihoods.make_logistic_mixture,
    "categorical": partial(Recipe, 256, likelihoods.categorical),
}

# The size of an embedded label where none is given.
_LABEL_DIM = 32


def build_model(config: Config, image_shape: tuple[int, ...], key: Key, num_classes: int = 0) -> VAE:
    """The model with fresh weights, of images `(C, H, W)` and, where it is conditional, labels `(Y,)`.

    Raises:
        ValueError: if its parts do not fit the data or each other, or the device has no bfloat16.
    """
    if config.precision == "bfloat16":
        _expect_bfloat16()
    keys = jax.random.split(key, 8)
    labels = _Labels(config, num_classes)
    latent_dim, dtype = config.model.latent_dim, jnp.dtype(config.precision)
    context_dim = 0 if config.posterior.flow == "none" else config.posterior.context_dim or latent_dim
    sizes = (latent_dim, context_dim, labels.size)
    encoder = labels.embed(build_encoder(config.encoder, image_shape, *sizes, dtype, keys[0]), keys[4])
    posterior, prior = GaussianPosterior(encoder), StandardNormal(latent_dim)
    if config.posterior.flow != "none":
        flow = build_flow(config.posterior, latent_dim, context_dim, dtype, keys[2])
        posterior = FlowPosterior(encoder, flow)
    if config.model.learned_prior:
        prior = GaussianPrior(labels.embed(LabelEncoder(labels.size, latent_dim, key=keys[5]), keys[6]))
    if config.prior.flow != "none":
        prior = FlowPrior(prior, build_flow(config.prior, latent_dim, 0, dtype, keys[3]))
    return VAE(posterior, prior, build_likelihood(config, image_shape, labels, dtype, (keys[1], keys[7])))


class _Labels:
    """How large the labels are that the parts of a model take, and what makes them."""

    def __init__(self, config: Config, num_classes: int):
        self._num_classes, self._embedded = num_classes, config.model.labels == "embedded"
        if config.model.labels != "none":
            expect_positive("the number of classes of the data set", num_classes)
        sizes = {"none": 0, "one-hot": num_classes, "embedded": config.model.label_dim or _LABEL_DIM}
        self.size = sizes[config.model.labels]

    def embed(self, part: Callable[..., Any], key: Key) -> Callable[..., Any]:
        """The part itself, or with an embedding of its own."""
        return WithEmbedding(part, self._num_classes, self.size, key=key) if self._embedded else part


def _expect_bfloat16() -> None:
    try:
        jax.block_until_ready(jax.jit(jnp.dot)(*2 * [jnp.ones((8, 8), jnp.bfloat16)]))
    except jax.errors.JaxRuntimeError as error:
        device = jax.devices()[0].device_kind
        raise expected("a device that multiplies in bfloat16", "(or --precision float32)", device) from error


def build_encoder(
    config: EncoderConfig,
    image_shape: tuple[int, ...],
    latent_dim: int,
    context_dim: int,
    label_dim: int,
    dtype,
    key: Key,
) -> DenseEncoder | ConvEncoder:
    """An encoder by the name of its network."""
    options = _resolved(config)
    sizes = {"context_dim": context_dim, "label_dim": label_dim, "dtype": dtype}
    if config.network == "dense":
        return DenseEncoder(image_shape, latent_dim, **sizes, key=key, **options)
    network_key, dense_key = jax.random.split(key)
    given = {name: options.pop(name) for name in ("scale", "scale_bias") if name in options}
    given |= {name: options[name] for name in ("weight_norm",) if name in options}
    network = DOWN[config.network](image_shape, dtype=dtype, key=network_key, **options)
    return ConvEncoder(network, image_shape, latent_dim, **sizes, key=dense_key, **given)


def build_decoder(
    config: DecoderConfig, latent_dim: int, label_dim: int, out_shape: tuple[int, ...], dtype, key: Key
) -> DenseDecoder | ConvDecoder:
    """A decoder to `(maps, H, W)` by the name of its network."""
    options = _resolved(config)
    if config.network == "dense":
        return DenseDecoder(latent_dim, out_shape, label_dim=label_dim, dtype=dtype, key=key, **options)
    network = UP[config.network](latent_dim + label_dim, out_shape, dtype=dtype, key=key, **options)
    return ConvDecoder(network, label_dim)


def build_likelihood(
    config: Config, image_shape: tuple[int, ...], labels: _Labels, dtype, keys: tuple[Key, Key]
) -> Likelihood | PixelCNNLikelihood:
    """The decoder and what its output says about the pixels."""

    def decoder(out_shape: tuple[int, ...], key: Key) -> Callable[..., Any]:
        sizes = (config.model.latent_dim, labels.size)
        return labels.embed(build_decoder(config.decoder, *sizes, out_shape, dtype, key), keys[1])

    if config.pixelcnn.model == "none":
        recipe = _pixels(config)
        out_shape = (recipe.num_maps * image_shape[0], *image_shape[1:])
        return Likelihood(decoder(out_shape, keys[0]), recipe.distribution)
    expect_choice("the likelihood of a PixelCNN", config.likelihood.name, ["bernoulli"])
    options, (decoder_key, pixels_key) = _resolved(config.pixelcnn), jax.random.split(keys[0])
    context_shape = (options.pop("context_maps", 32), *image_shape[1:])
    pixelcnn = nn.PixelCNN(image_shape, context_shape[0], dtype=dtype, key=pixels_key, **options)
    return PixelCNNLikelihood(decoder(context_shape, decoder_key), pixelcnn)


def _pixels(config: Config) -> Recipe:
    return LIKELIHOODS[config.likelihood.name](**config.likelihood.options())


def num_pixel_maps(config: Config) -> int:
    """How many maps of the decoder's say what each channel of the pixels is."""
    return _pixels(config).num_maps


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
