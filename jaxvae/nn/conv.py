"""Convolutional layers of one example, channels last."""

import math
from collections.abc import Callable, Sequence

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive, expected
from jaxvae._typing import Key
from jaxvae.nn.convolve import convolve, convolve_transposed
from jaxvae.nn.weight_norm import WeightNorm

Maps = Float[Array, "H W maps"]


class Conv(eqx.Module):
    """A convolution `W * x + b` with float32 parameters; it computes in `dtype` and sums in float32.

    Args:
        in_maps: channels of the input.
        out_maps: channels of the output.
        kernel_size: of the square kernel.
        stride: in both directions; H / stride rows come out, and `H * stride` where `transposed`.
        padding: `same` or `valid`.
        transposed: whether it is a transposed convolution, which goes up where the other goes down.
        weight_norm: whether the layer is weight-normalised.
        init_scale: standard deviation of the outputs for inputs of deviation 1, and after
            `initialize_from_data`.
        dtype: of the operands and the outputs, float32 or bfloat16.
        key: for the initial weights.

    Raises:
        ValueError: if a size is not positive, or on an unknown padding or dtype.
    """

    weight: Float[Array, "kh kw in out"]
    bias: Float[Array, " out"] | None
    norm: WeightNorm | None
    stride: int = eqx.field(static=True)
    padding: str = eqx.field(static=True)
    transposed: bool = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(
        self,
        in_maps: int,
        out_maps: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: str = "same",
        transposed: bool = False,
        weight_norm: bool = True,
        init_scale: float = 1.0,
        dtype=jnp.float32,
        key: Key,
    ):
        sizes = {"in_maps": in_maps, "out_maps": out_maps, "kernel_size": kernel_size, "stride": stride}
        for name, size in sizes.items():
            expect_positive(name, size)
        expect_choice("padding", padding, ["same", "valid"])
        expect_choice("dtype", jnp.dtype(dtype).name, ["float32", "bfloat16"])
        # Each output of a transposed convolution sees one in stride^2 of the kernel's places.
        fan_in = in_maps * kernel_size**2 / (stride**2 if transposed else 1)
        shape = (kernel_size, kernel_size, in_maps, out_maps)
        self.weight = init_scale / fan_in**0.5 * jax.random.normal(key, shape)
        self.bias = None if weight_norm else jnp.zeros((out_maps,))
        norms = jnp.sqrt(jnp.sum(self.weight**2, axis=(0, 1, 2)))
        self.norm = WeightNorm(norms, jnp.zeros((out_maps,)), init_scale) if weight_norm else None
        self.stride, self.padding, self.transposed = stride, padding, transposed
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Maps) -> Maps:
        """Maps one example; `vmap` it for a batch."""
        chex.assert_shape(x, (None, None, self.weight.shape[2]))
        if self.norm is None:
            assert self.bias is not None
            return self._convolve(x, self.weight) + self.bias.astype(self.dtype)
        norms = jnp.sqrt(jnp.sum(self.weight**2, axis=(0, 1, 2)))
        if self.norm.is_initializing:
            return self.norm(self._convolve(x, self.weight), norms).astype(self.dtype)
        # There are fewer weights than maps to scale.
        return self._convolve(x, self.weight * (self.norm.gain / norms)) + self.norm.bias.astype(self.dtype)

    def _convolve(self, x: Maps, weight: Array) -> Maps:
        if self.transposed:
            return convolve_transposed(x, weight, stride=self.stride, dtype=self.dtype)
        return convolve(x, weight, stride=self.stride, padding=self.padding, dtype=self.dtype)


def run(layer: Callable[[Maps], Maps], x: Maps, remat: bool) -> Maps:
    """Calls the layer; with `remat` its inside is not kept for the backward pass, but computed again."""
    return eqx.filter_checkpoint(layer)(x) if remat else layer(x)


def reduced_shape(
    image_shape: tuple[int, ...], maps: Sequence[int], strides: Sequence[int]
) -> tuple[int, int, int]:
    """The shape `(H', W', maps)` after stages with these maps and strides.

    Raises:
        ValueError: if the strides do not divide the image, or are not as many as the maps.
    """
    if not maps or len(maps) != len(strides):
        got = f"maps {tuple(maps)}, strides {tuple(strides)}"
        raise expected("at least one stage", "and a stride for the maps of each", got)
    for name, sizes in (("maps", maps), ("strides", strides)):
        for size in sizes:
            expect_positive(name, size)
    _, height, width = image_shape
    factor = math.prod(strides)
    if height % factor or width % factor:
        what = f"strides {tuple(strides)}, a factor of {factor} in all,"
        raise expected(what, "to divide the height and the width of the images", f"{height} x {width}")
    return height // factor, width // factor, maps[-1]
