"""What a report says in words and numbers: one text for each run and row."""

import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxvae._checks import expected
from jaxvae.config import Config, to_flags
from jaxvae.evaluate import Evaluation
from jaxvae.presets import PRESETS
from jaxvae.runs import Run

# Of each row a text for each run; empty where a run has none.
Table = Mapping[str, Sequence[str]]

_PROTOCOL = (
    "data", "split", "num_images", "training_images", "binarization", "labels", "estimator", "num_samples",
    "num_chains", "num_temperatures", "num_leapfrog", "start", "schedule", "seed", "precision", "device",
)  # fmt: skip
# Where these differ, the numbers of one run say nothing of another's.
_COMPARABLE = ("data", "split", "num_images", "binarization", "labels", "likelihood")


def load_results(run: Run) -> dict[str, Any] | None:
    """The content of `results.json`; None of a run that is not finished.

    Raises:
        ValueError: if it is damaged.
    """
    path = run.directory / "results.json"
    if not path.exists():
        return None
    try:
        results = json.loads(path.read_text())
        float(results["test"]["log_p_x"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise expected(f"{path}", "to be the results of a run", f"{error!r}") from error
    return results


def command(run: Run) -> str:
    """The command that trains such a run."""
    words = ["jaxvae", "train", run.preset]
    default = to_flags(PRESETS[run.preset]() if run.preset in PRESETS else Config())
    for flag, value in to_flags(run.config).items():
        if value != default[flag]:
            words += _words(flag, value)
    return shlex.join(words)


def _words(flag: str, value: Any) -> list[str]:
    """How a setting is given on the command line."""
    # One that is always true or false is a switch; one that may be left to its part takes a word.
    if isinstance(to_flags(Config())[flag], bool):
        room, _, name = flag.rpartition(".")
        return [flag] if value else [f"{room}.no-{name}"]
    return [flag, *map(str, value if isinstance(value, tuple | list) else [value])]


def results_table(results: Sequence[dict[str, Any] | None]) -> Table:
    """What was measured of each run, with its errors."""
    return _table({name: [_of(r, text) for r in results] for name, text in _RESULTS.items()})


def _of(results: dict[str, Any] | None, text: Callable[[dict, dict], str | None]) -> str:
    if results is None:
        return "not finished"
    return text(results, results["test"]) or ""


def _with_error(value: float | None, error: float | None = None, digits: int = 2) -> str | None:
    if value is None or not math.isfinite(value):
        return None
    return f"{value:,.{digits}f}" if error is None else f"{value:,.{digits}f} ± {error:.{digits}f}"


_RESULTS: dict[str, Callable[[dict, dict], str | None]] = {
    "log p(x), nats per image, ± its error over images like these": lambda r, t: _with_error(
        t["log_p_x"], t.get("log_p_x_standard_error")
    ),
    "the part of that error that more samples would remove": lambda r, t: _with_error(
        t.get("log_p_x_monte_carlo_error"), digits=4
    ),
    "ELBO, nats per image, ± its error": lambda r, t: _with_error(
        t.get("elbo"), t.get("elbo_standard_error")
    ),
    "bits per dimension": lambda r, t: _with_error(t.get("bits_per_dim"), digits=4),
    "reconstruction, nats per image": lambda r, t: _with_error(t.get("reconstruction")),
    "KL, nats per image": lambda r, t: _with_error(t.get("kl")),
    "active latents": lambda r, t: (
        None if t.get("active_units") is None else f"{t['active_units']} of {t['num_latents']}"
    ),
    "effective sample size": lambda r, t: _with_error(t.get("effective_sample_size"), digits=1),
    "images whose log p(x) is reliable": lambda r, t: (
        None if t.get("reliable") is None else f"{t['reliable']:.0%}"
    ),
    "training, examples per second": lambda r, t: _with_error(r.get("examples_per_second"), digits=0),
    "training / compilation / evaluation, s": lambda r, t: " / ".join(
        _with_error(r.get(f"{part}_seconds"), digits=0) or "?" for part in ("train", "compile", "evaluate")
    ),
}


def protocol_table(results: Sequence[dict[str, Any] | None]) -> Table:
    """How the numbers of each run came about."""
    tests = [{} if r is None else r["test"] for r in results]
    return _table({name.replace("_", " "): [_text(t.get(name)) for t in tests] for name in _PROTOCOL})


def incomparable(runs: Sequence[Run], results: Sequence[dict[str, Any] | None]) -> list[str]:
    """In what the protocol or the likelihood differs, so that the runs' log p(x) cannot be compared."""
    tests = [
        {**r["test"], "likelihood": run.config.likelihood.name}
        for run, r in zip(runs, results, strict=True)
        if r is not None
    ]
    return [name.replace("_", " ") for name in _COMPARABLE if len({str(t.get(name)) for t in tests}) > 1]


def differences_table(runs: Sequence[Run]) -> Table:
    """The settings in which runs differ."""
    flags = [to_flags(run.config) for run in runs]
    names = [name for name in flags[0] if len({str(f[name]) for f in flags}) > 1]
    return _table({"preset": [run.preset for run in runs]} | {n: [_text(f[n]) for f in flags] for n in names})


def settings(run: Run) -> dict[str, str]:
    """Every setting that has a value, by its flag."""
    return {flag: _text(value) for flag, value in to_flags(run.config).items() if value is not None}


def paired_differences(evaluations: Sequence[Evaluation | None]) -> list[str]:
    """The mean difference of each run's log p(x) from the first run's on the same images, with its error."""
    first, texts = evaluations[0], []
    for evaluation in evaluations:
        if first is None or evaluation is None or evaluation is first:
            texts.append("")
            continue
        difference = np.subtract(evaluation.log_p, first.log_p, dtype=np.float64)
        error = np.std(difference, ddof=1) / len(difference) ** 0.5 if len(difference) > 1 else math.nan
        texts.append(f"{np.mean(difference):+.2f} ± {error:.2f}")
    return texts


def _table(rows: Mapping[str, Sequence[str]]) -> Table:
    """Without the rows of which no run has anything."""
    return {name: texts for name, texts in rows.items() if any(texts)}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return " ".join(map(str, value))
    return f"{value:,}" if type(value) is int else str(value)
