"""`jaxvae evaluate`."""

import dataclasses
import pathlib
from typing import Literal

import tyro

from jaxvae.build import build_dataset
from jaxvae.runs import Run, evaluate_run, load_run
from jaxvae.writers import to_json


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
        print(to_json(summary) if self.json else describe_evaluation(summary))

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


def describe_evaluation(summary: dict) -> str:
    """The lines that a person reads."""
    how = (
        f"{summary['num_samples']} samples of {summary['num_images']:,} images, "
        f"Monte Carlo error {summary['log_p_x_monte_carlo_error']:.4f}, "
        f"effective sample size {summary['effective_sample_size']:.1f}"
    )
    log_p_x = f"{summary['log_p_x']:.3f} +- {summary['log_p_x_standard_error']:.3f}"
    split = summary["split"]
    return f"{split} ELBO      {summary['elbo']:.3f} nats\n{split} log p(x)  {log_p_x} nats ({how})"
