"""`jaxvae evaluate`."""

import dataclasses
import math
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Literal

import tyro

from jaxvae._checks import expect_choice
from jaxvae.build import build_dataset
from jaxvae.data import CATALOG
from jaxvae.runs import (
    Run,
    bound_run,
    classify_run,
    evaluate_run,
    expect_conditional,
    load_run,
    measure_latents,
    summarize,
)
from jaxvae.writers import to_json

_ANNEALING = ("num_chains", "num_temperatures", "num_leapfrog", "schedule", "start")
_STORED = ("split", "data_name", "data_dir", "classify")
# The options that an estimator does not take.
_STRANGE = {"importance": _ANNEALING, "ais": ("num_samples",), "bdmc": ("num_samples", *_STORED)}
_NOT_GIVEN = (None, False)

# The share of unreliable images below which their mean is not warned of.
_TOLERATED = 0.1


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a run's model on a split: ELBO and log p(x) with their errors."""

    directory: tyro.conf.Positional[pathlib.Path]
    """A run directory."""
    split: Literal["train", "validation", "test"] | None = None
    """Which images; test where none is given."""
    estimator: Literal["importance", "ais", "bdmc"] | None = None
    """Importance sampling, annealed importance sampling, or bidirectional Monte Carlo, which bounds log p(x)
    of images simulated from the model on both sides; the run's own setting where none is given."""
    num_images: int | None = None
    """How many images, from the first of the split; all where none is given, or 100 simulated ones."""
    num_samples: int | None = None
    """Importance samples per image; the run's own setting where none is given."""
    num_chains: int | None = None
    """Annealed chains per image; likewise."""
    num_temperatures: int | None = None
    """Of each chain; likewise."""
    num_leapfrog: int | None = None
    """Leapfrog steps at each temperature; likewise."""
    schedule: Literal["sigmoid", "linear"] | None = None
    """Of the temperatures; likewise."""
    start: Literal["posterior", "encoder", "prior"] | None = None
    """What the chains start from; likewise."""
    batch_size: int | None = None
    """Images at a time; never changes the result."""
    chunk_size: int | None = None
    """Importance samples or chains of an image at a time; never changes the result."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Of the operands of matrix products; the run's own where none is given."""
    data_name: str | None = None
    """Another data set to score: a name, tfds:NAME, or the path of a file or directory."""
    data_dir: pathlib.Path | None = None
    """Where the files of the data set are; without --data-name, those of another to score."""
    seed: int | None = None
    """Of the draws; the run's own where none is given."""
    classify: bool = False
    """Of a conditional model, also say how often Bayes' rule with log p(x | y) finds the class."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> None:
        """Evaluates."""
        run = self._load()
        if self.classify:
            expect_conditional(run, "--classify")
        if self.estimator == "bdmc":
            run.config.check()
            summary = summarize(run, "simulated", bound_run(run))
        else:
            split, dataset = self.split or "test", build_dataset(run.config)
            evaluation = evaluate_run(run, dataset, split)
            summary = summarize(run, split, evaluation, measure_latents(run, dataset, split))
            if self.classify:
                summary |= classify_run(run, dataset, split)
        print(to_json(summary) if self.json else describe_evaluation(summary))
        advise(summary, run, self._data_flags())

    def _data_flags(self) -> list[str]:
        """What names the data set, to be said again."""
        flags = {"--data-name": self.data_name, "--data-dir": self.data_dir}
        return [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]

    def _load(self) -> Run:
        """The run with what was given in place of its own settings."""
        run = load_run(self.directory)
        estimator = self.estimator or run.config.evaluate.estimator
        for name in _STRANGE[estimator]:
            if getattr(self, name) not in _NOT_GIVEN:
                takers = [taker for taker, strange in _STRANGE.items() if name not in strange]
                flag = f"--{name.replace('_', '-')}"
                expect_choice(f"the estimator that {flag} is for", estimator, takers)
        # Bounds are of images of their own, and need no estimator of stored ones.
        given = {"estimator": None if estimator == "bdmc" else estimator}
        for name in ("num_samples", *_ANNEALING, "batch_size", "chunk_size"):
            given[name] = getattr(self, name)
        evaluate = _replaced(run.config.evaluate, **given)
        evaluate = dataclasses.replace(evaluate, num_images=self.num_images)
        evaluate.check()
        # Another data set's test images need no validation images taken from its training ones.
        is_other = self.data_name is not None or self.data_dir is not None
        data = run.config.data
        if is_other:
            name = self.data_name or (data.name if data.name in CATALOG else "mnist")
            data = dataclasses.replace(data, name=name, dir=self.data_dir)
        if is_other and self.split != "validation":
            data = dataclasses.replace(data, num_validation=0)
        config = _replaced(run.config, evaluate=evaluate, data=data, precision=self.precision, seed=self.seed)
        return dataclasses.replace(run, config=config)


def _replaced(part, **values):
    return dataclasses.replace(part, **{name: v for name, v in values.items() if v is not None})


def describe_evaluation(summary: dict) -> str:
    """The lines that a person reads."""
    score = "log p(x) " if summary["labels"] == "none" else "log p(x|y)"
    split, ess = summary["split"], f"effective sample size {summary['effective_sample_size']:.1f}"
    lines = [
        f"{split} {score} {summary['log_p_x']:.3f} +- {summary['log_p_x_standard_error']:.3f} nats "
        f"({_describe_estimator(summary)} of {summary['num_images']:,} images, "
        f"Monte Carlo error {summary['log_p_x_monte_carlo_error']:.4f}, {ess})"
    ]
    if summary.get("binarization") == "none" and not math.isnan(summary["bits_per_dim"]):
        lines[0] += f" ({summary['bits_per_dim']:.3f} bits/dim)"
    if not math.isnan(summary["elbo"]):
        lines.insert(0, f"{split} ELBO      {summary['elbo']:.3f} nats")
    if split == "simulated":
        bounds = f"{summary['lower']:.3f} to {summary['upper']:.3f}"
        gap = f"{summary['gap']:.3f} +- {summary['gap_standard_error']:.3f} nats"
        lines.append(f"{split} bounds    {bounds}: a gap of {gap}")
    if "kl" in summary:
        lines.append(f"{split} terms     {_describe_terms(summary)}")
    if "accuracy" in summary:
        accuracy, error = summary["accuracy"], summary["accuracy_standard_error"]
        lines.append(f"{split} accuracy  {accuracy:.4f} +- {error:.4f}")
        lines.append(f"{split} log p(x)  {summary['log_p_x_without_label']:.3f} nats, whatever the label")
    return "\n".join(lines)


def _describe_terms(summary: dict) -> str:
    terms = f"KL {summary['kl']:.3f} nats"
    if not math.isnan(summary["reconstruction"]):
        terms = f"reconstruction {summary['reconstruction']:.3f}, {terms}"
    if summary["active_units"] is None:
        return terms
    return f"{terms}; {summary['active_units']} of {summary['num_latents']} latents active"


def _describe_estimator(summary: dict) -> str:
    if "num_samples" in summary:
        return f"{summary['num_samples']:,} importance samples"
    chains, temperatures = summary["num_chains"], summary["num_temperatures"]
    path = f"{chains} chains x {temperatures} temperatures x {summary['num_leapfrog']} leapfrog steps"
    return f"{path} from the {summary['start']}"


def advise(summary: dict, run: Run, data_flags: Sequence[str] = ()) -> None:
    """Says on standard error, in one line, when log p(x) is not to be trusted, and what is better."""
    unreliable = 1 - summary["reliable"]
    if unreliable <= _TOLERATED or summary["split"] == "simulated":
        return
    better = ["jaxvae", "evaluate", str(run.directory), "--estimator", "ais", "--split", summary["split"]]
    better += [*data_flags, "--num-images", str(min(500, summary["num_images"]))]
    if summary["estimator"] == "ais":
        better += ["--num-temperatures", str(10 * summary["num_temperatures"])]
    why = f"effective sample size {summary['effective_sample_size']:.1f}"
    if not math.isnan(summary["pareto_k"]):
        why = f"median Pareto k {summary['pareto_k']:.2f}"
    print(
        f"Warning: log p(x) is unreliable, and likely too low, for {unreliable:.0%} of the images ({why}). "
        f"Better: {shlex.join(better)}",
        file=sys.stderr,
    )
