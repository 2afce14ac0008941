"""z, y -> the parameters of p(x | z, y)."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxvae._typing import Image, Key, Label, Latent
from jaxvae.nn import MLP


class DenseDecoder(eqx.Module):
    """A fully connected decoder: one parameter, such as a logit, for each pixel.

    Args:
        latent_dim: D.
        image_shape: `(C, H, W)` of the images.
        widths: of the hidden layers.
        activation: between the layers.
        init: `he` or `uniform`, as in `nn.MLP`.
        label_dim: Y, the size of the labels that are appended to the latent; 0 for none.
        dtype: of the operands of the matrix products.
        key: for the initial weights.

    Raises:
        ValueError: if a size is not positive.
    """

    mlp: MLP
    image_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, ...],
        widths: Sequence[int] = (512, 512),
        *,
        activation: Callable = jax.nn.relu,
        init: str = "he",
        label_dim: int = 0,
        dtype=jnp.float32,
        key: Key,
    ):
        self.image_shape = tuple(image_shape)
        sizes = (latent_dim + label_dim, *widths, math.prod(image_shape))
        self.mlp = MLP(sizes, activation, init=init, dtype=dtype, key=key)

    def __call__(self, z: Latent, y: Label | None = None) -> Image:
        """Decodes one latent."""
        features = z if y is None else jnp.concatenate([z, y])
        return self.mlp(features).reshape(self.image_shape)
