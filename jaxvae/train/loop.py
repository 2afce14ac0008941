"""The training loop: dispatches, measures, evaluates, saves."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import expect_in_range, expect_positive
from jaxvae.evaluate import Evaluation
from jaxvae.train.checkpoint import Checkpoints
from jaxvae.train.feed import Resident, Runner, Streamed
from jaxvae.train.state import TrainState
from jaxvae.train.step import TrainStep


class NonFiniteLoss(FloatingPointError):
    """The loss, or a parameter, is no longer a finite number."""


class Writer(Protocol):
    """Where a run's numbers go: `jaxvae.writers` has the console, JSON lines and TensorBoard."""

    def advance(self, step: int) -> None:
        """Called after every dispatch with the steps done so far."""

    def write(self, record: dict[str, float]) -> None:
        """Called with each record; `record["step"]` says when."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long to train and how often to look, all in steps.

    Args:
        num_steps: length of the run, counted from step 0.
        batch_size: B.
        log_every: interval of the records.
        evaluate_every: interval of the evaluations and of the checkpoints.
        block_size: steps of one scan on the device; what is left before a stop is run one by one.
    """

    num_steps: int
    batch_size: int
    log_every: int = 500
    evaluate_every: int = 2500
    block_size: int = 50

    def __post_init__(self):
        for field in dataclasses.fields(self):
            expect_positive(field.name, getattr(self, field.name))

    def next_stop(self, step: int) -> int:
        """The first step after `step` at which something is logged, evaluated or ended."""
        stops = (step - step % every + every for every in (self.log_every, self.evaluate_every))
        return min(*stops, self.num_steps)

    def stops_at(self, step: int) -> bool:
        """Whether something is logged, evaluated or ended at this step."""
        return self.evaluates_at(step) or step % self.log_every == 0

    def evaluates_at(self, step: int) -> bool:
        """Whether there is an evaluation and a checkpoint at this step."""
        return step % self.evaluate_every == 0 or step == self.num_steps


class Tally(eqx.Module):
    """What a run has spent and reached so far; saved beside the state, so a resumed run goes on counting.

    Args:
        train_seconds: in the train steps, without compilation.
        evaluate_seconds: in evaluations, without compilation.
        compile_seconds: in compilation.
        best_elbo: the highest ELBO, or other number that selects, of the split that does; or -inf.
        sums: of the terms of the loss since the last record, by name; a loss without terms is the negative
            `elbo`.
        num_summed: of how many steps.
    """

    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    compile_seconds: float = 0.0
    best_elbo: float = -np.inf
    sums: dict[str, float] = dataclasses.field(default_factory=lambda: {"elbo": 0.0})
    num_summed: int = 0

    def plus(self, **amounts: float) -> "Tally":
        """A tally with `amounts` added."""
        return dataclasses.replace(self, **{name: getattr(self, name) + v for name, v in amounts.items()})

    def plus_terms(self, sums: dict[str, float], num_steps: int) -> "Tally":
        """A tally with the sums over more steps added."""
        total = {name: self.sums.get(name, 0.0) + value for name, value in sums.items()}
        return dataclasses.replace(self, sums=total, num_summed=self.num_summed + num_steps)


@dataclasses.dataclass(frozen=True)
class Monitor:
    """The evaluation that accompanies training.

    Args:
        name: prefix of its numbers in the records, such as `validation`.
        evaluate: `(model) -> Evaluation`.
        selects: the number of its summary that chooses the best checkpoint, such as `elbo`; None for none.
    """

    name: str
    evaluate: Callable[[Any], Evaluation]
    selects: str | None


@dataclasses.dataclass(frozen=True)
class Observer:
    """Someone who looks at the model now and then.

    Args:
        every: steps between looks.
        look: `(step, model)`, called at each multiple of `every`; the model's arrays are gone after it.
    """

    every: int
    look: Callable[[int, Any], None]

    def __post_init__(self):
        expect_positive("every", self.every)


def train(
    state: TrainState,
    step: TrainStep,
    images: Any,
    labels: Any = None,
    *,
    plan: Plan,
    resident: bool = True,
    prepare: Callable = lambda key, images: images,
    monitor: Monitor | None = None,
    observers: Sequence[Observer] = (),
    writer: Writer | None = None,
    checkpoints: Checkpoints | None = None,
    tally: Tally | None = None,
    stop_requested: Callable[[], object] = lambda: False,
) -> tuple[TrainState, Tally]:
    """Trains until `plan.num_steps`, with one host synchronisation per dispatch of many steps.

    Args:
        state: where to start; donated.
        step: from `make_train_step`, with the negative ELBO as its loss, or with terms that have `elbo`
            among them.
        images: `(N, C, H, W)`.
        labels: `(N, Y)` or None.
        plan: how long, and how often to look.
        resident: whether the images go to the device as a whole. Where they do not, anything serves that has
            a length, a shape, a type and rows `images[indices]`, as `data.OnDisk`; batches are read ahead.
        prepare: `(key, images) -> x`, applied to each batch inside the jitted step.
        monitor: an evaluation to run at every `plan.evaluate_every`.
        observers: look at the model, with the averaged parameters where they are kept, and change nothing.
        writer: takes the records `step`, `epoch`, `train_elbo` and the other terms likewise,
            `examples_per_second` and the monitor's `<name>_elbo` and `<name>_log_p_x`.
        checkpoints: where to save; None for nowhere.
        tally: of the run's earlier parts.
        stop_requested: asked between dispatches; when true, saves and returns early.

    Returns:
        The last state and the tally.

    Raises:
        NonFiniteLoss: when the loss or a parameter is not finite; the last good checkpoint stays.
        ValueError: if there are fewer images than a batch.
    """
    expect_in_range("batch_size", plan.batch_size, 1, len(images) + 1)
    make_feed = Resident if resident else Streamed
    feed = make_feed(step, prepare, images, labels, plan.batch_size, plan.block_size, state.key)
    runner = Runner(feed, lambda now: None if writer is None else writer.advance(now))
    tally, now = tally or Tally(), int(state.step)
    while now < plan.num_steps:
        looks = [now - now % observer.every + observer.every for observer in observers]
        stop = min([plan.next_stop(now), *looks])
        part = runner.run(state, stop, stop_requested)
        state, now = part.state, int(part.state.step)
        _expect_finite(state, part.losses, checkpoints)
        tally = tally.plus(train_seconds=part.seconds, compile_seconds=part.compile_seconds)
        tally = tally.plus_terms(part.sums, part.num_steps)
        for observer in observers:
            if now % observer.every == 0:
                observer.look(now, state.eval_model)
        if plan.stops_at(now):
            tally = _record(now, part, state, tally, plan, monitor, writer, checkpoints, len(images))
        interrupted = now < plan.num_steps and stop_requested()
        if interrupted or plan.evaluates_at(now):
            _save(checkpoints, state, tally)
        if interrupted:
            break
    return state, tally


def _record(now, part, state, tally, plan, monitor, writer, checkpoints, num_images) -> Tally:
    """Evaluates where it is due, keeps the best state, and writes the record of this step."""
    record = {
        "step": now,
        "epoch": now * plan.batch_size / num_images,
        **{f"train_{name}": total / tally.num_summed for name, total in tally.sums.items()},
        "examples_per_second": part.num_steps * plan.batch_size / part.seconds,
    }
    tally = dataclasses.replace(tally, sums=dict.fromkeys(tally.sums, 0.0), num_summed=0)
    if monitor is not None and plan.evaluates_at(now):
        evaluation = monitor.evaluate(state.eval_model)
        summary = evaluation.summary()
        record |= {f"{monitor.name}_{name}": float(summary[name]) for name in ("elbo", "log_p_x")}
        tally = tally.plus(evaluate_seconds=evaluation.seconds, compile_seconds=evaluation.compile_seconds)
        if monitor.selects is not None and (bound := float(summary[monitor.selects])) > tally.best_elbo:
            tally = dataclasses.replace(tally, best_elbo=bound)
            _save(checkpoints, state, tally, best=True)
    if writer is not None:
        writer.write(record)
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
