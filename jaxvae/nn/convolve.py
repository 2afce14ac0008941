"""Convolutions of one example, channels last."""

import jax
from jaxtyping import Array, Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def convolve(
    x: Float[Array, "H W in"], weight: Float[Array, "kh kw in out"], *, stride: int, padding: str, dtype
) -> Float[Array, "rows columns out"]:
    """The convolution of one example, in `dtype` with sums in float32.

    Args:
        x: `(H, W, in)`; `vmap` gives one convolution for the batch.
        weight: float32 `(kh, kw, in, out)`.
        stride: in both directions.
        padding: `same`, with ceil(H / stride) rows of output, or `valid`.
        dtype: of the operands and of the result, float32 or bfloat16.
    """
    operands = x.astype(dtype)[None], weight.astype(dtype)
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(*operands, strides, padding.upper(), dimension_numbers=_LAYOUT)[0]


def convolve_transposed(
    x: Float[Array, "H W in"], weight: Float[Array, "kh kw in out"], *, stride: int, dtype
) -> Float[Array, "rows columns out"]:
    """The transposed convolution of one example, to `H * stride` rows.

    Args:
        x: `(H, W, in)`.
        weight: float32 `(kh, kw, in, out)`.
        stride: in both directions.
        dtype: of the operands and of the result, float32 or bfloat16.
    """
    operands = x.astype(dtype)[None], weight.astype(dtype)
    return jax.lax.conv_transpose(*operands, (stride, stride), "SAME", dimension_numbers=_LAYOUT)[0]
