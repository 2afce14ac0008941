"""3x3 convolutions of a batch by Winograd's minimal filtering, for a CPU.

F(4x4, 3x3) of Lavin & Gray 2016, section 4.3 (arXiv:1509.09308): a tile of 4x4 outputs from 6x6 inputs,
y = A^T [(G w G^T) * (B^T x B)] A, takes 36 products where the sum itself takes 144; in float32 the error
is 2e-6 of the result's norm. A few images at a time go through all steps, so that what is in between
stays in the cache.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_TILE = 4
# Of tiles at a time: the 36 transforms of more leave the cache, and of fewer are not worth their calls.
_MOST, _LEAST = 512, 48

_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


def is_worthwhile(x_shape: Sequence[int], num_outputs: int) -> bool:
    """Whether a batch `(B, H, W, in)` is large enough to gain from this way of convolving it."""
    batch, height, width, num_inputs = x_shape
    tiles = _num_tiles(height, width)
    return min(num_inputs, num_outputs) >= 16 and _chunk_size(batch, tiles) * tiles >= _LEAST


def convolve_batch(
    x: Float[Array, "B H W in"], weight: Float[Array, "3 3 in out"]
) -> Float[Array, "B H W out"]:
    """The convolution with stride 1 and `same` padding, summed in float32, in the dtype of x."""
    kernels = jnp.einsum("ik,jl,klco->ijco", _KERNEL, _KERNEL, weight).astype(jnp.float32)

    def convolve_some(images: Array) -> Array:
        inputs = _transform_inputs(images)
        products = [[v @ k for v, k in zip(*row, strict=True)] for row in zip(inputs, kernels, strict=True)]
        return _untile(_transform_products(products), *x.shape[1:3]).astype(x.dtype)

    y = jax.lax.map(convolve_some, _in_chunks(x))
    return y.reshape(*x.shape[:-1], weight.shape[-1])


def weight_gradient(g: Float[Array, "B H W out"], x: Float[Array, "B H W in"]) -> Float[Array, "3 3 in out"]:
    """The gradient of `sum(g * convolve_batch(x, weight))` by the weight, in float32."""

    def add_some(total: list[list[Array]], chunk: tuple[Array, Array]):
        gradients, images = chunk
        outputs, inputs = _transform_gradients(gradients), _transform_inputs(images)
        return [
            [t + _contract_tiles(v, m) for t, v, m in zip(*row, strict=True)]
            for row in zip(total, inputs, outputs, strict=True)
        ], None

    zeros = jnp.zeros((x.shape[-1], g.shape[-1]))
    total, _ = jax.lax.scan(add_some, [[zeros] * 6] * 6, (_in_chunks(g), _in_chunks(x)))
    total = jnp.stack([jnp.stack(row) for row in total])
    return jnp.einsum("ik,jl,ijco->klco", _KERNEL, _KERNEL, total).astype(jnp.float32)


def _contract_tiles(a: Array, b: Array) -> Array:
    return jax.lax.dot_general(
        a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1]), (((0,), (0,)), ((), ()))
    )


def _num_tiles(height: int, width: int) -> int:
    return -(-height // _TILE) * -(-width // _TILE)


def _chunk_size(batch: int, tiles: int) -> int:
    most = max(_MOST // tiles, 1)
    return max(size for size in range(1, most + 1) if batch % size == 0)


def _in_chunks(x: Array) -> Array:
    size = _chunk_size(x.shape[0], _num_tiles(*x.shape[1:3]))
    return x.reshape(-1, size, *x.shape[1:])


def _transform_inputs(images: Array) -> list[list[Array]]:
    """B^T x B of every tile: 6 x 6 arrays `(tiles, in)`."""
    rows, columns = (-(-size // _TILE) * _TILE for size in images.shape[1:3])
    pads = ((0, 0), (1, rows + 1 - images.shape[1]), (1, columns + 1 - images.shape[2]), (0, 0))
    padded = jnp.pad(images.astype(jnp.float32), pads)
    slices = [padded[:, i : i + rows - 3 : _TILE] for i in range(6)]
    return [
        _combine(_INPUT, [half[:, :, j : j + columns - 3 : _TILE] for j in range(6)])
        for half in _combine(_INPUT, slices)
    ]


def _transform_gradients(gradients: Array) -> list[list[Array]]:
    """A g A^T of every tile: 6 x 6 arrays `(tiles, out)`."""
    pads = ((0, 0), *((0, -size % _TILE) for size in gradients.shape[1:3]), (0, 0))
    padded = jnp.pad(gradients.astype(jnp.float32), pads)
    slices = [padded[:, i::_TILE] for i in range(_TILE)]
    return [
        _combine(_OUTPUT.T, [half[:, :, j::_TILE] for j in range(_TILE)])
        for half in _combine(_OUTPUT.T, slices)
    ]


def _transform_products(products: list[list[Array]]) -> list[list[Array]]:
    """A^T m A of every tile: 4 x 4 arrays like the products."""
    columns = [_combine(_OUTPUT, column) for column in zip(*products, strict=True)]
    return [_combine(_OUTPUT, half) for half in zip(*columns, strict=True)]


def _combine(matrix: np.ndarray, arrays: Sequence[Array]) -> list[Array]:
    """The sums of the arrays with each row's coefficients; sparse, and most are 1 or -1."""
    return [
        reduce(add, [a if c == 1 else float(c) * a for c, a in zip(row, arrays, strict=True) if c])
        for row in matrix
    ]


def _untile(tiles: list[list[Array]], height: int, width: int) -> Array:
    """The image of which `tiles[i][j]` holds the pixels (i, j) of every tile."""
    # First along the last axis: what XLA concatenates in one piece each, it copies fast.
    rows = [jnp.concatenate(row, axis=-1) for row in tiles]
    image = jnp.concatenate([row.reshape(*row.shape[:2], 1, -1) for row in rows], axis=2)
    batch, tall, _, wide = image.shape
    image = image.reshape(batch, _TILE * tall, -1, tiles[0][0].shape[-1])
    return image[:, :height, :width]
