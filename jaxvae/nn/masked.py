"""Autoregressive networks by masking: MADE."""

from collections.abc import Callable, Sequence

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxvae._checks import expect_choice, expect_positive, expect_shape, expected
from jaxvae._typing import Context, Key, Latent
from jaxvae.nn.product import product
from jaxvae.nn.weight_norm import WeightNorm

# Of rows, on a CPU: more of them skip more of the zeros, and copy more.
_NUM_BLOCKS = 4


class MaskedLinear(eqx.Module):
    """An affine map `(mask * W) x + U c + b` of an input and a context.

    On a CPU the product is made in blocks of rows, each with the columns up to the last that its mask
    leaves: the masks of MADE are staircases, and so 3/8 of the work falls away, in the gradient as well.

    Args:
        mask: bool `(rows, in)`, true where an output may depend on an input.
        repeats: out / rows; the outputs are so many runs of rows with the same mask.
        context_dim: F, the size of the context; 0 for none.
        adds_context: whether the context, of the size of the outputs, has no weights: `W x + c + b`.
        gain: the initial standard deviation of the outputs, for inputs and context of deviation 1: each
            row of the weights counts the inputs that its mask leaves.
        weight_norm: whether the layer is weight-normalised, over what the mask leaves.
        dtype: of the operands of the matrix products, float32 or bfloat16; sums are always float32.
        key: for the initial weights.
    """

    weight: Float[Array, "out in"]
    context_weight: Float[Array, "out F"] | None
    bias: Float[Array, " out"] | None
    norm: WeightNorm | None
    mask: Bool[Array, "out in"]
    blocks: tuple[tuple[int, int, int], ...] = eqx.field(static=True)
    repeats: int = eqx.field(static=True)
    adds_context: bool = eqx.field(static=True)
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(
        self,
        mask: Bool[np.ndarray, "rows in"],
        *,
        repeats: int = 1,
        context_dim: int = 0,
        adds_context: bool = False,
        gain: float = 1.0,
        weight_norm: bool = False,
        dtype=jnp.float32,
        key: Key,
    ):
        expect_choice("dtype", jnp.dtype(dtype).name, ["float32", "bfloat16"])
        self.blocks, self.repeats, self.adds_context = _row_blocks(mask), repeats, adds_context
        mask = np.tile(mask, (repeats, 1))
        self.mask = jnp.asarray(mask)
        self.dtype = jnp.dtype(dtype)
        weight_key, context_key = jax.random.split(key)
        num_outputs, num_inputs = mask.shape
        fan_in = np.maximum(mask.sum(axis=1, keepdims=True) + context_dim, 1)
        deviation = gain / jnp.sqrt(jnp.asarray(fan_in, jnp.float32))
        self.weight = deviation * jax.random.normal(weight_key, (num_outputs, num_inputs)) * self.mask
        self.context_weight = None
        if context_dim:
            shape = (num_outputs, context_dim)
            self.context_weight = deviation * jax.random.normal(context_key, shape)
        self.bias = None if weight_norm else jnp.zeros((num_outputs,))
        self.norm = None
        if weight_norm:
            self.norm = WeightNorm(self._norms(), jnp.zeros((num_outputs,)), min(gain, 1.0))

    def __call__(self, x: Float[Array, " in"], context: Context | None = None) -> Float[Array, " out"]:
        """Maps one example; `vmap` it for a batch. A layer that takes no context ignores it."""
        chex.assert_shape(x, (self.weight.shape[1],))
        y = self._masked_product(x)
        if self.context_weight is not None:
            assert context is not None
            y = y + product(self.context_weight, context, self.dtype)
        elif self.adds_context:
            assert context is not None
            y = y + context
        if self.norm is not None:
            return self.norm(y, self._norms())
        return y if self.bias is None else y + self.bias

    def _masked_product(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        weight = jnp.where(self.mask, self.weight, 0)
        if len(self.blocks) == 1 or jax.default_backend() != "cpu":
            return product(weight, x, self.dtype)
        runs = weight.reshape(self.repeats, -1, len(x))
        parts = []
        for start, stop, used in self.blocks:
            block, some = runs[:, start:stop, :used].reshape(-1, used), x[:used]
            # In float32 with x first: `vmap` then leaves the examples' axes in front, so that concatenating
            # the blocks, and taking some columns of them in the next layer, copies whole runs of numbers.
            is_low = self.dtype == jnp.bfloat16
            part = product(block, some, self.dtype) if is_low else some @ block.T
            parts.append(part.reshape(self.repeats, -1))
        return jnp.concatenate(parts, axis=1).ravel()

    def _norms(self) -> Float[Array, " out"]:
        """Of the weights that the mask leaves and the context's; 1 for an output that has none."""
        squares = jnp.sum(jnp.where(self.mask, self.weight, 0) ** 2, axis=1)
        if self.context_weight is not None:
            squares = squares + jnp.sum(self.context_weight**2, axis=1)
        return jnp.sqrt(jnp.where(squares > 0, squares, 1.0))


class MADE(eqx.Module):
    """Several outputs for each input, which depend on the inputs before it in the order alone.

    Germain et al. 2015, arXiv:1502.03509: hidden unit k has a degree m(k) and sees the inputs whose place
    in the order is below it (eq. 8); the outputs of place d see the hidden units with m(k) <= d (eq. 9).
    With residual connections it is the ResMADE of Nash & Durkan 2019 (arXiv:1904.05626).

    Args:
        latent_dim: D, the number of inputs.
        widths: of the hidden layers; none gives a linear map.
        num_outputs: P, outputs for each input.
        order: the place of each input, a permutation of 0 ... D - 1; as they come where None.
        degrees: `equal`, spread evenly over the places, or `random`, drawn uniformly (section 4).
        degrees_seed: of the random degrees. They are no part of the weights: layers made with any key have
            the same masks.
        context_dim: F, the size of the context that all outputs may depend on; 0 for none.
        context_layers: `every`, or `first`, which the context enters through weights; or `add`, where it is
            added to the first hidden layer as it is, and so has that layer's size.
        residual: whether each hidden layer after the first is added to what it takes.
        weight_norm: whether every layer is weight-normalised.
        activation: of the hidden layers.
        dtype: of the operands of the matrix products.
        key: for the initial weights.

    Raises:
        ValueError: if a size is not positive; if the order is no permutation; if a residual network has
            hidden layers of several widths; if an added context has another size; if the degrees leave an
            output without inputs.
    """

    layers: tuple[MaskedLinear, ...]
    order: tuple[int, ...] = eqx.field(static=True)
    num_outputs: int = eqx.field(static=True)
    context_dim: int = eqx.field(static=True)
    context_layers: str = eqx.field(static=True)
    residual: bool = eqx.field(static=True)
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        widths: Sequence[int] = (512, 512),
        *,
        num_outputs: int = 2,
        order: Sequence[int] | None = None,
        degrees: str = "equal",
        degrees_seed: int = 0,
        context_dim: int = 0,
        context_layers: str = "every",
        residual: bool = False,
        weight_norm: bool = False,
        activation: Callable[[Array], Array] = jax.nn.relu,
        dtype=jnp.float32,
        key: Key,
    ):
        for name, size in (("latent_dim", latent_dim), ("num_outputs", num_outputs)):
            expect_positive(name, size)
        expect_choice("context_layers", context_layers, ["first", "every", "add"])
        adds = context_dim > 0 and context_layers == "add"
        if adds and context_dim != (*widths, 0)[0]:
            what = "a context that is added to the first hidden layer"
            raise expected(what, f"to have its size, {(*widths, 0)[0]}", context_dim)
        self.order = tuple(int(place) for place in (range(latent_dim) if order is None else order))
        if sorted(self.order) != list(range(latent_dim)):
            raise expected("order", f"to be a permutation of 0 to {latent_dim - 1}", self.order)
        if residual and len(set(widths)) > 1:
            raise expected("widths of a residual MADE", "to be all the same", tuple(widths))
        self.num_outputs, self.context_dim, self.context_layers = num_outputs, context_dim, context_layers
        self.residual, self.activation = residual, activation
        expect_choice("degrees", degrees, ["equal", "random"])
        random = np.random.RandomState(degrees_seed) if degrees == "random" else None
        masks = _make_masks(self.order, widths, context_dim > 0, residual, random)
        # ReLU's scale for the hidden layers; a last layer that starts small starts the flow near a
        # map that is the same everywhere.
        gains = [2**0.5] * len(widths) + [0.1]
        self.layers = tuple(
            MaskedLinear(
                mask,
                repeats=num_outputs if i == len(widths) else 1,
                context_dim=context_dim if not adds and (i == 0 or context_layers == "every") else 0,
                adds_context=adds and i == 0,
                gain=gain,
                weight_norm=weight_norm,
                dtype=dtype,
                key=k,
            )
            for i, (mask, gain, k) in enumerate(
                zip(masks, gains, jax.random.split(jax.random.fold_in(key, 1), len(masks)), strict=True)
            )
        )

    def __call__(self, z: Latent, context: Context | None = None) -> Float[Array, "P D"]:
        """The outputs of one example.

        Raises:
            ValueError: if the latent or the context is of another size than was said.
        """
        expect_shape("the latent", z.shape, (len(self.order),))
        expect_context(context, self.context_dim)
        hidden = self.layers[0](z, context)
        for i, layer in enumerate(self.layers[1:], start=1):
            update = layer(self.activation(hidden), context)
            is_added = self.residual and i < len(self.layers) - 1
            hidden = hidden + update if is_added else update
        return hidden.reshape(self.num_outputs, -1)


def expect_context(context: Context | None, context_dim: int) -> None:
    """Raises `ValueError` unless the context has the size `(context_dim,)`, or is None for none."""
    if context_dim == 0 and context is None:
        return
    if context_dim == 0 or context is None:
        wanted = f"to have shape ({context_dim},)" if context_dim else "to be None: none was asked for"
        raise expected("the context", wanted, None if context is None else context.shape)
    expect_shape("the context", context.shape, (context_dim,))


def _row_blocks(mask: Bool[np.ndarray, "rows in"]) -> tuple[tuple[int, int, int], ...]:
    """Blocks of rows from `start` to `stop`, with the columns `used`: beyond them all is masked."""
    rows, columns = mask.shape
    edges = np.linspace(0, rows, min(_NUM_BLOCKS, rows) + 1).astype(int).tolist()
    used = [
        int(np.max(np.nonzero(mask[start:stop])[1], initial=0)) + 1
        for start, stop in zip(edges[:-1], edges[1:], strict=True)
    ]
    blocks = tuple(zip(edges[:-1], edges[1:], used, strict=True))
    work = sum((stop - start) * used for start, stop, used in blocks)
    return blocks if work < 0.9 * rows * columns else ((0, rows, columns),)


def _make_masks(
    order: tuple[int, ...],
    widths: Sequence[int],
    with_context: bool,
    residual: bool,
    random: np.random.RandomState | None,
) -> list[np.ndarray]:
    """One mask for each layer, the last `(D, hidden)`; with degrees from `random`, or equal where None."""
    # The place of an input plus one is its degree, so that a unit of degree m sees m inputs.
    ends, latent_dim = np.asarray(order) + 1, len(order)
    # With a context, units that see no input are of use: they tell the first output of it.
    lowest = 0 if with_context or latent_dim == 1 else 1
    degrees = []
    for width in widths:
        expect_positive("widths", width)
        if residual and degrees:
            drawn = degrees[-1]
        elif random is None:
            drawn = np.round(np.linspace(lowest, latent_dim - 1, width)).astype(int)
            drawn[1:2] = np.minimum(drawn[1:2], 1)  # however narrow, some unit sees the first input alone
        else:
            drawn = np.sort(random.randint(degrees[-1].min() if degrees else lowest, latent_dim, width))
        degrees.append(drawn)
    inputs = [ends, *degrees]
    masks = [above[:, None] >= below[None, :] for below, above in zip(inputs[:-1], degrees, strict=True)]
    masks.append(ends[:, None] > inputs[-1][None, :])
    _expect_connected(masks, order, widths)
    return masks


def _expect_connected(masks: list[np.ndarray], order: tuple[int, ...], widths: Sequence[int]) -> None:
    """Raises unless every output but the first of the order depends on some input."""
    paths = np.eye(len(order), dtype=np.float32)
    for mask in masks:
        paths = (mask.astype(np.float32) @ paths > 0).astype(np.float32)
    alone = [place for place, row in zip(order, paths, strict=True) if place > 0 and not row.any()]
    if alone:
        raise expected(
            f"widths {tuple(widths)} and their degrees",
            "to leave every output but the first of the order an input",
            f"none for place {min(alone)} of 0 to {len(order) - 1}",
        )
