"""x, y -> location and scale of q(z | x, y), context for a flow; y -> location and scale of p(z | y)."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive
from jaxvae._typing import Context, Image, Key, Label, Latent
from jaxvae.labels import expect_label
from jaxvae.nn import MLP, GatedConvDown, Linear, ResNetDown

# Beyond it a scale is 0 or infinite before long, and the log-weight not finite.
_LARGEST_LOG_SCALE = 15.0


def _exp(x: Array) -> Array:
    return jnp.exp(jnp.clip(x, -_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE))


# What turns the encoder's last layer into a positive scale.
SCALES: dict[str, Callable[[Array], Array]] = {"softplus": jax.nn.softplus, "exp": _exp}


class Encoding(NamedTuple):
    """What every encoder returns: `loc (D,)`, `scale (D,)` and `context (F,)` or None."""

    loc: Latent
    scale: Latent
    context: Context | None


@dataclasses.dataclass(frozen=True)
class _Head:
    """From the last layer's outputs to an `Encoding`."""

    latent_dim: int
    scale: str
    scale_bias: float

    def __post_init__(self):
        expect_positive("latent_dim", self.latent_dim)
        expect_choice("scale", self.scale, SCALES)

    def __call__(self, outputs: Float[Array, " 2D+F"]) -> Encoding:
        loc, raw_scale, context = jnp.split(outputs, (self.latent_dim, 2 * self.latent_dim))
        scale = SCALES[self.scale](raw_scale + self.scale_bias)
        return Encoding(loc, scale, context if len(context) else None)


class DenseEncoder(eqx.Module):
    """A fully connected encoder.

    Args:
        image_shape: `(C, H, W)` of the images.
        latent_dim: D.
        widths: of the hidden layers.
        activation: between the layers.
        init: `he` or `uniform`, as in `nn.MLP`.
        skip: whether the image is given to every layer, as in `nn.MLP`.
        weight_norm: of every layer.
        scale: `softplus` or `exp`, from the last layer to the standard deviation; the argument of `exp` is
            clipped to +-15.
        scale_bias: added before that; below 0 for a posterior that starts narrow.
        context_dim: F, the size of the context for a flow; 0 for none.
        label_dim: Y, the size of the labels that are appended to the image; 0 for none.
        dtype: of the operands of the matrix products.
        key: for the initial weights.

    Raises:
        ValueError: if `scale` is unknown or a size is not positive; from the call, if there is a label and
            should be none, or the other way round.
    """

    mlp: MLP
    image_shape: tuple[int, ...] = eqx.field(static=True)
    label_dim: int = eqx.field(static=True)
    head: _Head = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, ...],
        latent_dim: int,
        widths: Sequence[int] = (512, 512),
        *,
        activation: Callable = jax.nn.relu,
        init: str = "he",
        skip: bool = False,
        weight_norm: bool = False,
        scale: str = "softplus",
        scale_bias: float = 0.0,
        context_dim: int = 0,
        label_dim: int = 0,
        dtype=jnp.float32,
        key: Key,
    ):
        self.image_shape, self.label_dim = tuple(image_shape), label_dim
        self.head = _Head(latent_dim, scale, scale_bias)
        sizes = (math.prod(image_shape) + label_dim, *widths, 2 * latent_dim + context_dim)
        options = {"init": init, "skip": skip, "weight_norm": weight_norm, "dtype": dtype}
        self.mlp = MLP(sizes, activation, key=key, **options)

    def __call__(self, x: Image, y: Label | None = None) -> Encoding:
        """Encodes one image."""
        chex.assert_shape(x, self.image_shape)
        expect_label(y, self.label_dim)
        features = x.ravel() if y is None else jnp.concatenate([x.ravel(), y])
        return self.head(self.mlp(features))


class ConvEncoder(eqx.Module):
    """A convolutional network and one dense layer, to the location, the scale and the context.

    Args:
        network: from an image `(H, W, C)` to features; any other with a `feature_dim` will do as well.
        image_shape: `(C, H, W)` of the images.
        latent_dim: D.
        weight_norm: of the dense layer.
        scale: `softplus` or `exp`, from the last layer to the standard deviation; the argument of `exp` is
            clipped to +-15.
        scale_bias: added before that; below 0 for a posterior that starts narrow.
        context_dim: F, the size of the context for a flow; 0 for none.
        label_dim: Y, the size of the labels that are appended to the features; 0 for none.
        dtype: of the operands of the dense layer's product.
        key: for the dense layer's initial weights.

    Raises:
        ValueError: if `scale` is unknown or a size is not positive; from the call, if there is a label and
            should be none, or the other way round.
    """

    network: ResNetDown | GatedConvDown
    dense: Linear
    image_shape: tuple[int, ...] = eqx.field(static=True)
    label_dim: int = eqx.field(static=True)
    head: _Head = eqx.field(static=True)

    def __init__(
        self,
        network: ResNetDown | GatedConvDown,
        image_shape: tuple[int, ...],
        latent_dim: int,
        *,
        weight_norm: bool = True,
        scale: str = "exp",
        scale_bias: float = -3.0,
        context_dim: int = 0,
        label_dim: int = 0,
        dtype=jnp.float32,
        key: Key,
    ):
        self.network, self.image_shape, self.label_dim = network, tuple(image_shape), label_dim
        self.head = _Head(latent_dim, scale, scale_bias)
        sizes = network.feature_dim + label_dim, 2 * latent_dim + context_dim
        self.dense = Linear(*sizes, weight_norm=weight_norm, dtype=dtype, key=key)

    def __call__(self, x: Image, y: Label | None = None) -> Encoding:
        """Encodes one image."""
        chex.assert_shape(x, self.image_shape)
        expect_label(y, self.label_dim)
        features = self.network(jnp.moveaxis(x, 0, -1))
        return self.head(self.dense(features if y is None else jnp.concatenate([features, y])))


class LabelEncoder(eqx.Module):
    """From a label alone to a location and a scale.

    Of one-hot labels, and without hidden layers, it is a table, as general as any network.

    Args:
        label_dim: Y, the size of the labels.
        latent_dim: D.
        widths: of the hidden layers, with ReLU.
        scale: `softplus` or `exp`, from the last layer to the standard deviation; the argument of `exp` is
            clipped to +-15.
        key: for the initial weights.

    Raises:
        ValueError: if `scale` is unknown or a size is not positive; from the call, if there is no label.
    """

    mlp: MLP
    label_dim: int = eqx.field(static=True)
    head: _Head = eqx.field(static=True)

    def __init__(
        self, label_dim: int, latent_dim: int, widths: Sequence[int] = (), *, scale: str = "exp", key: Key
    ):
        self.label_dim, self.head = label_dim, _Head(latent_dim, scale, 0.0)
        self.mlp = MLP((label_dim, *widths, 2 * latent_dim), key=key)

    def __call__(self, y: Label | None = None) -> Encoding:
        """Encodes one label."""
        expect_label(y, self.label_dim)
        return self.head(self.mlp(jnp.asarray(y)))
