"""`jaxvae sample` and `jaxvae plot`."""

import dataclasses
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxvae import plots
from jaxvae._checks import InputError, expect_choice, expect_in_range, expect_positive
from jaxvae.build import build_dataset
from jaxvae.data import make_prepare
from jaxvae.labels import one_hot
from jaxvae.model import VAE, generate, reconstruct
from jaxvae.runs import Run, expect_conditional, load_run
from jaxvae.writers import load_records


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
        if labels is None:
            images = draw_samples(run, run.load_model(), self.num_samples or 64, self.seed)
        else:
            images = draw_of_labels(run.load_model(), labels, run.num_classes, self.seed)
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
    """Draw a run: samples, reconstructions beside their inputs, training curves."""

    directory: tyro.conf.Positional[pathlib.Path]
    """A run directory."""
    seed: int = 0
    """Of the draws."""

    def run(self) -> None:
        """Writes the pictures into the run's `plots/`."""
        expect_in_range("--seed", self.seed, 0, 2**32)
        run = load_run(self.directory)
        model, folder = run.load_model(), run.directory / "plots"
        dataset = build_dataset(run.config)
        inputs, labels = jnp.asarray(dataset.test.images[:32]), run.labels(dataset, "test")
        x = make_prepare(run.config.data.binarization, training=False)(jax.random.key(self.seed), inputs)
        y = None if labels is None else one_hot(jnp.asarray(labels[:32]), run.num_classes)
        keys = jax.random.split(jax.random.key(self.seed), len(x))
        pairs = eqx.filter_jit(eqx.filter_vmap(reconstruct, in_axes=(None, 0, 0, 0)))(model, keys, x, y)
        plots.save_images(folder / "samples.png", draw_samples(run, model, 64, self.seed))
        plots.save_reconstructions(folder / "reconstructions.png", np.asarray(x), np.asarray(pairs))
        plots.save_curves(folder / "curves.png", load_records(run.directory / "metrics.jsonl"))
        print(*(folder / f"{name}.png" for name in ("samples", "reconstructions", "curves")), sep="\n")


def draw_samples(run: Run, model: VAE, num_samples: int, seed: int) -> np.ndarray:
    """Images `(N, C, H, W)` of draws from the prior; of a conditional model, of classes as in training."""
    key = jax.random.key(seed)
    labels = run.draw_labels(jax.random.fold_in(key, num_samples), num_samples)
    if labels is not None:
        return draw_of_labels(model, labels, run.num_classes, seed)
    return np.asarray(_generate(model, jax.random.split(key, num_samples), None))


def draw_of_labels(model: VAE, labels: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
    """Images `(N, C, H, W)` of draws from the prior of each of the classes `(N,)`."""
    keys = jax.random.split(jax.random.key(seed), len(labels))
    return np.asarray(_generate(model, keys, one_hot(jnp.asarray(labels), num_classes)))


# Made once, so that an image of each class after every epoch is compiled once.
_generate = eqx.filter_jit(eqx.filter_vmap(generate, in_axes=(None, 0, 0)))
