"""Gated convolutional networks: from an image to features, and from features to maps."""

import math
from collections.abc import Sequence

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._typing import Key
from jaxvae.nn.conv import Conv, Maps, reduced_shape, run
from jaxvae.nn.dense import Linear


class GatedConv(eqx.Module):
    """A convolution times the sigmoid of another, `(V * x + b) sigmoid(W * x + c)`.

    Dauphin et al. 2017, eq. 1, arXiv:1612.08083. Both are one convolution with twice the maps.

    Args:
        in_maps: channels of the input.
        out_maps: channels of the output.
        kernel_size: of the square kernel.
        conv_options: of the `Conv`, such as `stride`, `transposed` and `dtype`.
        key: for the initial weights.
    """

    conv: Conv

    def __init__(self, in_maps: int, out_maps: int, kernel_size: int = 5, *, key: Key, **conv_options):
        self.conv = Conv(in_maps, 2 * out_maps, kernel_size, key=key, **conv_options)

    def __call__(self, x: Maps) -> Maps:
        """Maps one example."""
        linear, gate = jnp.split(self.conv(x), 2, axis=-1)
        return linear * jax.nn.sigmoid(gate)


class GatedConvDown(eqx.Module):
    """A gated convolutional network from an image to a vector of features.

    One `GatedConv` for each stage, then one over all that is left, which is a gated dense layer. The
    encoder of van den Berg et al. 2018 (arXiv:1803.05649, section 6).

    Args:
        image_shape: `(C, H, W)`.
        maps: of each stage.
        strides: of each stage.
        kernel_size: of each stage.
        width: F, the size of the vector.
        remat: whether each layer is computed again in the backward pass, instead of being kept.
        weight_norm: of every layer.
        dtype: of the maps and of the operands of products.
        key: for the initial weights.

    Raises:
        ValueError: if the strides do not divide the image, or are not as many as the maps.
    """

    layers: tuple[GatedConv, ...]
    dense: Linear
    remat: bool = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, ...],
        *,
        maps: Sequence[int] = (32, 32, 64, 64, 64),
        strides: Sequence[int] = (1, 2, 1, 2, 1),
        kernel_size: int = 5,
        width: int = 256,
        remat: bool = False,
        weight_norm: bool = True,
        dtype=jnp.float32,
        key: Key,
    ):
        shape = reduced_shape(image_shape, maps, strides)
        dense_key, *keys = jax.random.split(key, 1 + len(maps))
        options = {"weight_norm": weight_norm, "dtype": dtype}
        ins = (image_shape[0], *maps[:-1])
        self.layers = tuple(
            GatedConv(into, out, kernel_size, stride=stride, key=k, **options)
            for into, out, stride, k in zip(ins, maps, strides, keys, strict=True)
        )
        self.dense = Linear(math.prod(shape), 2 * width, key=dense_key, **options)
        self.remat = remat

    @property
    def feature_dim(self) -> int:
        """F."""
        return self.dense.weight.shape[0] // 2

    def __call__(self, x: Maps) -> Float[Array, " F"]:
        """The features of one image `(H, W, C)`."""
        for layer in self.layers:
            x = run(layer, x, self.remat)
        linear, gate = jnp.split(self.dense(x.ravel()), 2)
        return linear * jax.nn.sigmoid(gate)


class GatedConvUp(eqx.Module):
    """The mirror of `GatedConvDown`: from a vector to maps of an image's size.

    A gated dense layer; for each stage, from the last to the first, a `GatedConv` that goes up by its
    stride; a 1 x 1 convolution.

    Args:
        in_dim: size of the vector.
        out_shape: `(maps, H, W)` of what comes out.
        maps: of each stage, in the order of `GatedConvDown`.
        strides: likewise.
        kernel_size: of each stage.
        remat: whether each layer is computed again in the backward pass, instead of being kept.
        weight_norm: of every layer.
        dtype: of the maps and of the operands of products.
        key: for the initial weights.

    Raises:
        ValueError: if the strides do not divide the image, or are not as many as the maps.
    """

    dense: Linear
    layers: tuple[GatedConv, ...]
    head: Conv
    shape: tuple[int, ...] = eqx.field(static=True)
    remat: bool = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(
        self,
        in_dim: int,
        out_shape: tuple[int, ...],
        *,
        maps: Sequence[int] = (32, 32, 32, 64, 64),
        strides: Sequence[int] = (1, 2, 1, 2, 1),
        kernel_size: int = 5,
        remat: bool = False,
        weight_norm: bool = True,
        dtype=jnp.float32,
        key: Key,
    ):
        self.shape = reduced_shape(out_shape, maps, strides)
        dense_key, head_key, *keys = jax.random.split(key, 2 + len(maps))
        options = {"weight_norm": weight_norm, "dtype": dtype}
        self.dense = Linear(in_dim, 2 * math.prod(self.shape), key=dense_key, **options)
        outs = (maps[0], *maps[:-1])
        self.layers = tuple(
            GatedConv(into, out, kernel_size, stride=stride, transposed=stride > 1, key=k, **options)
            for into, out, stride, k in zip(maps[::-1], outs[::-1], strides[::-1], keys, strict=True)
        )
        # In float32, since parameters of a distribution need more digits than maps do.
        self.head = Conv(maps[0], out_shape[0], 1, weight_norm=weight_norm, key=head_key)
        self.remat, self.dtype = remat, jnp.dtype(dtype)

    def __call__(self, features: Float[Array, " in_dim"]) -> Maps:
        """The maps `(H, W, maps)` of one vector."""
        chex.assert_rank(features, 1)
        linear, gate = jnp.split(self.dense(features), 2)
        hidden = (linear * jax.nn.sigmoid(gate)).reshape(self.shape).astype(self.dtype)
        for layer in self.layers:
            hidden = run(layer, hidden, self.remat)
        return self.head(hidden)
