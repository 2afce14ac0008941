"""`jaxvae sample` and `jaxvae plot`."""

import dataclasses
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxvae import plots
from jaxvae._checks import expect_choice, expect_in_range, expect_positive
from jaxvae.build import build_dataset
from jaxvae.data import make_prepare
from jaxvae.model import VAE, generate, reconstruct
from jaxvae.runs import load_run
from jaxvae.writers import load_records


@dataclasses.dataclass(frozen=True)
class Sample:
    """Draw images from a run's model."""

    directory: tyro.conf.Positional[pathlib.Path]
    """A run directory."""
    num_samples: int = 64
    """How many images."""
    output: pathlib.Path | None = None
    """A .png for a grid, or a .npy for the array; plots/samples.png in the run where none is given."""
    seed: int = 0
    """Of the draws."""

    def run(self) -> None:
        """Samples."""
        expect_positive("--num-samples", self.num_samples)
        expect_in_range("--seed", self.seed, 0, 2**32)
        run = load_run(self.directory)
        output = self.output or run.directory / "plots" / "samples.png"
        expect_choice("the suffix of --output", output.suffix, [".png", ".npy"])
        images = draw_samples(run.load_model(), self.num_samples, self.seed)
        if output.suffix == ".npy":
            output.parent.mkdir(parents=True, exist_ok=True)
            np.save(output, images)
        else:
            plots.save_images(output, images)
        print(output)


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
        inputs = jnp.asarray(build_dataset(run.config).test.images[:32])
        x = make_prepare(run.config.data.binarization, training=False)(jax.random.key(self.seed), inputs)
        keys = jax.random.split(jax.random.key(self.seed), len(x))
        pairs = eqx.filter_jit(eqx.filter_vmap(reconstruct, in_axes=(None, 0, 0)))(model, keys, x)
        plots.save_images(folder / "samples.png", draw_samples(model, 64, self.seed))
        plots.save_reconstructions(folder / "reconstructions.png", np.asarray(x), np.asarray(pairs))
        plots.save_curves(folder / "curves.png", load_records(run.directory / "metrics.jsonl"))
        print(*(folder / f"{name}.png" for name in ("samples", "reconstructions", "curves")), sep="\n")


def draw_samples(model: VAE, num_samples: int, seed: int) -> np.ndarray:
    """Means of p(x | z) at draws from the prior: `(N, C, H, W)`."""
    keys = jax.random.split(jax.random.key(seed), num_samples)
    return np.asarray(eqx.filter_jit(eqx.filter_vmap(generate, in_axes=(None, 0)))(model, keys))
