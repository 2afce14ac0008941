"""The training of a run, from its start or its latest checkpoint to its results."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxvae import plots, writers
from jaxvae._checks import expect_shape, expected
from jaxvae.build import (
    build_evaluator,
    build_latent_evaluator,
    build_prepare,
    build_schedule,
    build_training,
    is_resident,
    make_key,
)
from jaxvae.data import Dataset
from jaxvae.evaluate import Evaluation
from jaxvae.interrupts import StopRequest
from jaxvae.latents import LatentUse
from jaxvae.model import VAE
from jaxvae.runs.directory import Run, expect_evaluable, new_tally, write_json
from jaxvae.runs.evaluation import (
    evaluate_run,
    measure_latents,
    raise_if_stopped,
    summarize,
)
from jaxvae.runs.view import View
from jaxvae.train import TrainState
from jaxvae.train.loop import Monitor, Observer, Plan, Tally, train
from jaxvae.train.step import TrainStep

_COLUMNS = ("train_{bound}", "{split}_elbo", "{split}_log_p_x", "examples_per_second")
# Of the monitored ones: whose latents are measured, that are drawn, and that are reconstructed.
_NUM_MEASURED, _NUM_SAMPLES, _NUM_PAIRS, _FEWER = 1000, 32, 16, 4


def train_run(
    run: Run,
    dataset: Dataset,
    stop: StopRequest,
    *,
    observers: Sequence[Observer] = (),
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains a run to its end, from its latest checkpoint where it has one, and evaluates it.

    Args:
        run: from `create_run` or `load_run`.
        dataset: what to train on.
        stop: when requested, the run saves and raises.
        observers: look at the model as it trains.
        quiet: print no lines on standard output.

    Returns:
        What `results.json` then holds.

    Raises:
        Interrupted: when stopped by a signal; the run can be resumed.
        OutOfTime: when its time is up; the run can be resumed.
        NonFiniteLoss: when the loss is no finite number.
    """
    config = run.config
    state, step, tally = _start(run, dataset)
    start = int(state.step)
    # One for the monitor and for the end: of a deep posterior, it takes a while to compile.
    monitor = _make_monitor(run, dataset)
    board = writers.TensorBoard(run.directory, step=start)
    painters = _make_painters(run, dataset, monitor.name, board)
    with contextlib.closing(_make_writer(run, start, monitor.name, board, quiet=quiet)) as writer:
        state, tally = train(
            state,
            step,
            dataset.train.images,
            run.labels(dataset, "train"),
            plan=Plan(
                num_steps=config.steps,
                batch_size=config.batch_size,
                log_every=config.log_every,
                evaluate_every=config.evaluate.every,
                block_size=config.block_size,
            ),
            resident=is_resident(config, dataset.train.images),
            prepare=build_prepare(config),
            monitor=monitor,
            observers=[*painters, *observers],
            learning_rate=build_schedule(config),
            writer=writer,
            checkpoints=run.checkpoints,
            tally=tally,
            stop_requested=stop.requested,
        )
    # Where nothing was left to train, a batch is scored first: pieces of any length come to an end.
    if int(state.step) > start:
        raise_if_stopped(stop, run, int(state.step))
    evaluation = evaluate_run(run, dataset, "test", stop=stop)
    results = _results(run, tally, evaluation, measure_latents(run, dataset, "test"))
    write_json(run.directory / "results.json", results)
    return results


def _start(run: Run, dataset: Dataset) -> tuple[TrainState, TrainStep, Tally]:
    """Where the run stands; its config is written once that is known to fit."""
    expect_shape("the images", dataset.image_shape, run.image_shape)
    expect_evaluable(run.config, dataset)
    images, labels = dataset.train.images, run.labels(dataset, "train")
    state, step = build_training(run.config, run.image_shape, images, labels, num_classes=run.num_classes)
    tally = new_tally(run.config)
    if run.checkpoints.latest() is not None:
        state, tally = run.load_state()
    if run.config.steps < int(state.step):
        raise expected("--steps of a resumed run", f"to be at least {int(state.step)}", run.config.steps)
    run.save()
    (run.directory / "results.json").unlink(missing_ok=True)
    return state, step, tally


def _results(run: Run, tally: Tally, evaluation: Evaluation, latents: LatentUse) -> dict[str, Any]:
    """The content of `results.json`."""
    config = run.config
    return {
        "preset": run.preset,
        "steps": config.steps,
        "seed": config.seed,
        "test": summarize(run, "test", evaluation, latents),
        "examples_per_second": config.steps * config.batch_size / max(tally.train_seconds, 1e-9),
        "compile_seconds": tally.compile_seconds + evaluation.compile_seconds,
        "train_seconds": tally.train_seconds,
        "evaluate_seconds": tally.evaluate_seconds + evaluation.seconds,
        "run_dir": str(run.directory),
    }


def _make_monitor(run: Run, dataset: Dataset) -> Monitor:
    """Watches the validation images, or the test images (which then choose nothing)."""
    config = run.config
    name = "test" if dataset.validation is None else "validation"
    options = {"estimator": "importance", "num_samples": config.evaluate.monitor_samples}
    evaluate = dataclasses.replace(config.evaluate, **options)
    config = dataclasses.replace(config, evaluate=evaluate)
    evaluator = build_evaluator(config, num_classes=run.num_classes)
    latent_evaluator = build_latent_evaluator(run.config, num_classes=run.num_classes)
    images, labels, key = dataset.split(name).images, run.labels(dataset, name), make_key(config, "monitor")
    # What is maximised chooses; with another weight on the KL term that is neither number.
    bound = "log_p_x" if config.objective.bound == "iwae" else "elbo"
    chooses = name == "validation" and config.objective.beta in (None, 1)
    selects = bound if chooses else None
    first = images[:_NUM_MEASURED], None if labels is None else labels[:_NUM_MEASURED]

    def measure(model: VAE) -> dict[str, Any]:
        summary = latent_evaluator(model, key, *first).summary()
        names = ("kl", "kl_per_latent", "active_units")
        return {name: summary[name] for name in names if summary[name] is not None}

    return Monitor(name, lambda model: evaluator(model, key, images, labels), selects, measure)


def _make_painters(run: Run, dataset: Dataset, split: str, board: writers.TensorBoard) -> list[Observer]:
    """Shows samples, and images of a split beside their reconstructions, at every evaluation."""
    if run.image_shape[0] not in (1, 3):  # neither grey nor in colour
        return []
    # A PixelCNN draws pixel by pixel.
    share = 1 if run.config.pixelcnn.model == "none" else _FEWER
    num_samples, num_pairs = _NUM_SAMPLES // share, _NUM_PAIRS // share
    inputs, labels = dataset.split(split).images[:num_pairs], run.labels(dataset, split)

    def look(step: int, model: VAE) -> None:
        view = View(run, model, run.config.seed)
        outputs = view.reconstruct(inputs, None if labels is None else labels[:num_pairs])
        images = {
            "samples": view.sample(num_samples),
            "reconstructions": plots.pair(view.seen(inputs), outputs),
        }
        board.write_pictures(step, {name: plots.tile(many, 8) for name, many in images.items()})

    return [Observer(None, look)]


def _make_writer(
    run: Run, step: int, monitor_name: str, board: writers.TensorBoard, *, quiet: bool
) -> writers.Writers:
    columns = [name.format(bound=run.config.objective.bound, split=monitor_name) for name in _COLUMNS]
    return writers.Writers(
        writers.Console(run.config.steps, columns, step=step, lines=not quiet),
        writers.JsonLines(run.directory / "metrics.jsonl", step=step),
        board,
    )
