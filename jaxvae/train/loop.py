"""The training loop: dispatches, measures, evaluates, saves."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import expect_in_range, expect_positive
from jaxvae._compilation import AheadOfTime
from jaxvae.evaluate import Evaluation
from jaxvae.train.checkpoint import Checkpoints
from jaxvae.train.state import TrainState
from jaxvae.train.step import TrainStep, make_multi_step

# A dispatch is cut to about this long, so that the progress bar moves and a stop is heeded.
_DISPATCH_SECONDS = 1.0


class NonFiniteLoss(FloatingPointError):
    """The loss, or a parameter, is no longer a finite number."""


class Writer(Protocol):
    """Where a run's numbers go: `jaxvae.writers` has the console, JSON lines and TensorBoard."""

    def advance(self, step: int) -> None:
        """Called after every dispatch with the steps done so far."""

    def write(self, record: dict[str, float]) -> None:
        """Called with each record; `record["step"]` says when."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long to train and how often to look, all in steps.

    Args:
        num_steps: length of the run, counted from step 0.
        batch_size: B.
        log_every: interval of the records.
        evaluate_every: interval of the evaluations and of the checkpoints.
    """

    num_steps: int
    batch_size: int
    log_every: int = 500
    evaluate_every: int = 2500

    def __post_init__(self):
        for field in dataclasses.fields(self):
            expect_positive(field.name, getattr(self, field.name))

    def block_size(self, step: int, num_images: int) -> int:
        """Steps of one scan: they divide the way to every stop, and are at most 100 and an epoch."""
        whole = math.gcd(step, self.num_steps, self.log_every, self.evaluate_every)
        most = min(100, num_images // self.batch_size)
        return next(size for size in range(most, 0, -1) if whole % size == 0)

    def next_stop(self, step: int) -> int:
        """The first step after `step` at which something is logged, evaluated or ended."""
        stops = (step - step % every + every for every in (self.log_every, self.evaluate_every))
        return min(*stops, self.num_steps)


class Tally(eqx.Module):
    """What a run has spent and reached so far; saved beside the state, so a resumed run goes on counting.

    Args:
        train_seconds: in the train steps, without compilation.
        evaluate_seconds: in evaluations, without compilation.
        compile_seconds: in compilation.
        best_elbo: the highest ELBO of the split that selects, or -inf.
    """

    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    compile_seconds: float = 0.0
    best_elbo: float = -np.inf

    def plus(self, **amounts: float) -> "Tally":
        """A tally with `amounts` added."""
        return dataclasses.replace(self, **{k: float(getattr(self, k)) + v for k, v in amounts.items()})


@dataclasses.dataclass(frozen=True)
class Monitor:
    """The evaluation that accompanies training.

    Args:
        name: prefix of its numbers in the records, such as `validation`.
        evaluate: `(model) -> Evaluation`.
        selects: whether its ELBO chooses the best checkpoint; False for test images.
    """

    name: str
    evaluate: Callable[[Any], Evaluation]
    selects: bool


def train(
    state: TrainState,
    step: TrainStep,
    images: Any,
    labels: Any = None,
    *,
    schedule: Schedule,
    prepare: Callable = lambda key, images: images,
    monitor: Monitor | None = None,
    writer: Writer | None = None,
    checkpoints: Checkpoints | None = None,
    tally: Tally | None = None,
    stop_requested: Callable[[], object] = lambda: False,
) -> tuple[TrainState, Tally]:
    """Trains until `schedule.num_steps`, with one host synchronisation per dispatch of many steps.

    Args:
        state: where to start; donated.
        step: from `make_train_step`, with the negative ELBO as its loss.
        images: `(N, C, H, W)`; they stay on the device.
        labels: `(N, Y)` or None.
        schedule: how long, and how often to look.
        prepare: `(key, images) -> x`, applied to each batch inside the jitted step.
        monitor: an evaluation to run at every `schedule.evaluate_every`.
        writer: takes the records `step`, `epoch`, `train_elbo`, `examples_per_second` and the monitor's
            `<name>_elbo` and `<name>_log_p_x`.
        checkpoints: where to save; None for nowhere.
        tally: of the run's earlier parts.
        stop_requested: asked between dispatches; when true, saves and returns early.

    Returns:
        The last state and the tally.

    Raises:
        NonFiniteLoss: when the loss or a parameter is not finite; the last good checkpoint stays.
        ValueError: if there are fewer images than a batch.
    """
    expect_in_range("batch_size", schedule.batch_size, 1, len(images) + 1)
    tally, now = tally or Tally(), int(state.step)
    block_size = schedule.block_size(now, len(images))
    multi_step = make_multi_step(step, batch_size=schedule.batch_size, block_size=block_size, prepare=prepare)
    runner = _Runner(multi_step, block_size, images, labels, writer)
    while now < schedule.num_steps:
        part = runner.run(state, schedule.next_stop(now), stop_requested)
        state, now = part.state, int(part.state.step)
        tally = tally.plus(train_seconds=part.seconds, compile_seconds=part.compile_seconds)
        _expect_finite(state, part.losses, checkpoints)
        if stop_requested() and now < schedule.num_steps:
            _save(checkpoints, state, tally)
            break
        record = {
            "step": now,
            "epoch": now * schedule.batch_size / len(images),
            "train_elbo": -part.mean_loss,
            "examples_per_second": part.num_steps * schedule.batch_size / part.seconds,
        }
        looks = now % schedule.evaluate_every == 0 or now == schedule.num_steps
        if looks and monitor is not None:
            tally = _look(monitor, state, tally, record, checkpoints)
        if writer is not None and (looks or now % schedule.log_every == 0):
            writer.write(record)
        if looks:
            _save(checkpoints, state, tally)
    return state, tally


@dataclasses.dataclass(frozen=True)
class _Part:
    """What running to the next stop gave; `losses` are those of the last block."""

    state: TrainState
    num_steps: int
    mean_loss: float
    losses: np.ndarray
    seconds: float
    compile_seconds: float


class _Runner:
    """Runs to a step in dispatches of about `_DISPATCH_SECONDS`."""

    def __init__(
        self, multi_step: Callable, block_size: int, images: Any, labels: Any, writer: Writer | None
    ):
        self._run = AheadOfTime(multi_step, donate="all-except-first")
        self._block_size = block_size
        self._images = jnp.asarray(images)
        self._labels = None if labels is None else jnp.asarray(labels)
        self._writer = writer
        self._num_blocks = 1

    def run(self, state: TrainState, until: int, stop_requested: Callable[[], object]) -> _Part:
        compiled_before = self._run.compile_seconds
        start = now = int(state.step)
        total, losses, seconds = 0.0, np.zeros(1), 0.0
        while now < until and np.isfinite(total) and not (now > start and stop_requested()):
            num_blocks = min(self._num_blocks, (until - now) // self._block_size)
            work = (self._images, self._labels, jnp.asarray(num_blocks, jnp.int32))
            self._run.compile(work, state)
            began = time.perf_counter()
            state, loss_sum, losses = self._run(work, state)
            # Reading the losses is the one synchronisation of a dispatch.
            total += float(loss_sum)
            took = time.perf_counter() - began
            now, seconds = int(state.step), seconds + took
            self._num_blocks = max(1, round(num_blocks * _DISPATCH_SECONDS / took))
            if self._writer is not None:
                self._writer.advance(now)
        return _Part(
            state=state,
            num_steps=now - start,
            mean_loss=total / (now - start),
            losses=np.asarray(losses),
            seconds=seconds,
            compile_seconds=self._run.compile_seconds - compiled_before,
        )


def _look(
    monitor: Monitor, state: TrainState, tally: Tally, record: dict, checkpoints: Checkpoints | None
) -> Tally:
    """Evaluates, adds the numbers to the record, and keeps the state if it is the best so far."""
    evaluation = monitor.evaluate(state.eval_model)
    summary = evaluation.summary()
    elbo = float(summary["elbo"])
    record |= {f"{monitor.name}_elbo": elbo, f"{monitor.name}_log_p_x": summary["log_p_x"]}
    tally = tally.plus(evaluate_seconds=evaluation.seconds, compile_seconds=evaluation.compile_seconds)
    if not monitor.selects or elbo <= tally.best_elbo:
        return tally
    tally = dataclasses.replace(tally, best_elbo=elbo)
    _save(checkpoints, state, tally, best=True)
    return tally


def _save(checkpoints: Checkpoints | None, state: TrainState, tally: Tally, *, best: bool = False) -> None:
    if checkpoints is not None:
        checkpoints.save(int(state.step), (state, tally), best=best)


@eqx.filter_jit
def _all_finite(tree: Any) -> Any:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _expect_finite(state: TrainState, losses: np.ndarray, checkpoints: Checkpoints | None) -> None:
    """Raises unless the losses of the last block and the parameters after it are finite numbers."""
    wrong = np.flatnonzero(~np.isfinite(losses))
    if len(wrong) == 0 and _all_finite(eqx.filter(state.model, eqx.is_inexact_array)):
        return
    step, what, value = int(state.step), "parameters", "some that are not"
    if len(wrong):
        step, what, value = step - len(losses) + int(wrong[0]) + 1, "a loss", losses[wrong[0]]
    good = checkpoints.latest() if checkpoints is not None else None
    raise NonFiniteLoss(
        f"Expected {what} to be finite; got {value} at step {step}. "
        f"The last good checkpoint is {good or 'none: none was saved'}."
    )
