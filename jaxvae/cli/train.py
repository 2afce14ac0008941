"""`jaxvae train`."""

import dataclasses
import os
import pathlib
from typing import Annotated

import jax
import numpy as np
import tyro

from jaxvae import plots, presets
from jaxvae._checks import InputError, expect_choice, expect_in_range, expect_positive
from jaxvae.build import build_dataset
from jaxvae.cli.evaluate import advise, describe_evaluation
from jaxvae.config import Config
from jaxvae.data import CATALOG, Dataset
from jaxvae.interrupts import OutOfTime, StopRequest, stop_on_signals
from jaxvae.model import VAE
from jaxvae.pictures import Animation
from jaxvae.runs import Run, View, create_run, expect_resumable, load_run, new_directory, train_run
from jaxvae.train.loop import Observer
from jaxvae.writers import to_json

_DEFAULT_PRESET = "mnist-mean-field"


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a preset, score it on the test images, and leave a run directory."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    preset: tyro.conf.Positional[str | None] = None
    """Name of the experiment (`jaxvae presets` lists them); mnist-mean-field where none is given."""
    run_dir: pathlib.Path | None = None
    """Where the run goes; the first free runs/PRESET-N where none is given."""
    resume: bool = False
    """Go on with the run in --run-dir."""
    overwrite: bool = False
    """Replace the run in --run-dir."""
    max_minutes: float = float("inf")
    """Save and stop after this time, by the clock; --resume goes on."""
    per_class: bool = False
    """Of a conditional model: draw an image of each class after every epoch, plots/per-class-EPOCH.png."""
    animate: int | None = None
    """Look at the latent space after every so many steps, and draw it as plots/latents.gif at the end."""
    json: bool = False
    """Print the results as one JSON object and nothing else."""

    def run(self) -> None:
        """Trains."""
        expect_positive("--max-minutes", self.max_minutes)
        stop = StopRequest(60 * self.max_minutes)
        self.config.check()
        dataset = build_dataset(self.config)
        if self.per_class:
            expect_choice(
                "the labels that --per-class is for", self.config.model.labels, ["one-hot", "embedded"]
            )
        if self.animate is not None:
            expect_in_range("--animate", self.animate, 1, self.config.steps + 1)
            expect_in_range(
                "--model.latent-dim with --animate", self.config.model.latent_dim, 2, float("inf")
            )
            expect_choice("the channels of images for --animate", str(dataset.image_shape[0]), ["1", "3"])
        run = self._resumed() if self.resume else self._created(dataset)
        animation = Animation(run, dataset)
        if not self.json:
            print(f"{run.preset} on {jax.devices()[0].device_kind} in {run.directory}", flush=True)
        try:
            with stop_on_signals(stop):
                observers = self._observers(run, dataset, animation)
                results = train_run(run, dataset, stop, observers=observers, quiet=self.json)
        except OutOfTime as over:
            unfinished = {"finished": False, "step": over.step, "run_dir": str(run.directory)}
            print(to_json(unfinished) if self.json else over.hint)
        else:
            print(to_json({"finished": True, **results}) if self.json else _describe_training(results))
            advise(results["test"], run)
            if self.animate is not None:
                path = animation.save()
                if not self.json:
                    print(path)

    def with_defaults(self) -> "Train":
        """With the config that the other arguments override: the preset's, or that of the run to resume."""
        if not self.resume:
            preset = self.preset or _DEFAULT_PRESET
            return dataclasses.replace(self, preset=preset, config=presets.load_preset(preset))
        if self.run_dir is None:
            raise InputError("Expected --resume to come with --run-dir; got no run directory.")
        if self.overwrite:
            raise InputError("Expected --resume or --overwrite; got both.")
        run = load_run(self.run_dir)
        return dataclasses.replace(self, preset=self.preset or run.preset, config=run.config)

    def _created(self, dataset: Dataset) -> Run:
        preset = self.preset or _DEFAULT_PRESET
        directory = self.run_dir or new_directory(preset)
        return create_run(directory, preset, self._config(), dataset, overwrite=self.overwrite)

    def _resumed(self) -> Run:
        assert self.run_dir is not None
        assert self.preset is not None
        run = load_run(self.run_dir)
        expect_resumable(run, self.preset, self._config())
        return dataclasses.replace(run, config=self._config())

    def _observers(self, run: Run, dataset: Dataset, animation: Animation) -> list[Observer]:
        """Those that were asked for: of the classes after every epoch, and of the latent space."""
        steps_per_epoch = len(dataset.train.images) // run.config.batch_size

        def draw_classes(step: int, model: VAE) -> None:
            images = View(run, model, run.config.seed).sample_classes(np.arange(run.num_classes))
            path = run.directory / "plots" / f"per-class-{step // steps_per_epoch:04d}.png"
            plots.save_images(path, images, num_columns=run.num_classes)

        observers = [Observer(steps_per_epoch, draw_classes)] if self.per_class else []
        return observers if self.animate is None else [*observers, animation.observer(self.animate)]

    def _config(self) -> Config:
        """With the data as they are found from anywhere."""
        data = self.config.data
        name = (
            os.path.abspath(data.name)
            if os.path.exists(data.name) and data.name not in CATALOG
            else data.name
        )
        directory = None if data.dir is None else data.dir.absolute()
        return dataclasses.replace(self.config, data=dataclasses.replace(data, name=name, dir=directory))


def _describe_training(results: dict) -> str:
    seconds = ", ".join(
        f"{name} {results[f'{name}_seconds']:.1f} s" for name in ("compile", "train", "evaluate")
    )
    return "\n".join(
        [
            describe_evaluation(results["test"]),
            f"{seconds}; {results['examples_per_second']:,.0f} examples/s in training",
            f"run directory: {results['run_dir']}",
        ]
    )
