"""The command line: `jaxvae train | evaluate | sample | plot | presets`."""

import contextlib
import dataclasses
import io
import pathlib
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxvae import plots, presets
from jaxvae._checks import InputError, expect_choice, expect_in_range, expect_positive
from jaxvae.build import build_dataset
from jaxvae.config import Config, follow_choices
from jaxvae.data import Dataset, make_prepare
from jaxvae.interrupts import Interrupted, OutOfTime, StopRequest, stop_on_signals
from jaxvae.model import VAE, generate, reconstruct
from jaxvae.runs import Run, create_run, evaluate_run, expect_resumable, load_run, new_directory, train_run
from jaxvae.train import NonFiniteLoss
from jaxvae.writers import load_records, to_json

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
    json: bool = False
    """Print the results as one JSON object and nothing else."""

    def run(self) -> None:
        """Trains."""
        expect_positive("--max-minutes", self.max_minutes)
        stop = StopRequest(60 * self.max_minutes)
        self.config.check()
        dataset = build_dataset(self.config)
        run = self._resumed() if self.resume else self._created(dataset)
        if not self.json:
            print(f"{run.preset} on {jax.devices()[0].device_kind} in {run.directory}", flush=True)
        try:
            with stop_on_signals(stop):
                results = train_run(run, dataset, stop, quiet=self.json)
        except OutOfTime as over:
            unfinished = {"finished": False, "step": over.step, "run_dir": str(run.directory)}
            print(to_json(unfinished) if self.json else over.hint)
        else:
            print(to_json({"finished": True, **results}) if self.json else _describe_training(results))

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

    def _config(self) -> Config:
        """With the data's directory as it is found from anywhere."""
        data = self.config.data
        data = data if data.dir is None else dataclasses.replace(data, dir=data.dir.absolute())
        return dataclasses.replace(self.config, data=data)


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
    seed: int | None = None
    """Of the draws; the run's own where none is given."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> None:
        """Evaluates."""
        run = self._load()
        evaluation = evaluate_run(run, build_dataset(run.config), self.split)
        summary = {**evaluation.summary(), "split": self.split, "seed": run.config.seed}
        print(to_json(summary) if self.json else _describe_evaluation(summary))

    def _load(self) -> Run:
        """The run with what was given in place of its own settings."""

        def given(part, **values):
            return dataclasses.replace(part, **{k: v for k, v in values.items() if v is not None})

        run = load_run(self.directory)
        evaluate = given(
            run.config.evaluate,
            num_samples=self.num_samples,
            batch_size=self.batch_size,
            chunk_size=self.chunk_size,
        )
        # Another data set's test images need no validation images taken from its training ones.
        other = self.data_dir is not None and self.split != "validation"
        data = given(run.config.data, dir=self.data_dir, num_validation=0 if other else None)
        config = given(run.config, evaluate=evaluate, data=data, precision=self.precision, seed=self.seed)
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


@dataclasses.dataclass(frozen=True)
class Presets:
    """List the presets."""

    def run(self) -> None:
        """Prints a line for each."""
        for name, make in presets.PRESETS.items():
            print(f"{name:33} {make.__doc__}")


_COMMANDS = {
    "train": Train,
    "evaluate": Evaluate,
    "sample": Sample,
    "plot": Plot,
    "presets": Presets,
}


def draw_samples(model: VAE, num_samples: int, seed: int) -> np.ndarray:
    """Means of p(x | z) at draws from the prior: `(N, C, H, W)`."""
    keys = jax.random.split(jax.random.key(seed), num_samples)
    return np.asarray(eqx.filter_jit(eqx.filter_vmap(generate, in_axes=(None, 0)))(model, keys))


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
    except KeyboardInterrupt:
        sys.exit(130)
    except Interrupted as stop:
        print(stop.hint, file=sys.stderr)
        sys.exit(stop.exit_code)


def _parse(arguments: list[str]) -> Any:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: jaxvae COMMAND [-h] ...\n")
        print("\n".join(f"  {name:10} {command.__doc__}" for name, command in _COMMANDS.items()))
        sys.exit(0)
    name, rest = arguments[0], arguments[1:]
    expect_choice("command", name, _COMMANDS)
    if name != "train":
        return _parse_options(name, rest)
    # Once for the preset and the run, whose config is then what the other arguments override.
    default = _parse_options(name, rest, Train(Config())).with_defaults()
    parsed = _parse_options(name, rest, default)
    config = follow_choices(default.config, parsed.config)
    if config == default.config:
        return parsed
    return _parse_options(name, rest, dataclasses.replace(default, config=config))


def _parse_options(name: str, arguments: list[str], default: Any = None) -> Any:
    """Tyro's parser, with its boxed complaint put into one line."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(_COMMANDS[name], default=default, args=arguments, prog=f"jaxvae {name}")
    except SystemExit as exit:
        if exit.code:
            words = re.sub(r"[\u2500-\u257f]+|-{3,}", " ", complaint.getvalue()).split()
            raise InputError(" ".join(words)) from exit
        raise
