"""The one train step, and many of them in one dispatch."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from jaxvae._checks import expect_in_range, expect_positive, expected
from jaxvae._typing import Bytes, Key, Scalar
from jaxvae.train.state import TrainState

# loss_fn(model, key, x, y) -> the loss of one example, or a dict of its terms, each a scalar.
LossFn = Callable[[Any, Key, Any, Any], Any]


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """One step on one batch; see `make_train_step`.

    Args:
        update: `((x, y), state) -> (state, terms, gradient_norm)`, jitted: what a call gives, and the global
            L2 norm of the gradient before the optimiser clips it, in nats per unit of the parameters.
    """

    update: Callable[[tuple[Any, Any], TrainState], tuple[TrainState, Any, Scalar]]

    def __call__(self, state: TrainState, x, y=None) -> tuple[TrainState, Any]:
        """The next state, and the mean of what the loss function gave over `x` and `y`, leading axis B."""
        state, terms, _ = self.update((x, y), state)
        return state, terms


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    *,
    combine: Callable[[Any, Scalar], Scalar] | None = None,
    ema_decay: float | None = None,
    num_parts: int = 1,
) -> TrainStep:
    """Makes the jitted step: one gradient of the mean loss of a batch, one update.

    Step t draws from `fold_in(state.key, t)`, so a resumed run repeats the uninterrupted one. The state
    is donated: use the returned one.

    Args:
        loss_fn: `(model, key, x, y) -> loss` of one example, such as the negative ELBO; or its terms, a dict,
            for `combine`.
        optimizer: from optax.
        combine: `(terms, step) -> loss`, from the means of the terms over the batch and the steps done so
            far, such as `objectives.make_loss()`; None where `loss_fn` gives the loss.
        ema_decay: decay of the moving average of the parameters, for a state that was made with
            `ema=True`; it warms up as min(decay, (1 + t) / (10 + t)).
        num_parts: the gradient is accumulated over so many equal parts of the batch, one after the other;
            memory falls with it. The result is the same where `combine` is linear in the terms.

    Returns:
        `step(state, x, y=None) -> (state, loss)` with `x` and `y` of leading axis B, and the mean of what
        `loss_fn` gives.

    Raises:
        ValueError: if `ema_decay` is not in [0, 1) or `num_parts` not positive; from the step, if state and
            step do not agree on whether there is an average, or if the parts do not divide the batch.
    """
    if ema_decay is not None:
        expect_in_range("ema_decay", ema_decay, 0, 1)
    expect_positive("num_parts", num_parts)

    def batch_loss(model, now: Scalar, batch) -> tuple[Scalar, Any]:
        terms = eqx.filter_vmap(loss_fn, in_axes=(None, 0, 0, 0))(model, *batch)
        terms = jax.tree.map(jnp.mean, terms)
        return terms if combine is None else combine(terms, now), terms

    # The state comes last, so that it alone is donated.
    @eqx.filter_jit(donate="all-except-first")
    def update(batch, state: TrainState) -> tuple[TrainState, Any, Scalar]:
        if (state.ema is None) != (ema_decay is None):
            raise expected("ema of the state and ema_decay of the step", "to come together", "one of them")
        size = len(jax.tree.leaves(batch)[0])
        if size % num_parts:
            raise expected(f"a batch of {size}", f"to be divisible into {num_parts} parts", size)
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), size)
        compute = partial(batch_loss, now=state.step)
        gradient, terms = _mean_gradient(compute, state.model, (keys, *batch), num_parts)
        # Apart from the optimiser's own squares, which XLA would otherwise write out to share them.
        norm = optax.tree.norm(jax.lax.optimization_barrier(gradient))
        parameters = eqx.filter(state.model, eqx.is_inexact_array)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer_state, parameters)
        model = eqx.apply_updates(state.model, updates)
        ema = None if ema_decay is None else _move_average(state, model, ema_decay)
        return TrainState(model, optimizer_state, ema, state.step + 1, state.key), terms, norm

    return TrainStep(update)


def _mean_gradient(compute: Callable, model: Any, batch: Any, num_parts: int) -> tuple[Any, Any]:
    """The gradient of `compute(model, batch=...) -> (loss, terms)` and the terms, averaged over the parts."""

    def one_part(part) -> tuple[Any, Any]:
        (_, terms), gradient = eqx.filter_value_and_grad(compute, has_aux=True)(model, batch=part)
        return gradient, terms

    if num_parts == 1:
        return one_part(batch)
    parts = jax.tree.map(lambda a: a.reshape(num_parts, -1, *a.shape[1:]), batch)

    def add(total, part):
        return jax.tree.map(lambda a, b: a + b / num_parts, total, one_part(part)), None

    first = jax.tree.map(lambda a: a[0], parts)
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), eqx.filter_eval_shape(one_part, first))
    return jax.lax.scan(add, zeros, parts)[0]


def _move_average(state: TrainState, model: Any, decay: float) -> Any:
    warm = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
    return optax.incremental_update(eqx.filter(model, eqx.is_inexact_array), state.ema, 1 - warm)


def epoch_order(key: Key, epoch: Int[Array, ""], num_images: int) -> Int[Array, " N"]:
    """The order in which an epoch visits the images: a permutation that depends on key and epoch."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), num_images)


def data_keys(key: Key) -> tuple[Key, Key]:
    """The keys of the order of the images and of their preparation, from a run's root key."""
    # No step is numbered like this, so the data's keys differ from the steps'.
    order_key, prepare_key = jax.random.split(jax.random.fold_in(key, jnp.uint32(2**32 - 1)))
    return order_key, prepare_key


def _two_orders(key: Key, num_images: int, epoch: Scalar) -> Int[Array, "2 N"]:
    """The orders of an epoch and of the next: a block may end in the epoch after the one it starts in."""
    return jnp.stack([epoch_order(key, epoch + i, num_images) for i in (0, 1)])


def _rows_of(orders: Int[Array, "2 N"], step: Scalar, batch_size: int) -> Int[Array, " B"]:
    """The images of a step, counted from the start of the first of the two epochs."""
    epoch, place = jnp.divmod(step, orders.shape[1] // batch_size)
    return jax.lax.dynamic_slice(orders, (epoch, place * batch_size), (1, batch_size))[0]


def make_multi_step(
    step: TrainStep, *, batch_size: int, block_size: int, prepare: Callable[[Key, Bytes], Any]
) -> Callable:
    """Makes the function that runs many steps in one dispatch, over data that stay on the device.

    Each epoch visits the images in a fresh order without replacement, and leaves out the last
    `N mod batch_size`. The order, the binarisation and the step's own draws depend on the root key and
    the step alone: cutting a run into dispatches anywhere changes nothing.

    Args:
        step: from `make_train_step`.
        batch_size: B.
        block_size: S, the steps between two looks at whether to go on; at most those of an epoch. A scan
            of known length is what keeps a GPU from waiting for the host at every step.
        prepare: `(key, images) -> x`, from uint8 `(B, C, H, W)` to what the model sees.

    Returns:
        `multi_step((images, labels, num_blocks), state) -> (state, sums, losses, norms)`, to be jitted: the
        sums over the steps of what the step gives, its total at each of the S steps of the last block, and
        the sum over the steps of the norms of the gradients. It stops after a block with a loss that is not
        finite.

    Raises:
        ValueError: if a size is not positive.
    """
    expect_positive("batch_size", batch_size)
    expect_positive("block_size", block_size)

    def multi_step(
        work: tuple[Bytes, Any, Scalar], state: TrainState
    ) -> tuple[TrainState, Any, Array, Scalar]:
        images, labels, num_blocks = work
        arrays, static = eqx.partition(state, eqx.is_array)
        steps_per_epoch = images.shape[0] // batch_size
        order_key, prepare_key = data_keys(state.key)
        orders_from = partial(_two_orders, order_key, images.shape[0])
        end = state.step + num_blocks * block_size
        run_one = partial(_one_step, step, prepare, prepare_key, static)

        def one_step(carry, _):
            arrays, first_epoch, orders = carry
            rows = _rows_of(orders, arrays.step - first_epoch * steps_per_epoch, batch_size)
            arrays, given = run_one(arrays, (images[rows], None if labels is None else labels[rows]))
            return (arrays, first_epoch, orders), given

        def one_block(carry):
            arrays, known_epoch, orders, sums, _, norms = carry
            epoch = arrays.step // steps_per_epoch
            orders = jax.lax.cond(epoch == known_epoch, lambda _: orders, orders_from, epoch)
            start = arrays, epoch, orders
            (arrays, *_), (terms, more) = jax.lax.scan(one_step, start, length=block_size)
            sums = jax.tree.map(lambda total, each: total + jnp.sum(each), sums, terms)
            return arrays, epoch, orders, sums, jax.tree.reduce(jnp.add, terms), norms + jnp.sum(more)

        def goes_on(carry) -> Array:
            arrays, _, _, sums, *_ = carry
            return (arrays.step < end) & jnp.isfinite(jax.tree.reduce(jnp.add, sums))

        epoch = state.step // steps_per_epoch
        orders = orders_from(epoch)
        _, (terms, _) = jax.eval_shape(one_step, (arrays, epoch, orders), None)
        sums = jax.tree.map(lambda term: jnp.zeros(term.shape, term.dtype), terms)
        carry = (arrays, epoch, orders, sums, jnp.zeros((block_size,), jnp.float32), jnp.zeros(()))
        arrays, _, _, sums, losses, norms = jax.lax.while_loop(goes_on, one_block, carry)
        return eqx.combine(arrays, static), sums, losses, norms

    return multi_step


def _one_step(step: TrainStep, prepare: Callable, prepare_key: Key, static: Any, arrays: Any, batch: Any):
    """A step on a batch of stored images and their labels, between the arrays of one state and the next."""
    images, y = batch
    x = prepare(jax.random.fold_in(prepare_key, arrays.step), images)
    state, terms, norm = step.update((x, y), eqx.combine(arrays, static))
    return eqx.filter(state, eqx.is_array), (terms, norm)


def make_stream_step(step: TrainStep, *, prepare: Callable[[Key, Bytes], Any]) -> Callable:
    """Makes the function that runs many steps in one dispatch, over batches that are sent with it.

    With the batches that `Batches` gives, the steps are those of `make_multi_step`: the same images in the
    same order, with the same draws.

    Args:
        step: from `make_train_step`.
        prepare: `(key, images) -> x`, from uint8 `(B, C, H, W)` to what the model sees.

    Returns:
        `stream_step((images, labels), state) -> (state, sums, losses, norms)`, to be jitted: images
        `(S, B, C, H, W)` and labels `(S, B)` or None of S steps, the sums over them of what the step gives,
        its total at each, and the sum of the norms of the gradients.
    """

    def stream_step(batches: tuple[Any, Any], state: TrainState) -> tuple[TrainState, Any, Array, Scalar]:
        arrays, static = eqx.partition(state, eqx.is_array)
        _, prepare_key = data_keys(state.key)
        run_one = partial(_one_step, step, prepare, prepare_key, static)
        arrays, (terms, norms) = jax.lax.scan(run_one, arrays, batches)
        losses = jax.tree.reduce(jnp.add, terms)
        return eqx.combine(arrays, static), jax.tree.map(jnp.sum, terms), losses, jnp.sum(norms)

    return stream_step
