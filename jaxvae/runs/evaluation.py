"""The evaluation of a run; what is done of one that was stopped is kept."""

import hashlib
import shlex
from typing import Any

import jax
import numpy as np

from jaxvae import writers
from jaxvae._checks import expect_in_range, expect_shape
from jaxvae.build import build_bounds, build_evaluator, make_key
from jaxvae.config import to_dict
from jaxvae.data import Dataset
from jaxvae.evaluate import Evaluation, load_evaluation
from jaxvae.interrupts import Interrupted, OutOfTime, StopRequest
from jaxvae.runs.directory import Run
from jaxvae.writers import ProgressBar

# An evaluation as far as it is, for a stopped run to go on with.
_UNFINISHED = "evaluation.npz"
_NUM_SIMULATED = 100


def evaluate_run(
    run: Run,
    dataset: Dataset,
    split: str,
    *,
    stop: StopRequest | None = None,
) -> Evaluation:
    """Scores the run's model on a split, by the estimator of its settings.

    Args:
        run: a run with a checkpoint.
        dataset: whose split to score.
        split: `train`, `validation` or `test`.
        stop: when requested, this raises after the batch. What is done of an evaluation that can be stopped
            is kept in the run directory, and the next one of the same model, settings and images goes on.

    Raises:
        ValueError: if the images are not of the model's shape or fewer than wanted, there is no such split,
            the model does not have the start, or a log density is NaN.
        Interrupted, OutOfTime: when stopped.
    """
    expect_shape("the images", dataset.image_shape, run.image_shape)
    config = run.config
    evaluator = build_evaluator(config, training=split == "train")
    images, key = dataset.split(split).images, make_key(config, "evaluate")
    if config.evaluate.num_images is not None:
        expect_in_range("--num-images", config.evaluate.num_images, 1, len(images) + 1)
        images = images[: config.evaluate.num_images]
    state, _ = run.load_state(best=True)
    with ProgressBar(len(images), "image") as bar:
        if stop is None:
            return evaluator(state.eval_model, key, images, on_batch=lambda done: _show(bar, done))
        settings = writers.to_json({**to_dict(config), "step": int(state.step)})
        made_from = hashlib.sha256(settings.encode() + images.tobytes()).hexdigest()
        path = run.directory / _UNFINISHED

        def keep(done: Evaluation) -> None:
            _show(bar, done)
            done.save(path, made_from)
            raise_if_stopped(stop, run, config.steps)

        begun = load_evaluation(path, made_from)
        return evaluator(state.eval_model, key, images, begun=begun, on_batch=keep)


def bound_run(run: Run) -> Evaluation:
    """Bounds log p(x) of images that are simulated from the run's model, from both sides.

    Args:
        run: a run with a checkpoint; `config.evaluate` says how many images (100 where it does not), and
            how to anneal.

    Raises:
        ValueError: if the model does not have the start, or a log density is NaN.
    """
    evaluator, key = build_bounds(run.config), make_key(run.config, "simulate")
    numbers = np.arange(run.config.evaluate.num_images or _NUM_SIMULATED)
    model = run.load_model()
    with ProgressBar(len(numbers), "image") as bar:
        return evaluator(model, key, numbers, on_batch=lambda done: _show(bar, done))


def _show(bar: ProgressBar, done: Evaluation) -> None:
    done.expect_numbers()
    bar.advance(len(done.log_p))


def summarize(run: Run, split: str, evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation's summary with its protocol, as `results.json` and `jaxvae evaluate --json` have it.

    Args:
        run: whose model was evaluated.
        split: `train`, `validation`, `test` or `simulated`.
        evaluation: of that split.
    """
    config = run.config
    # What is binarised afresh in training is frozen elsewhere.
    frozen = split != "train" and config.data.binarization == "dynamic"
    protocol = {
        "split": split,
        "training_images": run.num_training_images,
        "binarization": "static" if frozen else config.data.binarization,
        "seed": config.seed,
        "precision": config.precision,
        "device": jax.devices()[0].device_kind,
    }
    if split == "simulated":
        del protocol["binarization"]
    if evaluation.num_leapfrog:
        protocol |= {"start": config.evaluate.start, "schedule": config.evaluate.schedule}
    summary = {**evaluation.summary(), **protocol}
    # From the prior, what the chains start with is no ELBO of this posterior.
    return summary | {"elbo": float("nan")} if summary.get("start") == "prior" else summary


def forget_unfinished(run: Run) -> None:
    """Deletes what is kept of an evaluation that was stopped."""
    (run.directory / _UNFINISHED).unlink(missing_ok=True)


def raise_if_stopped(stop: StopRequest, run: Run, step: int) -> None:
    """Raises `Interrupted` or `OutOfTime`, with how to go on, where a stop was requested."""
    if stop.requested():
        directory = shlex.quote(str(run.directory))
        hint = f"Saved; go on with: jaxvae train {run.preset} --run-dir {directory} --resume"
        raise Interrupted(stop.signum, hint) if stop.signum else OutOfTime(step, hint)
