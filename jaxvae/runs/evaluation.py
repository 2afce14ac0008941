"""The evaluation of a run; what is done of one that was stopped is kept."""

import dataclasses
import hashlib
import shlex

from jaxvae import writers
from jaxvae._checks import expect_shape
from jaxvae.build import build_evaluator, make_key
from jaxvae.config import to_dict
from jaxvae.data import Dataset
from jaxvae.evaluate import Evaluation, load_evaluation
from jaxvae.interrupts import Interrupted, OutOfTime, StopRequest
from jaxvae.runs.directory import Run

# An evaluation as far as it is, for a stopped run to go on with.
_UNFINISHED = "evaluation.npz"


def evaluate_run(
    run: Run,
    dataset: Dataset,
    split: str,
    *,
    seed: int | None = None,
    stop: StopRequest | None = None,
) -> Evaluation:
    """Scores the run's model on a split by importance sampling.

    Args:
        run: a run with a checkpoint.
        dataset: whose split to score.
        split: `train`, `validation` or `test`.
        seed: of the draws; the run's own where None.
        stop: when requested, this raises after the batch. What is done of an evaluation that can be stopped
            is kept in the run directory, and the next one of the same model, settings and images goes on.

    Raises:
        ValueError: if the images are not of the model's shape, or there is no such split.
        Interrupted, OutOfTime: when stopped.
    """
    expect_shape("the images", dataset.image_shape, run.image_shape)
    config = run.config if seed is None else dataclasses.replace(run.config, seed=seed)
    evaluator = build_evaluator(config, config.evaluate.num_samples, training=split == "train")
    images, key = dataset.split(split).images, make_key(config, "evaluate")
    state, _ = run.load_state(best=True)
    if stop is None:
        return evaluator(state.eval_model, key, images)
    settings = writers.to_json({**to_dict(config), "step": int(state.step)})
    made_from = hashlib.sha256(settings.encode() + images.tobytes()).hexdigest()
    path = run.directory / _UNFINISHED

    def keep(done: Evaluation) -> None:
        done.save(path, made_from)
        raise_if_stopped(stop, run, config.steps)

    begun = load_evaluation(path, made_from)
    return evaluator(state.eval_model, key, images, begun=begun, on_batch=keep)


def forget_unfinished(run: Run) -> None:
    """Deletes what is kept of an evaluation that was stopped."""
    (run.directory / _UNFINISHED).unlink(missing_ok=True)


def raise_if_stopped(stop: StopRequest, run: Run, step: int) -> None:
    """Raises `Interrupted` or `OutOfTime`, with how to go on, where a stop was requested."""
    if stop.requested():
        directory = shlex.quote(str(run.directory))
        hint = f"Saved; go on with: jaxvae train {run.preset} --run-dir {directory} --resume"
        raise Interrupted(stop.signum, hint) if stop.signum else OutOfTime(step, hint)
