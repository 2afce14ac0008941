"""z, y -> the parameters of p(x | z, y)."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._typing import Image, Key, Label, Latent
from jaxvae.labels import expect_label
from jaxvae.nn import MLP


class DenseDecoder(eqx.Module):
    """A fully connected decoder: one parameter, such as a logit, for each pixel.

    Args:
        latent_dim: D.
        image_shape: `(C, H, W)` of the images.
        widths: of the hidden layers.
        activation: between the layers.
        init: `he` or `uniform`, as in `nn.MLP`.
        skip: whether the latent is given to every layer, as in `nn.MLP`.
        weight_norm: of every layer.
        label_dim: Y, the size of the labels that are appended to the latent; 0 for none.
        dtype: of the operands of the matrix products.
        key: for the initial weights.

    Raises:
        ValueError: if a size is not positive; from the call, if there is a label and should be none, or the
            other way round.
    """

    mlp: MLP
    image_shape: tuple[int, ...] = eqx.field(static=True)
    label_dim: int = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, ...],
        widths: Sequence[int] = (512, 512),
        *,
        activation: Callable = jax.nn.relu,
        init: str = "he",
        skip: bool = False,
        weight_norm: bool = False,
        label_dim: int = 0,
        dtype=jnp.float32,
        key: Key,
    ):
        self.image_shape, self.label_dim = tuple(image_shape), label_dim
        sizes = (latent_dim + label_dim, *widths, math.prod(image_shape))
        options = {"init": init, "skip": skip, "weight_norm": weight_norm, "dtype": dtype}
        self.mlp = MLP(sizes, activation, key=key, **options)

    def __call__(self, z: Latent, y: Label | None = None) -> Image:
        """Decodes one latent."""
        expect_label(y, self.label_dim)
        features = z if y is None else jnp.concatenate([z, y])
        return self.mlp(features).reshape(self.image_shape)


class ConvDecoder(eqx.Module):
    """A convolutional network from a latent and a label to maps of an image's size.

    Args:
        network: from a vector, the latent and the label after it, to maps `(H, W, C)`, such as
            `nn.ResNetUp` or `nn.GatedConvUp`.
        label_dim: Y, the size of the labels; 0 for none.

    Raises:
        ValueError: from the call, if there is a label and should be none, or the other way round.
    """

    network: Callable[[Float[Array, " D+Y"]], Float[Array, "H W C"]]
    label_dim: int = eqx.field(static=True, default=0)

    def __call__(self, z: Latent, y: Label | None = None) -> Image:
        """Decodes one latent."""
        expect_label(y, self.label_dim)
        return jnp.moveaxis(self.network(z if y is None else jnp.concatenate([z, y])), -1, 0)
