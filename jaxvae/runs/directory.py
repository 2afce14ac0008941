"""What a run directory says of itself, and how one is made and read back."""

import dataclasses
import json
import os
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import writers
from jaxvae._checks import expect_choice, expect_in_range, expect_shape, expected
from jaxvae._typing import Key
from jaxvae.build import (
    build_dataset,
    build_evaluator,
    build_model,
    build_optimizer,
    build_training,
    make_key,
)
from jaxvae.config import Config, from_dict, to_dict, to_flags
from jaxvae.data import Dataset, expect_labels
from jaxvae.labels import expect_classes
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
        label_counts: how many of them each class has, `(Y,)`, of a conditional model; None of others.
    """

    directory: pathlib.Path
    preset: str
    config: Config
    image_shape: tuple[int, ...]
    num_training_images: int | None
    label_counts: tuple[int, ...] | None = None

    @property
    def num_classes(self) -> int:
        """Y, of a conditional model; 0 of others."""
        return len(self.label_counts or ())

    def labels(self, dataset: Dataset, split: str) -> np.ndarray | None:
        """The classes `(N,)` of a split as the model takes them: None where it is not conditional.

        Raises:
            ValueError: if one is not among the model's.
        """
        if not self.num_classes:
            return None
        labels = expect_labels(dataset.split(split).labels)
        expect_classes(f"the {split} labels", labels, self.num_classes)
        return labels

    def draw_labels(self, key: Key, num_labels: int) -> np.ndarray | None:
        """So many classes `(N,)`, as often as training images have them; None of an unconditional model."""
        if not self.num_classes:
            return None
        log_frequencies = jnp.log(jnp.asarray(self.label_counts, jnp.float32))
        return np.asarray(jax.random.categorical(key, log_frequencies, shape=(num_labels,)))

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints."""
        return Checkpoints(self.directory / "checkpoints")

    def load_state(self, *, best: bool = False) -> tuple[TrainState, Tally]:
        """The latest state, or the best one by the validation images, and the tally that goes with it.

        Raises:
            ValueError: if there is no readable checkpoint, or it is of another model.
        """
        state, _ = build_training(self.config, self.image_shape, num_classes=self.num_classes)
        # A checkpoint from before the norms were kept, in the middle of an interval, has them missing.
        tally = dataclasses.replace(new_tally(self.config), gradient_norms=np.nan)
        state, tally = self.checkpoints.restore((state, tally), best=best)
        return state, tally if tally.num_summed else tally.without_sums()

    def load_dataset(self) -> Dataset:
        """The data set that it is trained on.

        Raises:
            ValueError: if it cannot be read, or its images are no longer of the model's shape.
        """
        dataset = build_dataset(self.config)
        expect_shape("the images", dataset.image_shape, self.image_shape)
        return dataset

    def load_model(self) -> VAE:
        """The model to use: the best by the validation images, or the last where they do not choose."""
        state, _ = self.load_state(best=True)
        return state.eval_model

    def save(self) -> None:
        """Writes `config.json`."""
        content = {
            "preset": self.preset,
            "image_shape": list(self.image_shape),
            "num_training_images": self.num_training_images,
            "label_counts": self.label_counts,
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
        return Run(
            directory,
            content["preset"],
            from_dict(_with_likelihood(content["config"])),
            tuple(content["image_shape"]),
            content.get("num_training_images"),
            tuple(content.get("label_counts") or ()) or None,
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise expected(f"{path}", "to be the config of a run", f"{error!r}") from error


def _with_likelihood(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run from when the likelihood was one of the model, as they are now."""
    model = dict(settings["model"])
    name = model.pop("likelihood", None)
    return settings if name is None else {**settings, "model": model, "likelihood": {"name": name}}


def new_tally(config: Config) -> Tally:
    """The tally before the first step, with a sum for each term of the loss."""
    names = {config.objective.bound: 0.0, "elbo": 0.0, "kl": 0.0}
    return Tally(sums={**names, "consistency": 0.0} if config.objective.consistency else names)


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
    conditional = config.model.labels != "none"
    label_counts = dataset.label_counts if conditional else None
    run = Run(directory, preset, config, dataset.image_shape, len(dataset.train.images), label_counts)
    build_model(config, run.image_shape, make_key(config, "model"), run.num_classes)
    for split in ("test",) if dataset.validation is None else ("validation", "test"):
        run.labels(dataset, split)
    expect_in_range("--batch-size", config.batch_size, 1, len(dataset.train.images) + 1)
    expect_evaluable(config, dataset)
    if directory.exists() and not overwrite:
        raise expected(
            "the run directory", "to be new (or --resume to go on, --overwrite to replace it)", f"{directory}"
        )
    if directory.exists() and any(directory.iterdir()):
        load_run(directory)  # only a run is ever deleted
        shutil.rmtree(directory)
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
    """Raises `ValueError` unless `config` continues `run`, with another length at most.

    Its evaluations may differ, and where its data are placed.
    """
    expect_choice("the preset of a resumed run", preset, [run.preset])
    old, new = to_flags(run.config), to_flags(config)
    for flag, value in new.items():
        may_change = flag.startswith(("--steps", "--log-every", "--evaluate.", "--data.placement"))
        if value != old[flag] and not may_change:
            raise expected(f"{flag} of a resumed run", f"to stay {old[flag]}", value)


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes a JSON file of the run directory, all of it or nothing."""
    writers.replace_text(path, writers.to_json(content) + "\n")
