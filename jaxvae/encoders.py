"""x, y -> the location and scale of q(z | x, y), and what a flow may be conditioned on."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxvae._checks import expect_choice
from jaxvae._typing import Context, Image, Key, Label, Latent
from jaxvae.nn import MLP

# What turns the encoder's last layer into a positive scale.
SCALES: dict[str, Callable[[Array], Array]] = {"softplus": jax.nn.softplus, "exp": jnp.exp}


class Encoding(NamedTuple):
    """What every encoder returns: `loc (D,)`, `scale (D,)` and `context (F,)` or None."""

    loc: Latent
    scale: Latent
    context: Context | None


class DenseEncoder(eqx.Module):
    """A fully connected encoder.

    Args:
        image_shape: `(C, H, W)` of the images.
        latent_dim: D.
        widths: of the hidden layers.
        activation: between the layers.
        init: `he` or `uniform`, as in `nn.MLP`.
        scale: `softplus` or `exp`, from the last layer to the standard deviation.
        context_dim: F, the size of the context for a flow; 0 for none.
        label_dim: Y, the size of the labels that are appended to the image; 0 for none.
        dtype: of the operands of the matrix products.
        key: for the initial weights.

    Raises:
        ValueError: if `scale` is unknown or a size is not positive.
    """

    mlp: MLP
    image_shape: tuple[int, ...] = eqx.field(static=True)
    latent_dim: int = eqx.field(static=True)
    scale: str = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, ...],
        latent_dim: int,
        widths: Sequence[int] = (512, 512),
        *,
        activation: Callable = jax.nn.relu,
        init: str = "he",
        scale: str = "softplus",
        context_dim: int = 0,
        label_dim: int = 0,
        dtype=jnp.float32,
        key: Key,
    ):
        expect_choice("scale", scale, SCALES)
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.scale = scale
        sizes = (math.prod(image_shape) + label_dim, *widths, 2 * latent_dim + context_dim)
        self.mlp = MLP(sizes, activation, init=init, dtype=dtype, key=key)

    def __call__(self, x: Image, y: Label | None = None) -> Encoding:
        """Encodes one image."""
        chex.assert_shape(x, self.image_shape)
        features = x.ravel() if y is None else jnp.concatenate([x.ravel(), y])
        outputs = self.mlp(features)
        loc, raw_scale, context = jnp.split(outputs, (self.latent_dim, 2 * self.latent_dim))
        return Encoding(loc, SCALES[self.scale](raw_scale), context if len(context) else None)
