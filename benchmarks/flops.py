"""The multiply-adds of a function's matrix products and convolutions, from its trace."""

import math
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from jaxvae.nn.convolve import PLAIN


def multiply_adds(function: Callable, *arguments) -> int:
    """Of one call; nothing is run.

    A convolution counts where its kernel meets a number, not a zero of the padding or between the elements
    of a dilated operand; so a convolution and its two gradients count the same. A loop counts all its
    iterations, a branch the largest, and what depends on the platform the branch for any other platform.

    Args:
        function: in float32: the library's own bfloat16 product is not looked into.
        arguments: arrays, shapes and pytrees of them, such as equinox modules.

    Raises:
        ValueError: if there are products in a `while` loop, whose length a trace does not tell.
    """
    jaxpr, _, _ = eqx.filter_make_jaxpr(function)(*arguments)
    return _of_jaxpr(jaxpr)


def _of_jaxpr(jaxpr: Jaxpr | ClosedJaxpr) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return _of_product(equation)
    if name == "conv_general_dilated":
        return _of_convolution(equation)
    if name in PLAIN:
        shapes = [jax.ShapeDtypeStruct(_shape(v), v.aval.dtype) for v in equation.invars]  # pyright: ignore
        return multiply_adds(partial(PLAIN[name], **params), *shapes)
    if name == "cond":
        platforms = params.get("branches_platforms")
        branches = [_of_jaxpr(branch) for branch in params["branches"]]
        return (
            max(branches) if platforms is None or None not in platforms else branches[platforms.index(None)]
        )
    inside = sum(_of_jaxpr(jaxpr) for jaxpr in jax.tree.leaves(params, is_leaf=_is_jaxpr) if _is_jaxpr(jaxpr))
    if name == "while" and inside:
        raise ValueError("Expected no products in a loop of unknown length; got a `while` with some.")
    return inside * params["length"] if name == "scan" else inside


def _is_jaxpr(node) -> bool:
    return isinstance(node, Jaxpr | ClosedJaxpr)


def _shape(variable) -> tuple[int, ...]:
    return variable.aval.shape


def _of_product(equation: JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = _shape(equation.invars[0])
    return math.prod(_shape(equation.outvars[0])) * math.prod(shape[axis] for axis in contracted)


def _of_convolution(equation: JaxprEqn) -> int:
    params, (left, right) = equation.params, map(_shape, equation.invars)
    out, numbers = _shape(equation.outvars[0]), params["dimension_numbers"]
    (batch, features, *places), (_, summed, *taps), axes = (
        numbers.out_spec,
        numbers.rhs_spec,
        numbers.lhs_spec[2:],
    )
    met = 1
    for i, (axis, place, tap) in enumerate(zip(axes, places, taps, strict=True)):
        dilation = params["lhs_dilation"][i]
        at = params["window_strides"][i] * np.arange(out[place])[:, None] - params["padding"][i][0]
        at = at + params["rhs_dilation"][i] * np.arange(right[tap])
        met *= int(np.sum((at >= 0) & (at <= dilation * (left[axis] - 1)) & (at % dilation == 0)))
    return met * out[batch] * out[features] * right[summed]
