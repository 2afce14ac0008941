"""The run directory: a run that describes itself, trains, resumes, and is read back."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import shlex
import shutil
from typing import Any

from jaxvae import writers
from jaxvae._checks import expect_choice, expect_in_range, expect_shape, expected
from jaxvae.build import (
    build_evaluator,
    build_model,
    build_optimizer,
    build_prepare,
    build_training,
    make_key,
)
from jaxvae.config import Config, from_dict, to_dict
from jaxvae.data import Dataset
from jaxvae.evaluate import Evaluation, load_evaluation
from jaxvae.interrupts import Interrupted, OutOfTime, StopRequest
from jaxvae.model import VAE
from jaxvae.train import Checkpoints, TrainState
from jaxvae.train.loop import Monitor, Plan, Tally, train
from jaxvae.train.step import TrainStep

_COLUMNS = ("train_elbo", "{0}_elbo", "{0}_log_p_x", "examples_per_second")
# An evaluation as far as it is, for a stopped run to go on with.
_UNFINISHED = "evaluation.npz"


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory and what it says of itself.

    Args:
        directory: where it is.
        preset: what it started from.
        config: all of its settings.
        image_shape: `(C, H, W)` that the model takes.
    """

    directory: pathlib.Path
    preset: str
    config: Config
    image_shape: tuple[int, ...]

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints."""
        return Checkpoints(self.directory / "checkpoints")

    def load_state(self, *, best: bool = False) -> tuple[TrainState, Tally]:
        """The latest state, or the best one by validation ELBO, and the tally that goes with it.

        Raises:
            ValueError: if there is no readable checkpoint, or it is of another model.
        """
        state, _ = build_training(self.config, self.image_shape)
        return self.checkpoints.restore((state, new_tally(self.config)), best=best)

    def load_model(self) -> VAE:
        """The model to use: the best by validation ELBO, or the last where no split was held out."""
        state, _ = self.load_state(best=True)
        return state.eval_model

    def save(self) -> None:
        """Writes `config.json`."""
        content = {
            "preset": self.preset,
            "image_shape": list(self.image_shape),
            "config": to_dict(self.config),
        }
        _write_json(self.directory / "config.json", content)


def load_run(directory: str | os.PathLike) -> Run:
    """Reads a run directory.

    Raises:
        ValueError: if it is not one.
    """
    directory = pathlib.Path(directory)
    path = directory / "config.json"
    if not path.is_file():
        raise expected("a run directory", "to hold config.json", f"{directory}")
    try:
        content = json.loads(path.read_text())
        config = from_dict(content["config"])
        return Run(directory, content["preset"], config, tuple(content["image_shape"]))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise expected(f"{path}", "to be the config of a run", f"{error!r}") from error


def new_tally(config: Config) -> Tally:
    """The tally before the first step, with a sum for each term of the loss."""
    names = ("elbo", "kl", "consistency") if config.objective.consistency else ("elbo", "kl")
    return Tally(sums=dict.fromkeys(names, 0.0))


def new_directory(preset: str) -> pathlib.Path:
    """The first of `runs/<preset>-1`, `runs/<preset>-2`, ... that does not exist."""
    number = 1
    while (directory := pathlib.Path("runs") / f"{preset}-{number}").exists():
        number += 1
    return directory


def create_run(
    directory: pathlib.Path, preset: str, config: Config, dataset: Dataset, *, overwrite: bool
) -> Run:
    """Makes a run directory, once all that can be checked without training has been.

    Raises:
        ValueError: if it exists and `overwrite` is false, or is no run directory, or is not writable; if
            there are fewer images than a batch; if the model or the optimiser cannot be built.
    """
    build_optimizer(config)
    build_model(config, dataset.image_shape, make_key(config, "model"))
    expect_in_range("--batch-size", config.batch_size, 1, len(dataset.train.images) + 1)
    if directory.exists() and not overwrite:
        raise expected(
            "the run directory", "to be new (or --resume to go on, --overwrite to replace it)", f"{directory}"
        )
    if directory.exists() and any(directory.iterdir()):
        load_run(directory)  # only a run is ever deleted
        shutil.rmtree(directory)
    run = Run(directory, preset, config, dataset.image_shape)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        run.save()
    except OSError as error:
        raise expected("the run directory", "to be writable", f"{directory} ({error.strerror})") from error
    return run


def expect_resumable(run: Run, preset: str, config: Config) -> None:
    """Raises `ValueError` unless `config` continues `run`: its length and evaluations alone may differ."""
    expect_choice("the preset of a resumed run", preset, [run.preset])
    old, new = _settings(run.config), _settings(config)
    for flag, value in new.items():
        may_change = flag.startswith(("--steps", "--log-every", "--evaluate."))
        if value != old[flag] and not may_change:
            raise expected(f"{flag} of a resumed run", f"to stay {old[flag]}", value)


def _settings(config: Any, prefix: str = "--") -> dict[str, Any]:
    """Every single setting by its flag, such as `--encoder.widths`."""
    settings = {}
    for field in dataclasses.fields(config):
        flag, value = prefix + field.name.replace("_", "-"), getattr(config, field.name)
        settings |= _settings(value, flag + ".") if dataclasses.is_dataclass(value) else {flag: value}
    return settings


def train_run(run: Run, dataset: Dataset, stop: StopRequest, *, quiet: bool = False) -> dict[str, Any]:
    """Trains a run to its end, from its latest checkpoint where it has one, and evaluates it.

    Args:
        run: from `create_run` or `load_run`.
        dataset: what to train on.
        stop: when requested, the run saves and raises.
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
    monitor = _make_monitor(config, dataset)
    with contextlib.closing(_make_writer(run, start, monitor.name, quiet=quiet)) as writer:
        state, tally = train(
            state,
            step,
            dataset.train.images,
            plan=Plan(
                num_steps=config.steps,
                batch_size=config.batch_size,
                log_every=config.log_every,
                evaluate_every=config.evaluate.every,
                block_size=config.block_size,
            ),
            prepare=build_prepare(config),
            monitor=monitor,
            writer=writer,
            checkpoints=run.checkpoints,
            tally=tally,
            stop_requested=stop.requested,
        )
    # Where nothing was left to train, a batch is scored first: pieces of any length come to an end.
    if int(state.step) > start:
        _raise_if_stopped(stop, run, int(state.step))
    evaluation = evaluate_run(run, dataset, "test", stop=stop)
    results = _results(run, tally, evaluation)
    _write_json(run.directory / "results.json", results)
    (run.directory / _UNFINISHED).unlink(missing_ok=True)
    return results


def _start(run: Run, dataset: Dataset) -> tuple[TrainState, TrainStep, Tally]:
    """Where the run stands; its config is written once that is known to fit."""
    expect_shape("the images", dataset.image_shape, run.image_shape)
    state, step = build_training(run.config, run.image_shape, dataset.train.images)
    tally = new_tally(run.config)
    if run.checkpoints.latest() is not None:
        state, tally = run.load_state()
    if run.config.steps < int(state.step):
        raise expected("--steps of a resumed run", f"to be at least {int(state.step)}", run.config.steps)
    run.save()
    (run.directory / "results.json").unlink(missing_ok=True)
    return state, step, tally


def _results(run: Run, tally: Tally, evaluation: Evaluation) -> dict[str, Any]:
    """The content of `results.json`."""
    config = run.config
    return {
        "preset": run.preset,
        "steps": config.steps,
        "seed": config.seed,
        "test": {**evaluation.summary(), "split": "test", "seed": config.seed},
        "examples_per_second": config.steps * config.batch_size / max(tally.train_seconds, 1e-9),
        "compile_seconds": tally.compile_seconds + evaluation.compile_seconds,
        "train_seconds": tally.train_seconds,
        "evaluate_seconds": tally.evaluate_seconds + evaluation.seconds,
        "run_dir": str(run.directory),
    }


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
        _raise_if_stopped(stop, run, config.steps)

    begun = load_evaluation(path, made_from)
    return evaluator(state.eval_model, key, images, begun=begun, on_batch=keep)


def _make_monitor(config: Config, dataset: Dataset) -> Monitor:
    """Watches the validation images, or the test images (which then choose nothing)."""
    name = "test" if dataset.validation is None else "validation"
    evaluator = build_evaluator(config, config.evaluate.monitor_samples)
    images, key = dataset.split(name).images, make_key(config, "monitor")
    return Monitor(name, lambda model: evaluator(model, key, images), selects=name == "validation")


def _make_writer(run: Run, step: int, monitor_name: str, *, quiet: bool) -> writers.Writers:
    columns = [name.format(monitor_name) for name in _COLUMNS]
    return writers.Writers(
        writers.Console(run.config.steps, columns, step=step, lines=not quiet),
        writers.JsonLines(run.directory / "metrics.jsonl", step=step),
        writers.TensorBoard(run.directory, step=step),
    )


def _raise_if_stopped(stop: StopRequest, run: Run, step: int) -> None:
    if stop.requested():
        directory = shlex.quote(str(run.directory))
        hint = f"Saved; go on with: jaxvae train {run.preset} --run-dir {directory} --resume"
        raise Interrupted(stop.signum, hint) if stop.signum else OutOfTime(step, hint)


def _write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    writers.replace_text(path, writers.to_json(content) + "\n")
