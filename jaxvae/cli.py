"""The command line: `jaxvae train | evaluate | sample | plot | presets`."""

import dataclasses
import json
import pathlib
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxvae import plots, presets
from jaxvae._checks import InputError, expect_choice, expect_positive
from jaxvae.build import build_dataset
from jaxvae.config import Config
from jaxvae.data import Dataset, make_prepare
from jaxvae.interrupts import Interrupted, stop_on_signals
from jaxvae.model import generate, reconstruct
from jaxvae.runs import Run, create_run, evaluate_run, expect_resumable, load_run, new_directory, train_run
from jaxvae.train import NonFiniteLoss
from jaxvae.writers import load_records

_DEFAULT_PRESET = "mnist-mean-field"


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a preset, score it on the test images, and leave a run directory."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    preset: tyro.conf.Positional[str] = _DEFAULT_PRESET
    """Name of the experiment; `jaxvae presets` lists them."""
    run_dir: pathlib.Path | None = None
    """Where the run goes; the first free runs/PRESET-N where none is given."""
    resume: bool = False
    """Go on with the run in --run-dir."""
    overwrite: bool = False
    """Replace the run in --run-dir."""
    json: bool = False
    """Print the results as one JSON object and nothing else."""

    def run(self) -> None:
        """Trains."""
        dataset = build_dataset(self.config)
        run = self._resumed() if self.resume else self._created(dataset)
        if not self.json:
            print(f"{run.preset} on {jax.devices()[0].device_kind} in {run.directory}", flush=True)
        with stop_on_signals() as stop:
            results = train_run(run, dataset, stop, quiet=self.json)
        print(json.dumps(results) if self.json else _describe_training(results))

    def _created(self, dataset: Dataset) -> Run:
        directory = self.run_dir or new_directory(self.preset)
        return create_run(directory, self.preset, self.config, dataset, overwrite=self.overwrite)

    def _resumed(self) -> Run:
        if self.run_dir is None:
            raise InputError("Expected --resume to come with --run-dir; got no run directory.")
        run = load_run(self.run_dir)
        expect_resumable(run, self.preset, self.config)
        run = dataclasses.replace(run, config=self.config)
        run.save()
        return run


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a run's model on a split: ELBO and log p(x) with their errors."""

    directory: tyro.conf.Positional[pathlib.Path]
    """A run directory."""
    split: Literal["train", "validation", "test"] = "test"
    """Which images."""
    num_samples: int | None = None
    """Importance samples per image; the run's own setting where none is given."""
    batch_size: int | None = None
    """Images at a time; never changes the result."""
    chunk_size: int | None = None
    """Importance samples of an image at a time; never changes the result."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Of the operands of matrix products; the run's own where none is given."""
    data_dir: pathlib.Path | None = None
    """Directory of other IDX files to score."""
    seed: int = 0
    """Of the draws."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> None:
        """Evaluates."""
        run = self._load()
        evaluation = evaluate_run(run, build_dataset(run.config), self.split, seed=self.seed)
        summary = {**evaluation.summary(), "split": self.split}
        print(json.dumps(summary) if self.json else _describe_evaluation(summary))

    def _load(self) -> Run:
        run = load_run(self.directory)
        given = {
            "num_samples": self.num_samples,
            "batch_size": self.batch_size,
            "chunk_size": self.chunk_size,
        }
        given = {name: value for name, value in given.items() if value is not None}
        config = dataclasses.replace(run.config, evaluate=dataclasses.replace(run.config.evaluate, **given))
        if self.precision is not None:
            config = dataclasses.replace(config, precision=self.precision)
        if self.data_dir is not None:
            config = dataclasses.replace(config, data=dataclasses.replace(config.data, dir=self.data_dir))
        return dataclasses.replace(run, config=config)


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
        run = load_run(self.directory)
        output = self.output or run.directory / "plots" / "samples.png"
        expect_choice("the suffix of --output", output.suffix, [".png", ".npy"])
        images = draw_samples(run, self.num_samples, self.seed)
        if output.suffix == ".npy":
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
        run = load_run(self.directory)
        folder = run.directory / "plots"
        plots.save_images(folder / "samples.png", draw_samples(run, 64, self.seed))
        inputs = jnp.asarray(build_dataset(run.config).test.images[:32])
        x = make_prepare(run.config.data.binarization, training=False)(jax.random.key(0), inputs)
        keys = jax.random.split(jax.random.key(self.seed), len(x))
        pairs = jax.jit(jax.vmap(lambda key, x: reconstruct(run.load_model(), key, x)))(keys, x)
        plots.save_reconstructions(folder / "reconstructions.png", np.asarray(x), np.asarray(pairs))
        plots.save_curves(folder / "curves.png", load_records(run.directory / "metrics.jsonl"))
        print(*(folder / f"{name}.png" for name in ("samples", "reconstructions", "curves")), sep="\n")


@dataclasses.dataclass(frozen=True)
class Presets:
    """List the presets."""

    def run(self) -> None:
        """Prints a line for each."""
        for name, make in presets.PRESETS.items():
            print(f"{name:20} {make.__doc__}")


_COMMANDS = {
    "train": Train,
    "evaluate": Evaluate,
    "sample": Sample,
    "plot": Plot,
    "presets": Presets,
}


def draw_samples(run: Run, num_samples: int, seed: int) -> np.ndarray:
    """Means of p(x | z) at draws from the prior: `(N, C, H, W)`."""
    model = run.load_model()
    keys = jax.random.split(jax.random.key(seed), num_samples)
    return np.asarray(jax.jit(jax.vmap(lambda key: generate(model, key)))(keys))


def _describe_evaluation(summary: dict) -> str:
    how = (
        f"{summary['num_samples']} samples of {summary['num_images']:,} images, "
        f"Monte Carlo error {summary['log_p_x_monte_carlo_error']:.4f}, "
        f"effective sample size {summary['effective_sample_size']:.1f}"
    )
    log_p_x = f"{summary['log_p_x']:.3f} +- {summary['log_p_x_standard_error']:.3f}"
    split = summary["split"]
    return f"{split} ELBO      {summary['elbo']:.3f} nats\n{split} log p(x)  {log_p_x} nats ({how})"


def _describe_training(results: dict) -> str:
    seconds = ", ".join(
        f"{name} {results[f'{name}_seconds']:.1f} s" for name in ("compile", "train", "evaluate")
    )
    return "\n".join(
        [
            _describe_evaluation(results["test"]),
            f"{seconds}; {results['examples_per_second']:,.0f} examples/s in training",
            f"run directory: {results['run_dir']}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; bad input is one line on standard error and exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"Warning: {message}", file=sys.stderr)
            _parse(arguments).run()
    except (InputError, OSError) as error:
        print(f"jaxvae: {error}", file=sys.stderr)
        sys.exit(2)
    except NonFiniteLoss as error:
        print(f"jaxvae: {error}", file=sys.stderr)
        sys.exit(1)
    except Interrupted as stop:
        print(stop.hint, file=sys.stderr)
        sys.exit(stop.exit_code)


def _parse(arguments: list[str]):
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: jaxvae COMMAND [-h] ...\n")
        print("\n".join(f"  {name:10} {command.__doc__}" for name, command in _COMMANDS.items()))
        sys.exit(0)
    name, rest = arguments[0], arguments[1:]
    expect_choice("command", name, _COMMANDS)
    if name == "train":
        return _parse_train(rest)
    return tyro.cli(_COMMANDS[name], args=rest, prog=f"jaxvae {name}")


def _parse_train(arguments: list[str]) -> Train:
    """The preset, or the run to be resumed, gives the defaults that the other arguments override."""
    named = bool(arguments) and not arguments[0].startswith("-")
    run_dir = _value_of("--run-dir", arguments)
    if "--resume" in arguments and run_dir is not None:
        run = load_run(run_dir)
        preset, config = (arguments[0] if named else run.preset), run.config
    else:
        preset = arguments[0] if named else _DEFAULT_PRESET
        config = presets.load_preset(preset)
    default = Train(config=config, preset=preset)
    return tyro.cli(Train, default=default, args=arguments, prog="jaxvae train")


def _value_of(option: str, arguments: list[str]) -> str | None:
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
    return None
