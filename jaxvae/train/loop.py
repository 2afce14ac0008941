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

# Of an evaluation's summary.
_MONITORED = ("elbo", "elbo_standard_error", "log_p_x", "log_p_x_standard_error")


class NonFiniteLoss(FloatingPointError):
    """The loss, or a parameter, is no longer a finite number."""


class Writer(Protocol):
    """Where a run's numbers go: `jaxvae.writers` has the console, JSON lines and TensorBoard."""

    def advance(self, step: int) -> None:
        """Called after every dispatch with the steps done so far."""

    def write(self, record: dict[str, Any]) -> None:
        """Called with each record, of numbers and lists of numbers; `record["step"]` says when."""


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
        gradient_norms: sum of the norms of the gradients since the last record.
        num_summed: of how many steps.
    """

    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    compile_seconds: float = 0.0
    best_elbo: float = -np.inf
    sums: dict[str, float] = dataclasses.field(default_factory=lambda: {"elbo": 0.0})
    gradient_norms: float = 0.0
    num_summed: int = 0

    def plus(self, **amounts: float) -> "Tally":
        """A tally with `amounts` added."""
        return dataclasses.replace(self, **{name: getattr(self, name) + v for name, v in amounts.items()})

    def plus_sums(self, terms: dict[str, float], gradient_norms: float, num_steps: int) -> "Tally":
        """A tally with the sums over more steps added."""
        total = {name: self.sums.get(name, 0.0) + value for name, value in terms.items()}
        return dataclasses.replace(self.plus(gradient_norms=gradient_norms, num_summed=num_steps), sums=total)

    def without_sums(self) -> "Tally":
        """A tally right after a record."""
        return dataclasses.replace(self, sums=dict.fromkeys(self.sums, 0.0), gradient_norms=0.0, num_summed=0)


@dataclasses.dataclass(frozen=True)
class Monitor:
    """The evaluation that accompanies training.

    Args:
        name: prefix of its numbers in the records, such as `validation`.
        evaluate: `(model) -> Evaluation`.
        selects: the number of its summary that chooses the best checkpoint, such as `elbo`; None for none.
        measure: `(model) -> further numbers, or lists of them`, by their names after the prefix.
    """

    name: str
    evaluate: Callable[[Any], Evaluation]
    selects: str | None
    measure: Callable[[Any], dict[str, Any]] = lambda model: {}


@dataclasses.dataclass(frozen=True)
class Observer:
    """Someone who looks at the model now and then.

    Args:
        every: steps between looks; None for a look at every evaluation.
        look: `(step, model)`, called at each multiple of `every`; the model's arrays are gone after it.
    """

    every: int | None
    look: Callable[[int, Any], None]

    def __post_init__(self):
        if self.every is not None:
            expect_positive("every", self.every)

    def next_look(self, step: int) -> float:
        """The first step after `step` at which it looks, besides the evaluations."""
        return np.inf if self.every is None else step - step % self.every + self.every

    def looks_at(self, step: int, plan: Plan) -> bool:
        """Whether it looks at this step."""
        return plan.evaluates_at(step) if self.every is None else step % self.every == 0


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
    learning_rate: Callable[[int], Any] | None = None,
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
        learning_rate: optax's schedule, for the records alone.
        writer: takes the records: `step` and `epoch`; the means since the record before, `train_elbo` and the
            other terms likewise, and `gradient_norm`, the global L2 norm of the gradient before any clipping,
            in nats per unit of the parameters; `learning_rate`, the schedule's value at `step`;
            `examples_per_second`; the monitor's `<name>_elbo` and `<name>_log_p_x`, with their standard
            errors over images, `<name>_elbo_standard_error` and `<name>_log_p_x_standard_error`, and what
            else it measures.
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
        stop = min([plan.next_stop(now), *(observer.next_look(now) for observer in observers)])
        part = runner.run(state, int(stop), stop_requested)
        state, now = part.state, int(part.state.step)
        _expect_finite(state, part.losses, checkpoints)
        tally = tally.plus(train_seconds=part.seconds, compile_seconds=part.compile_seconds)
        tally = tally.plus_sums(part.sums, part.norms, part.num_steps)
        for observer in observers:
            if observer.looks_at(now, plan):
                observer.look(now, state.eval_model)
        if plan.stops_at(now):
            record = _new_record(part, tally, plan, len(images), learning_rate)
            tally = _record(record, state, tally, plan, monitor, writer, checkpoints)
        interrupted = now < plan.num_steps and stop_requested()
        if interrupted or plan.evaluates_at(now):
            _save(checkpoints, state, tally)
        if interrupted:
            break
    return state, tally


def _new_record(part, tally, plan, num_images, learning_rate) -> dict[str, Any]:
    """What is known of a step without an evaluation."""
    now = int(part.state.step)
    return {
        "step": now,
        "epoch": now * plan.batch_size / num_images,
        **{f"train_{name}": total / tally.num_summed for name, total in tally.sums.items()},
        **({} if learning_rate is None else {"learning_rate": float(learning_rate(now))}),
        "gradient_norm": tally.gradient_norms / tally.num_summed,
        "examples_per_second": part.num_steps * plan.batch_size / part.seconds,
    }


def _record(record, state, tally, plan, monitor, writer, checkpoints) -> Tally:
    """Evaluates where it is due, keeps the best state, and writes the record of this step."""
    tally = tally.without_sums()
    if monitor is not None and plan.evaluates_at(record["step"]):
        evaluation = monitor.evaluate(state.eval_model)
        summary = evaluation.summary()
        numbers = {name: float(summary[name]) for name in _MONITORED} | monitor.measure(state.eval_model)
        record |= {f"{monitor.name}_{name}": value for name, value in numbers.items()}
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
