"""The evaluation of a run; what is done of one that was stopped is kept."""

import functools
import math
import shlex
from typing import Any

import jax
import numpy as np

from jaxvae import writers
from jaxvae._checks import expect_in_range, expect_shape, expected
from jaxvae.build import build_bounds, build_evaluator, build_latent_evaluator, make_key
from jaxvae.config import PIXEL_LEVELS, to_dict
from jaxvae.data import Dataset, fingerprint, in_blocks
from jaxvae.evaluate import Evaluation, load_evaluation
from jaxvae.interrupts import Interrupted, OutOfTime, StopRequest
from jaxvae.latents import LatentUse
from jaxvae.runs.directory import Run
from jaxvae.writers import ProgressBar

# An evaluation as far as it is: for a stopped run to go on with, and for pictures of what each image got.
_KEPT = "evaluation.npz"
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
            is kept in the run directory, when it is finished too, and the next one of the same model,
            settings and images goes on from there.

    Raises:
        ValueError: if the images are not of the model's shape or fewer than wanted, there is no such split,
            the model does not have the start, or a log density is NaN.
        Interrupted, OutOfTime: when stopped.
    """
    expect_shape("the images", dataset.image_shape, run.image_shape)
    config = run.config
    evaluator = build_evaluator(config, num_classes=run.num_classes, training=split == "train")
    images, labels = _scored(run, dataset, split)
    key = make_key(config, "evaluate")
    state, _ = run.load_state(best=True)
    with ProgressBar(len(images), "image") as bar:
        if stop is None:
            return evaluator(state.eval_model, key, images, labels, on_batch=lambda done: _show(bar, done))
        path, made_from = run.directory / _KEPT, _made_from(run, int(state.step), images, labels)

        def keep(done: Evaluation) -> None:
            _show(bar, done)
            done.save(path, made_from)
            raise_if_stopped(stop, run, config.steps)

        begun = load_evaluation(path, made_from)
        return evaluator(state.eval_model, key, images, labels, begun=begun, on_batch=keep)


def load_scores(run: Run, dataset: Dataset, split: str) -> Evaluation | None:
    """What `evaluate_run` kept when it was finished; None where that is not there, or of something else."""
    images, labels = _scored(run, dataset, split)
    state, _ = run.load_state(best=True)
    kept = load_evaluation(run.directory / _KEPT, _made_from(run, int(state.step), images, labels))
    return kept if kept is not None and len(kept.log_p) == len(images) else None


def _made_from(run: Run, step: int, images: np.ndarray, labels: np.ndarray | None) -> str:
    settings = writers.to_json({**to_dict(run.config), "step": step})
    return fingerprint(settings, *in_blocks(images), labels)


def _scored(run: Run, dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """As many of a split's images as the settings say, and their labels where the model takes them."""
    images, labels = dataset.split(split).images, run.labels(dataset, split)
    num_images = run.config.evaluate.num_images
    if num_images is not None:
        expect_in_range("--num-images", num_images, 1, len(images) + 1)
    return images[:num_images], None if labels is None else labels[:num_images]


def classify_run(run: Run, dataset: Dataset, split: str) -> dict[str, float]:
    """How often the class of the highest log p(x | y) + log p(y), Bayes' rule, is the image's own.

    log p(x | y) of every class is by the estimator of the settings, with the same draws for each; p(y) is the
    classes' share of the training images. The sum over the classes is p(x), whatever the label.

    Args:
        run: a run of a conditional model with a checkpoint.
        dataset: whose split to classify.
        split: `train`, `validation` or `test`.

    Returns:
        `accuracy`, in [0, 1], and `accuracy_standard_error` over images like these; `log_p_x_without_label`,
        in nats.

    Raises:
        ValueError: if the model is not conditional, or as `evaluate_run` does.
    """
    expect_conditional(run, "--classify")
    expect_shape("the images", dataset.image_shape, run.image_shape)
    evaluator = build_evaluator(run.config, num_classes=run.num_classes, training=split == "train")
    images, labels = _scored(run, dataset, split)
    key, model = make_key(run.config, "evaluate"), run.load_model()
    counts = np.array(run.label_counts)
    log_joint = np.full((run.num_classes, len(images)), -np.inf)
    with ProgressBar(log_joint.size, "score") as bar:
        for y in np.flatnonzero(counts).tolist():
            show = functools.partial(_show, bar, before=y * len(images))
            evaluation = evaluator(model, key, images, np.full_like(labels, y), on_batch=show)
            log_joint[y] = evaluation.log_p + np.log(counts[y] / counts.sum())
    correct = np.argmax(log_joint, axis=0) == labels
    accuracy = float(np.mean(correct))
    error = (accuracy * (1 - accuracy) / len(correct)) ** 0.5
    log_p_x = float(np.mean(np.logaddexp.reduce(log_joint, axis=0)))
    return {"accuracy": accuracy, "accuracy_standard_error": error, "log_p_x_without_label": log_p_x}


def expect_conditional(run: Run, flag: str) -> None:
    """Raises `ValueError` unless the run's model takes labels, which `flag` is for."""
    if not run.num_classes:
        raise expected(f"a conditional model for {flag}", "(--model.labels one-hot)", f"{run.directory}")


def measure_latents(run: Run, dataset: Dataset, split: str) -> LatentUse:
    """How the run's model uses its latents for the images that `evaluate_run` scores; a few seconds.

    Args:
        run: a run with a checkpoint.
        dataset: whose split to measure.
        split: `train`, `validation` or `test`.

    Raises:
        ValueError: as `evaluate_run` does.
    """
    evaluator = build_latent_evaluator(run.config, num_classes=run.num_classes, training=split == "train")
    # The key too is that of the scores: what is binarised afresh becomes the same images.
    key = make_key(run.config, "evaluate")
    return evaluator(run.load_model(), key, *_scored(run, dataset, split))


def bound_run(run: Run) -> Evaluation:
    """Bounds log p(x) of images that are simulated from the run's model, from both sides.

    Args:
        run: a run with a checkpoint; `config.evaluate` says how many images (100 where it does not), and
            how to anneal. A conditional model's images are of labels at the training images' frequencies.

    Raises:
        ValueError: if the model does not have the start, or a log density is NaN.
    """
    evaluator, key = build_bounds(run.config, num_classes=run.num_classes), make_key(run.config, "simulate")
    numbers = np.arange(run.config.evaluate.num_images or _NUM_SIMULATED)
    labels = run.draw_labels(make_key(run.config, "labels"), len(numbers))
    model = run.load_model()
    with ProgressBar(len(numbers), "image") as bar:
        return evaluator(model, key, numbers, labels, on_batch=lambda done: _show(bar, done))


def _show(bar: ProgressBar, done: Evaluation, before: int = 0) -> None:
    done.expect_numbers()
    bar.advance(before + len(done.log_p))


def summarize(
    run: Run, split: str, evaluation: Evaluation, latents: LatentUse | None = None
) -> dict[str, Any]:
    """An evaluation's summary with its protocol, as `results.json` and `jaxvae evaluate --json` have it.

    `bits_per_dim` is -log2 p(x) over C H W, NaN where p(x) is a density.

    Args:
        run: whose model was evaluated.
        split: `train`, `validation`, `test` or `simulated`.
        evaluation: of that split.
        latents: of the same images; None where nothing is known of them.
    """
    config = run.config
    # What is binarised afresh in training is frozen elsewhere.
    frozen = split != "train" and config.data.binarization == "dynamic"
    protocol = {
        "data": config.data.name if config.data.dir is None else str(config.data.dir),
        "split": split,
        "training_images": run.num_training_images,
        "binarization": "static" if frozen else config.data.binarization,
        "labels": config.model.labels,
        "seed": config.seed,
        "precision": config.precision,
        "device": jax.devices()[0].device_kind,
    }
    if split == "simulated":
        del protocol["data"], protocol["binarization"]
    if evaluation.num_leapfrog:
        protocol |= {"start": config.evaluate.start, "schedule": config.evaluate.schedule}
    summary = {**evaluation.summary(), **protocol}
    bits = -summary["log_p_x"] / math.log(2) if config.likelihood.name in PIXEL_LEVELS else math.nan
    summary["bits_per_dim"] = bits / math.prod(run.image_shape)
    # From the prior, what the chains start with is no ELBO of this posterior.
    if summary.get("start") == "prior":
        summary["elbo"] = float("nan")
    if latents is not None:
        summary |= {"reconstruction": summary["elbo"] + latents.kl, **latents.summary()}
    return summary


def raise_if_stopped(stop: StopRequest, run: Run, step: int) -> None:
    """Raises `Interrupted` or `OutOfTime`, with how to go on, where a stop was requested."""
    if stop.requested():
        directory = shlex.quote(str(run.directory))
        hint = f"Saved; go on with: jaxvae train {run.preset} --run-dir {directory} --resume"
        raise Interrupted(stop.signum, hint) if stop.signum else OutOfTime(step, hint)
