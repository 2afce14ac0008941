"""What a run directory says of itself, and how one is made and read back."""

import dataclasses
import json
import os
import pathlib
import shutil
from typing import Any

from jaxvae import writers
from jaxvae._checks import expect_choice, expect_in_range, expected
from jaxvae.build import build_evaluator, build_model, build_optimizer, build_training, make_key
from jaxvae.config import Config, from_dict, to_dict, to_flags
from jaxvae.data import Dataset
from jaxvae.model import VAE
from jaxvae.train import Checkpoints, TrainState
from jaxvae.train.loop import Tally


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory and what it says of itself.

    Args:
        directory: where it is.
        preset: what it started from.
        config: all of its settings.
        image_shape: `(C, H, W)` that the model takes.
        num_training_images: that it is trained on; None of a run too old to say.
    """

    directory: pathlib.Path
    preset: str
    config: Config
    image_shape: tuple[int, ...]
    num_training_images: int | None

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
            "num_training_images": self.num_training_images,
            "config": to_dict(self.config),
        }
        write_json(self.directory / "config.json", content)


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
        shape, num_training_images = tuple(content["image_shape"]), content.get("num_training_images")
        return Run(directory, content["preset"], from_dict(content["config"]), shape, num_training_images)
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
            there are fewer images than a batch, or than are to be scored; if the model, the optimiser or
            the evaluator cannot be built.
    """
    build_optimizer(config)
    build_model(config, dataset.image_shape, make_key(config, "model"))
    expect_in_range("--batch-size", config.batch_size, 1, len(dataset.train.images) + 1)
    expect_evaluable(config, dataset)
    if directory.exists() and not overwrite:
        raise expected(
            "the run directory", "to be new (or --resume to go on, --overwrite to replace it)", f"{directory}"
        )
    if directory.exists() and any(directory.iterdir()):
        load_run(directory)  # only a run is ever deleted
        shutil.rmtree(directory)
    run = Run(directory, preset, config, dataset.image_shape, len(dataset.train.images))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        run.save()
    except OSError as error:
        raise expected("the run directory", "to be writable", f"{directory} ({error.strerror})") from error
    return run


def expect_evaluable(config: Config, dataset: Dataset) -> None:
    """Raises `ValueError` unless the test images can be scored as the settings say."""
    build_evaluator(config)
    if config.evaluate.num_images is not None:
        limit = len(dataset.test.images) + 1
        expect_in_range("--evaluate.num-images", config.evaluate.num_images, 1, limit)


def expect_resumable(run: Run, preset: str, config: Config) -> None:
    """Raises `ValueError` unless `config` continues `run`: its length and evaluations alone may differ."""
    expect_choice("the preset of a resumed run", preset, [run.preset])
    old, new = to_flags(run.config), to_flags(config)
    for flag, value in new.items():
        may_change = flag.startswith(("--steps", "--log-every", "--evaluate."))
        if value != old[flag] and not may_change:
            raise expected(f"{flag} of a resumed run", f"to stay {old[flag]}", value)


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes a JSON file of the run directory, all of it or nothing."""
    writers.replace_text(path, writers.to_json(content) + "\n")
