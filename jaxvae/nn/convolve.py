"""Convolutions of one example and their adjoints, fast for a batch on a CPU and a GPU.

A GPU gets XLA's convolutions, and so a CPU where they are best. `vmap` and autodiff alone would leave no
place to choose others: hence three primitives, each the derivative of another, that take leading batch
axes as they come.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive
from jaxvae.nn import winograd


def convolve(
    x: Float[Array, "H W in"],
    weight: Float[Array, "kh kw in out"],
    *,
    stride: int = 1,
    padding: str = "same",
    dtype=jnp.float32,
) -> Float[Array, "H' W' out"]:
    """y[h, w] = the sum over the kernel of x[stride h + i, stride w + j] @ weight[i, j].

    Args:
        x: one example; `vmap` it for a batch.
        weight: float32, as is its gradient.
        stride: of both axes.
        padding: `same`, zeros on both sides (one more at the end where their number is odd), so that
            H' = ceil(H / stride); or `valid`, none.
        dtype: of the operands and of the result, float32 or bfloat16; sums are always float32.

    Raises:
        ValueError: if the stride is not positive, or the padding or dtype is another.
    """
    expect_choice("dtype", jnp.dtype(dtype).name, ["float32", "bfloat16"])
    expect_choice("padding", padding, ["same", "valid"])
    expect_positive("stride", stride)
    geometry = _Geometry(x.shape[:2], weight.shape[:2], stride, padding.upper())
    return _convolution.bind(x.astype(dtype), weight, geometry=geometry)


def convolve_transposed(
    x: Float[Array, "H W in"], weight: Float[Array, "kh kw in out"], *, stride: int = 2, dtype=jnp.float32
) -> Float[Array, "H' W' out"]:
    """The adjoint of `convolve` with this stride, `same` padding and the weight `(kh, kw, out, in)`.

    Args:
        x: one example; `vmap` it for a batch.
        weight: float32, as is its gradient.
        stride: H' = stride H, W' = stride W.
        dtype: of the operands and of the result, float32 or bfloat16; sums are always float32.

    Raises:
        ValueError: if the stride is not positive, or the dtype is another.
    """
    expect_choice("dtype", jnp.dtype(dtype).name, ["float32", "bfloat16"])
    expect_positive("stride", stride)
    height, width, _ = x.shape
    geometry = _Geometry((stride * height, stride * width), weight.shape[:2], stride, "SAME")
    return _convolution_back.bind(x.astype(dtype), weight.swapaxes(2, 3), geometry=geometry)


class _Geometry(NamedTuple):
    """What the shapes of two operands do not tell of the third."""

    size: tuple[int, ...]  # (H, W) of what is convolved
    kernel: tuple[int, ...]
    stride: int
    padding: str

    @property
    def is_winograd(self) -> bool:
        return (self.kernel, self.stride, self.padding) == ((3, 3), 1, "SAME")


def _lax_forward(x: Array, weight: Array, geometry: _Geometry) -> Array:
    images, strides = x.reshape(-1, *x.shape[-3:]), (geometry.stride,) * 2
    layout = ("NHWC", "HWIO", "NHWC")
    weight = weight.astype(x.dtype)
    y = jax.lax.conv_general_dilated(images, weight, strides, geometry.padding, dimension_numbers=layout)
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def _lax_backward(g: Array, weight: Array, geometry: _Geometry) -> Array:
    shape = (*g.shape[:-3], *geometry.size, weight.shape[2])
    forward = partial(_lax_forward, weight=weight, geometry=geometry)
    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, g.dtype))(g)[0]


def _lax_weight(g: Array, x: Array, geometry: _Geometry) -> Array:
    shape = (*geometry.kernel, x.shape[-1], g.shape[-1])
    forward = lambda weight: _lax_forward(x, weight, geometry)  # noqa: E731
    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, jnp.float32))(g)[0]


def _cpu_forward(x: Array, weight: Array, geometry: _Geometry) -> Array:
    images, weight = x.reshape(-1, *x.shape[-3:]), _rounded(weight, x.dtype)
    if not (geometry.is_winograd and winograd.is_worthwhile(images.shape, weight.shape[3])):
        return _lax_forward(x.astype(jnp.float32), weight, geometry).astype(x.dtype)
    return winograd.convolve_batch(images, weight).reshape(*x.shape[:-1], -1)


def _cpu_backward(g: Array, weight: Array, geometry: _Geometry) -> Array:
    if geometry.is_winograd:
        return _cpu_forward(g, weight[::-1, ::-1].swapaxes(2, 3), geometry)
    weight = _rounded(weight, g.dtype)
    return _lax_backward(g.astype(jnp.float32), weight, geometry).astype(g.dtype)


def _cpu_weight(g: Array, x: Array, geometry: _Geometry) -> Array:
    images, gradients = x.reshape(-1, *x.shape[-3:]), g.reshape(-1, *g.shape[-3:])
    if geometry.is_winograd and winograd.is_worthwhile(images.shape, g.shape[-1]):
        return winograd.weight_gradient(gradients, images)
    return _lax_weight(g.astype(jnp.float32), x.astype(jnp.float32), geometry)


def _rounded(weight: Array, dtype) -> Array:
    # Not by `astype` and back, which XLA may leave out.
    return jax.lax.reduce_precision(weight, 8, 7) if dtype == jnp.bfloat16 else weight


# Each primitive's name, and the same in XLA's own convolutions.
PLAIN: dict[str, Callable] = {}


def _make_primitive(name: str, on_cpu: Callable, plain: Callable, result: Callable) -> Primitive:
    primitive, PLAIN[name] = Primitive(name), plain

    def function(a, b, *, geometry):
        choices = {"cpu": partial(on_cpu, geometry=geometry), "default": partial(plain, geometry=geometry)}
        return jax.lax.platform_dependent(a, b, **choices)

    primitive.def_impl(jax.jit(function, static_argnames="geometry"))
    primitive.def_abstract_eval(lambda a, b, *, geometry: ShapedArray(*result(a, b, geometry)))
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))

    def batch(arguments, axes, *, geometry):
        if axes[1] is None and primitive is not _convolution_weight:
            # The common case: the examples have one more leading axis and share the weight.
            return primitive.bind(jnp.moveaxis(arguments[0], axes[0], 0), arguments[1], geometry=geometry), 0
        return jax.vmap(partial(plain, geometry=geometry), axes)(*arguments), 0

    batching.primitive_batchers[primitive] = batch
    return primitive


def _forward_result(x, weight, geometry):
    y = jax.eval_shape(partial(_lax_forward, geometry=geometry), x, weight)
    return y.shape, y.dtype


_convolution = _make_primitive("convolution", _cpu_forward, _lax_forward, _forward_result)
_convolution_back = _make_primitive(
    "convolution_back",
    _cpu_backward,
    _lax_backward,
    lambda g, w, geometry: ((*g.shape[:-3], *geometry.size, w.shape[2]), g.dtype),
)
_convolution_weight = _make_primitive(
    "convolution_weight",
    _cpu_weight,
    _lax_weight,
    lambda g, x, geometry: ((*geometry.kernel, x.shape[-1], g.shape[-1]), jnp.dtype(jnp.float32)),
)

# Each is linear in either operand, and its transposes are the other two.
ad.defbilinear(
    _convolution,
    lambda g, x, w, geometry: _convolution_back.bind(g, w, geometry=geometry),
    lambda g, x, w, geometry: _convolution_weight.bind(g, x, geometry=geometry),
)
ad.defbilinear(
    _convolution_back,
    lambda x, g, w, geometry: _convolution.bind(x, w, geometry=geometry),
    lambda x, g, w, geometry: _convolution_weight.bind(g, x, geometry=geometry),
)
ad.defbilinear(
    _convolution_weight,
    lambda w, g, x, geometry: _convolution.bind(x, w, geometry=geometry),
    lambda w, g, x, geometry: _convolution_back.bind(g, w, geometry=geometry),
)
