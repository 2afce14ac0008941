"""The product of a weight matrix with one example, in bfloat16, fast in all three directions.

`vmap` of a matrix-vector product becomes one matrix product, but three things then go wrong in bfloat16.
Autodiff hands the float32 gradient of the output to the two products of the backward pass, which then run
in float32. Autodiff of a custom rule for one example sums outer products over the batch, instead of
contracting over it. And XLA on a CPU has a fast bfloat16 kernel only where the first operand's contracted
axis is its last, which the weight's gradient does not offer. Hence three primitives, each the derivative
of another, that take leading batch axes as they come and cast every operand.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

_BLOCK = 16


def product(weight: Float[Array, "out in"], x: Float[Array, " in"], dtype) -> Float[Array, " out"]:
    """`weight @ x` with operands in `dtype`: rounded for bfloat16, as they are for float32."""
    return bfloat16_product(weight, x) if dtype == jnp.bfloat16 else weight @ x


def bfloat16_product(weight: Float[Array, "out in"], x: Float[Array, " in"]) -> Float[Array, " out"]:
    """`weight @ x` with operands rounded to bfloat16 and sums in float32; differentiable to any order.

    Args:
        weight: float32 `(out, in)`.
        x: float32 `(in,)`; `vmap` gives one matrix product for the batch.
    """
    return _product.bind(x.astype(jnp.float32), weight)


def _dot(a: Array, b: Array, contracted: tuple[int, int]) -> Array:
    return jax.lax.dot_general(
        a.astype(jnp.bfloat16),
        b.astype(jnp.bfloat16),
        (((contracted[0],), (contracted[1],)), ((), ())),
        preferred_element_type=jnp.float32,
    )


def _forward(x: Array, weight: Array) -> Array:
    return _dot(x.reshape(-1, x.shape[-1]), weight, (1, 1)).reshape(*x.shape[:-1], -1)


def _backward(g: Array, weight: Array) -> Array:
    return _dot(g.reshape(-1, g.shape[-1]), weight, (1, 0)).reshape(*g.shape[:-1], -1)


def _outer(g: Array, x: Array) -> Array:
    """The sum of g_b x_b^T over all leading axes b."""
    g, x = g.reshape(-1, g.shape[-1]), x.reshape(-1, x.shape[-1])
    return jax.lax.platform_dependent(g, x, cpu=_outer_on_cpu, default=lambda g, x: _dot(g, x, (0, 0)))


def _outer_on_cpu(g: Array, x: Array) -> Array:
    batch, size = g.shape
    if batch % _BLOCK or size % _BLOCK:
        return _plain_outer(_rounded(g), _rounded(x))
    # In blocks, since XLA then writes the transpose out instead of folding it into the product.
    blocks = g.astype(jnp.bfloat16).reshape(batch // _BLOCK, _BLOCK, size // _BLOCK, _BLOCK)
    transposed = blocks.transpose(2, 3, 0, 1).reshape(size, batch)
    return _dot(jax.lax.optimization_barrier(transposed), x, (1, 0))


# The same products in float32, for what has no bfloat16 kernel on a CPU.
def _plain_forward(x: Array, weight: Array) -> Array:
    return x @ weight.T


def _plain_backward(g: Array, weight: Array) -> Array:
    return g @ weight


def _plain_outer(g: Array, x: Array) -> Array:
    return g.reshape(-1, g.shape[-1]).T @ x.reshape(-1, x.shape[-1])


def _rounded(a: Array) -> Array:
    return jax.lax.reduce_precision(a, exponent_bits=8, mantissa_bits=7)


def _make_primitive(name: str, function: Callable, plain: Callable, shape_of: Callable) -> Primitive:
    primitive = Primitive(name)
    primitive.def_impl(jax.jit(function))
    primitive.def_abstract_eval(lambda a, b: ShapedArray(shape_of(a.shape, b.shape), jnp.dtype(jnp.float32)))
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))

    def batch(arguments, axes):
        if axes[1] is None and primitive is not _product_outer:
            # The common case: the examples have one more leading axis and share the weight.
            return primitive.bind(jnp.moveaxis(arguments[0], axes[0], 0), arguments[1]), 0
        return jax.vmap(lambda a, b: plain(_rounded(a), _rounded(b)), axes)(*arguments), 0

    batching.primitive_batchers[primitive] = batch
    return primitive


_product = _make_primitive("bfloat16_product", _forward, _plain_forward, lambda x, w: (*x[:-1], w[0]))
_product_back = _make_primitive("bfloat16_back", _backward, _plain_backward, lambda g, w: (*g[:-1], w[1]))
_product_outer = _make_primitive("bfloat16_outer", _outer, _plain_outer, lambda g, x: (g[-1], x[-1]))

# Each is linear in either operand, and its transposes are the other two.
ad.defbilinear(_product, lambda g, x, w: _product_back.bind(g, w), lambda g, x, w: _product_outer.bind(g, x))
ad.defbilinear(_product_back, lambda x, g, w: _product.bind(x, w), lambda x, g, w: _product_outer.bind(g, x))
ad.defbilinear(_product_outer, lambda w, g, x: _product.bind(x, w), lambda w, g, x: _product_back.bind(g, w))
