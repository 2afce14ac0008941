"""Residual convolutional networks: from an image to features, and from features to maps."""

import math
from collections.abc import Sequence

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive
from jaxvae._typing import Key
from jaxvae.nn.activations import elu
from jaxvae.nn.conv import Conv, Maps, reduced_shape, run
from jaxvae.nn.dense import Linear


class ResidualBlock(eqx.Module):
    """A pre-activation block, `shortcut(x) + branch_scale * conv(elu(conv(elu(x))))`.

    He et al. 2016, figure 1b, arXiv:1603.05027. Going down, the first convolution has the stride and the
    shortcut averages; going up, the first convolution is transposed (or follows a resize) and the shortcut
    repeats. Where the maps differ, the shortcut ends in a 1 x 1 convolution.

    Args:
        in_maps: of the input.
        out_maps: of both convolutions.
        stride: from input to output, or from output to input where `up`.
        up: `transposed`, `resize` (to the nearest, then a convolution), or None for a block that goes down.
        branch_scale: of what is added to the shortcut.
        conv_options: of each `Conv`, such as `weight_norm` and `dtype`.
        key: for the initial weights.
    """

    first: Conv
    second: Conv
    shortcut: Conv | None
    stride: int = eqx.field(static=True)
    up: str | None = eqx.field(static=True)
    branch_scale: float = eqx.field(static=True)

    def __init__(
        self,
        in_maps: int,
        out_maps: int,
        *,
        stride: int = 1,
        up: str | None = None,
        branch_scale: float = 0.1,
        key: Key,
        **conv_options,
    ):
        keys = jax.random.split(key, 3)
        transposed = up == "transposed" and stride > 1
        first_stride = stride if transposed or up is None else 1
        options = {"stride": first_stride, "transposed": transposed, **conv_options}
        self.first = Conv(in_maps, out_maps, key=keys[0], **options)
        self.second = Conv(out_maps, out_maps, key=keys[1], **conv_options)
        same = in_maps == out_maps
        self.shortcut = None if same else Conv(in_maps, out_maps, 1, key=keys[2], **conv_options)
        self.stride, self.up, self.branch_scale = stride, up, branch_scale

    def __call__(self, x: Maps) -> Maps:
        """Maps one example."""
        hidden = elu(x)
        branch = self.second(elu(self.first(_repeat(hidden, self.stride) if self.up == "resize" else hidden)))
        shortcut = _average(x, self.stride) if self.up is None else _repeat(x, self.stride)
        if self.shortcut is not None:
            shortcut = self.shortcut(shortcut)
        return shortcut + self.branch_scale * branch


def _average(x: Maps, stride: int) -> Maps:
    height, width, maps = x.shape
    return x.reshape(height // stride, stride, width // stride, stride, maps).mean(axis=(1, 3))


def _repeat(x: Maps, stride: int) -> Maps:
    height, width, maps = x.shape
    wide = jnp.broadcast_to(x[:, None, :, None], (height, stride, width, stride, maps))
    return wide.reshape(height * stride, width * stride, maps)


class ResNetDown(eqx.Module):
    """A residual network from an image to a vector of features.

    A convolution to the first maps; for each stage a block with its stride and then blocks without; ELU, a
    dense layer, ELU. The encoder of Kingma et al. 2016 (arXiv:1606.04934, appendix).

    Args:
        image_shape: `(C, H, W)`.
        maps: of each stage.
        strides: of each stage.
        num_blocks: of each stage.
        width: F, of the dense layer.
        branch_scale: as in `ResidualBlock`.
        remat: whether each block is computed again in the backward pass, instead of being kept.
        weight_norm: of every layer.
        dtype: of the maps and of the operands of products.
        key: for the initial weights.

    Raises:
        ValueError: if the strides do not divide the image, or are not as many as the maps.
    """

    stem: Conv
    blocks: tuple[ResidualBlock, ...]
    dense: Linear
    remat: bool = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, ...],
        *,
        maps: Sequence[int] = (64, 64, 64),
        strides: Sequence[int] = (1, 2, 2),
        num_blocks: int = 2,
        width: int = 450,
        branch_scale: float = 0.1,
        remat: bool = False,
        weight_norm: bool = True,
        dtype=jnp.float32,
        key: Key,
    ):
        shape = reduced_shape(image_shape, maps, strides)
        expect_positive("num_blocks", num_blocks)
        stem_key, dense_key, *keys = jax.random.split(key, 2 + len(maps) * num_blocks)
        options = {"weight_norm": weight_norm, "dtype": dtype}
        self.stem = Conv(image_shape[0], maps[0], key=stem_key, **options)
        ins = (maps[0], *maps[:-1])
        plan = [
            (out if i else into, out, 1 if i else stride)
            for into, out, stride in zip(ins, maps, strides, strict=True)
            for i in range(num_blocks)
        ]
        self.blocks = tuple(
            ResidualBlock(into, out, stride=stride, branch_scale=branch_scale, key=k, **options)
            for (into, out, stride), k in zip(plan, keys, strict=True)
        )
        self.dense = Linear(math.prod(shape), width, key=dense_key, **options)
        self.remat = remat

    @property
    def feature_dim(self) -> int:
        """F."""
        return self.dense.weight.shape[0]

    def __call__(self, x: Maps) -> Float[Array, " F"]:
        """The features of one image `(H, W, C)`."""
        hidden = self.stem(x)
        for block in self.blocks:
            hidden = run(block, hidden, self.remat)
        return elu(self.dense(elu(hidden).ravel()))


class ResNetUp(eqx.Module):
    """The mirror of `ResNetDown`: from a vector to maps of an image's size.

    A dense layer; for each stage, from the last to the first, blocks without a stride and then one that goes
    up by the stage's; ELU, a convolution.

    Args:
        in_dim: size of the vector.
        out_shape: `(maps, H, W)` of what comes out.
        maps: of each stage, in the order of `ResNetDown`.
        strides: likewise.
        num_blocks: of each stage.
        upsample: `transposed` or `resize`, as in `ResidualBlock`.
        branch_scale: as in `ResidualBlock`.
        remat: whether each block is computed again in the backward pass, instead of being kept.
        weight_norm: of every layer.
        dtype: of the maps and of the operands of products.
        key: for the initial weights.

    Raises:
        ValueError: if the strides do not divide the image, or are not as many as the maps; on an unknown
            `upsample`.
    """

    dense: Linear
    blocks: tuple[ResidualBlock, ...]
    head: Conv
    shape: tuple[int, ...] = eqx.field(static=True)
    remat: bool = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(
        self,
        in_dim: int,
        out_shape: tuple[int, ...],
        *,
        maps: Sequence[int] = (64, 64, 64),
        strides: Sequence[int] = (1, 2, 2),
        num_blocks: int = 2,
        upsample: str = "transposed",
        branch_scale: float = 0.1,
        remat: bool = False,
        weight_norm: bool = True,
        dtype=jnp.float32,
        key: Key,
    ):
        self.shape = reduced_shape(out_shape, maps, strides)
        expect_positive("num_blocks", num_blocks)
        expect_choice("upsample", upsample, ["transposed", "resize"])
        dense_key, head_key, *keys = jax.random.split(key, 2 + len(maps) * num_blocks)
        options = {"weight_norm": weight_norm, "dtype": dtype}
        self.dense = Linear(in_dim, math.prod(self.shape), key=dense_key, **options)
        outs = (maps[0], *maps[:-1])
        plan = [
            (into, into if i < num_blocks - 1 else out, 1 if i < num_blocks - 1 else stride)
            for into, out, stride in reversed(list(zip(maps, outs, strides, strict=True)))
            for i in range(num_blocks)
        ]
        options["branch_scale"] = branch_scale
        self.blocks = tuple(
            ResidualBlock(into, out, stride=stride, up=upsample, key=k, **options)
            for (into, out, stride), k in zip(plan, keys, strict=True)
        )
        # In float32, since parameters of a distribution need more digits than maps do.
        self.head = Conv(maps[0], out_shape[0], weight_norm=weight_norm, key=head_key)
        self.remat, self.dtype = remat, jnp.dtype(dtype)

    def __call__(self, features: Float[Array, " in_dim"]) -> Maps:
        """The maps `(H, W, maps)` of one vector."""
        chex.assert_rank(features, 1)
        hidden = self.dense(features).reshape(self.shape).astype(self.dtype)
        for block in self.blocks:
            hidden = run(block, hidden, self.remat)
        return self.head(elu(hidden))
