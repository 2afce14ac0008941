"""`jaxvae train`."""

import dataclasses
import pathlib
from typing import Annotated

import jax
import tyro

from jaxvae import presets
from jaxvae._checks import InputError, expect_positive
from jaxvae.build import build_dataset
from jaxvae.cli.evaluate import advise, describe_evaluation
from jaxvae.config import Config
from jaxvae.data import Dataset
from jaxvae.interrupts import OutOfTime, StopRequest, stop_on_signals
from jaxvae.runs import Run, create_run, expect_resumable, load_run, new_directory, train_run
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
            advise(results["test"], run)

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
