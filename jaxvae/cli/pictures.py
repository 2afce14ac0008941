"""`jaxvae sample` and `jaxvae plot`."""

import dataclasses
import pathlib
from typing import Literal

import numpy as np
import tyro

from jaxvae import plots
from jaxvae._checks import InputError, expect_choice, expect_in_range, expect_positive
from jaxvae.pictures import PICTURES, Subject, choose_pictures
from jaxvae.runs import Run, View, expect_conditional, load_run


@dataclasses.dataclass(frozen=True)
class Sample:
    """Draw images from a run's model."""

    directory: tyro.conf.Positional[pathlib.Path]
    """A run directory."""
    num_samples: int | None = None
    """How many images; 64 where none is given, or with --per-class 1 of each."""
    label: int | None = None
    """Of a conditional model: the class; as frequent as in training where none is given."""
    per_class: bool = False
    """Of a conditional model: a row with an image of each class, and as many rows as samples."""
    output: pathlib.Path | None = None
    """A .png for a grid, or a .npy for the array; plots/samples.png in the run where none is given."""
    seed: int = 0
    """Of the draws."""

    def run(self) -> None:
        """Samples."""
        expect_positive("--num-samples", 1 if self.num_samples is None else self.num_samples)
        expect_in_range("--seed", self.seed, 0, 2**32)
        run = load_run(self.directory)
        labels = self._labels(run)
        output = self.output or run.directory / "plots" / "samples.png"
        expect_choice("the suffix of --output", output.suffix, [".png", ".npy"])
        view = View(run, run.load_model(), self.seed)
        images = view.sample(self.num_samples or 64) if labels is None else view.sample_classes(labels)
        if output.suffix == ".npy":
            output.parent.mkdir(parents=True, exist_ok=True)
            np.save(output, images)
        else:
            plots.save_images(output, images, num_columns=run.num_classes if self.per_class else 8)
        print(output)

    def _labels(self, run: Run) -> np.ndarray | None:
        """The classes that were asked for."""
        if self.label is not None and self.per_class:
            raise InputError("Expected --label or --per-class; got both.")
        if self.per_class:
            expect_conditional(run, "--per-class")
            return np.tile(np.arange(run.num_classes), self.num_samples or 1)
        if self.label is not None:
            expect_conditional(run, "--label")
            expect_in_range("--label", self.label, 0, run.num_classes)
            return np.full(self.num_samples or 64, self.label)
        return None


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw a run: samples, reconstructions, interpolations, curves, latents, log p(x)."""

    directory: tyro.conf.Positional[pathlib.Path]
    """A run directory."""
    pictures: tuple[str, ...] | None = None
    """Which ones; all that the run has where none is given."""
    format: Literal["png", "svg", "pdf"] = "png"
    """Of the files."""
    max_points: int = 10_000
    """Test images of the scatter and of t-SNE, from the first."""
    seed: int = 0
    """Of the draws."""

    def run(self) -> None:
        """Writes the pictures into the run's `plots/`."""
        expect_in_range("--seed", self.seed, 0, 2**32)
        expect_positive("--max-points", self.max_points)
        run = load_run(self.directory)
        names = choose_pictures(run, self.pictures)
        view = View(run, run.load_model(), self.seed)
        subject = Subject(view, run.load_dataset(), self.max_points)
        for name in names:
            figure = PICTURES[name].draw(subject)
            path = run.directory / "plots" / f"{name}.{self.format}"
            plots.save_figure(path, figure)
            print(path, flush=True)
