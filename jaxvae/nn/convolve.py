"""Convolutions of one example and their adjoints, fast for a batch on a CPU and a GPU.

A GPU gets XLA's convolutions, and so a CPU where they are best. `vmap` and autodiff alone would leave no
place to choose others: hence three primitives, each the derivative of another, that take leading batch
axes as they come.
"""

import math
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


# Numbers in the patches at a time: two megabytes.
_MOST = 2**19


class _Geometry(NamedTuple):
    """What the shapes of two operands do not tell of the third."""

    size: tuple[int, ...]  # (H, W) of what is convolved
    kernel: tuple[int, ...]
    stride: int
    padding: str

    @property
    def is_symmetric(self) -> bool:
        odd = all(size % 2 for size in self.kernel)
        return odd and (self.stride, self.padding) == (1, "SAME")

    @property
    def is_winograd(self) -> bool:
        return self.is_symmetric and self.kernel == (3, 3)


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


# On a CPU all is made of matrix products, of a few images at a time so that their patches stay in the cache.
# XLA's own convolutions use one core there, and in a loop those of the gradients take naive loops.
def _cpu_forward(x: Array, weight: Array, geometry: _Geometry) -> Array:
    images, weight = x.reshape(-1, *x.shape[-3:]), _rounded(weight, x.dtype)
    if geometry.is_winograd and winograd.is_worthwhile(images.shape, weight.shape[3]):
        y = winograd.convolve_batch(images, weight)
    elif geometry.is_symmetric and weight.shape[3] < weight.shape[2]:
        y = _fold_products(images, _mirrored(weight), geometry)
    else:
        y = _multiply_patches(images, weight, geometry)
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def _cpu_backward(g: Array, weight: Array, geometry: _Geometry) -> Array:
    if geometry.is_symmetric:
        return _cpu_forward(g, _mirrored(weight), geometry)
    x = _fold_products(g.reshape(-1, *g.shape[-3:]), _rounded(weight, g.dtype), geometry)
    return x.reshape(*g.shape[:-3], *x.shape[1:])


def _cpu_weight(g: Array, x: Array, geometry: _Geometry) -> Array:
    images, gradients = x.reshape(-1, *x.shape[-3:]), g.reshape(-1, *g.shape[-3:])
    if geometry.is_winograd and winograd.is_worthwhile(images.shape, g.shape[-1]):
        return winograd.weight_gradient(gradients, images)
    if geometry.is_symmetric and g.shape[-1] < x.shape[-1]:
        return _mirrored(_contract_patches(gradients, images, geometry))
    return _contract_patches(images, gradients, geometry)


def _multiply_patches(images: Array, weight: Array, geometry: _Geometry) -> Array:
    matrix = weight.reshape(-1, weight.shape[3])

    def multiply(some: Array) -> Array:
        return (_patches(some, geometry) @ matrix).astype(images.dtype)

    return _map_chunks(multiply, images, len(matrix))


def _fold_products(gradients: Array, weight: Array, geometry: _Geometry) -> Array:
    matrix = weight.reshape(-1, weight.shape[3]).T

    def fold(some: Array) -> Array:
        image = jax.ShapeDtypeStruct((len(some), *geometry.size, weight.shape[2]), jnp.float32)
        to_image = jax.linear_transpose(partial(_patches, geometry=geometry), image)
        return to_image(some.astype(jnp.float32) @ matrix)[0].astype(gradients.dtype)

    return _map_chunks(fold, gradients, matrix.shape[1])


def _contract_patches(images: Array, gradients: Array, geometry: _Geometry) -> Array:
    rows, columns = math.prod(geometry.kernel) * images.shape[-1], gradients.shape[-1]
    size = _chunk_size(gradients, rows)

    def add(total: Array, chunk: tuple[Array, Array]) -> tuple[Array, None]:
        patches = _patches(chunk[0], geometry).reshape(-1, rows)
        return total + patches.T @ chunk[1].reshape(-1, columns).astype(jnp.float32), None

    some_images, some_gradients = (a.reshape(-1, size, *a.shape[1:]) for a in (images, gradients))
    total, _ = jax.lax.scan(add, jnp.zeros((rows, columns)), (some_images, some_gradients))
    return total.reshape(*geometry.kernel, images.shape[-1], columns)


def _mirrored(weight: Array) -> Array:
    """The kernel of the adjoint, where that is a convolution of the same geometry."""
    return weight[::-1, ::-1].swapaxes(2, 3)


def _patches(images: Array, geometry: _Geometry) -> Array:
    """What the kernel meets at every place, in float32: `(B, H', W', kh kw in)`."""
    sizes, kernel, stride = geometry.size, geometry.kernel, geometry.stride
    pads = jax.lax.padtype_to_pads(sizes, kernel, (stride, stride), geometry.padding)
    padded = jnp.pad(images.astype(jnp.float32), ((0, 0), *pads, (0, 0)))
    (rows, columns), (height, width) = kernel, padded.shape[1:3]
    return jnp.concatenate(
        [
            padded[:, i : height - rows + i + 1 : stride, j : width - columns + j + 1 : stride]
            for i in range(rows)
            for j in range(columns)
        ],
        axis=-1,
    )


def _map_chunks(function: Callable[[Array], Array], maps: Array, patch_size: int) -> Array:
    size = _chunk_size(maps, patch_size)
    if size == len(maps):
        return function(maps)
    y = jax.lax.map(function, maps.reshape(-1, size, *maps.shape[1:]))
    return y.reshape(-1, *y.shape[2:])


def _chunk_size(maps: Array, patch_size: int) -> int:
    """The most images, of those that divide the batch, with patches of no more than `_MOST` numbers."""
    batch, height, width, _ = maps.shape
    most = max(_MOST // (height * width * patch_size), 1)
    return max(size for size in range(1, batch + 1) if batch % size == 0 and size <= most)


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
