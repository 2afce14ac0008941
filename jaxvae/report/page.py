"""The page: tables and pictures in one HTML file."""

import base64
import dataclasses
import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxvae import plots
from jaxvae._checks import expect_positive
from jaxvae.evaluate import Evaluation
from jaxvae.pictures import PICTURES, Subject, choose_pictures
from jaxvae.report import tables
from jaxvae.runs import Run, View, load_scores
from jaxvae.writers import load_records

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Too slow for a page that nobody asked to have it.
_ON_REQUEST = ("tsne",)
_COMPARED = ("validation_log_p_x", "test_log_p_x", "validation_elbo", "test_elbo", "train_elbo", "train_iwae")


@dataclasses.dataclass(frozen=True)
class _Section:
    """What the page says of one run alone."""

    name: str
    command: str
    steps: str
    settings: dict[str, str]
    figures: list[tuple[str, str]]


def make_report(runs: Sequence[Run], *, pictures: Sequence[str] | None = None) -> str:
    """One HTML page on runs, without anything to load: settings, protocol, results with errors, pictures.

    Of several runs, tables and curves beside each other, and the difference of log p(x) on the same images.

    Args:
        runs: with a checkpoint each.
        pictures: names of `PICTURES`; where none are given all that a run has, but for t-SNE, and for
            log p(x) where its scores are not kept.

    Returns:
        The page.

    Raises:
        ValueError: if there is no run, one has no checkpoint or lacks a picture, or its results are damaged.
    """
    expect_positive("the number of runs", len(runs))
    results = [tables.load_results(run) for run in runs]
    asked = [None if pictures is None else choose_pictures(run, pictures) for run in runs]
    views = [View(run, run.load_model(), run.config.seed) for run in runs]
    subjects = [Subject(view, view.run.load_dataset()) for view in views]
    scores = [
        None if found is None else load_scores(subject.view.run, subject.dataset, "test")
        for subject, found in zip(subjects, results, strict=True)
    ]
    chosen = [names or _chosen(run, s) for run, names, s in zip(runs, asked, scores, strict=True)]
    measured, incomparable = tables.results_table(results), tables.incomparable(runs, results)
    if len(runs) > 1 and not incomparable:
        measured = _with_row(measured, "log p(x) minus that of the first, same images", scores)
    return _template().render(
        names=[str(run.directory) for run in runs],
        results=measured,
        incomparable=incomparable,
        protocol=tables.protocol_table(results),
        differences=tables.differences_table(runs) if len(runs) > 1 else {},
        overlaid=_overlaid(runs) if len(runs) > 1 else [],
        sections=[_section(subject, names) for subject, names in zip(subjects, chosen, strict=True)],
    )


def _chosen(run: Run, scores: Evaluation | None) -> list[str]:
    """All that a run has, but for what would take minutes."""
    left_out = _ON_REQUEST if scores is not None else (*_ON_REQUEST, "log-p-x")
    return [name for name in choose_pictures(run, None) if name not in left_out]


def _with_row(table: tables.Table, name: str, scores: Sequence[Evaluation | None]) -> tables.Table:
    """The table with the differences after its first row."""
    texts = tables.paired_differences(scores)
    if not any(texts):
        return table
    (first, *others) = table.items()
    return dict([first, (name, texts), *others])


def _overlaid(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Curves of the numbers that two runs or more have."""
    records = {str(run.directory): load_records(run.directory / "metrics.jsonl") for run in runs}
    found = []
    for name in _COMPARED:
        if sum(any(r.get(name) is not None for r in of_run) for of_run in records.values()) > 1:
            found.append((f"{name} of all runs that have it", _embed(plots.compare_curves(records, name))))
    return found


def _section(subject: Subject, names: Sequence[str]) -> _Section:
    run = subject.view.run
    step = int(run.load_state()[0].step)
    return _Section(
        name=str(run.directory),
        command=tables.command(run),
        steps=f"{step:,} of {run.config.steps:,}",
        settings=tables.settings(run),
        figures=[(PICTURES[name].what, _embed(PICTURES[name].draw(subject))) for name in names],
    )


def _embed(figure: "Figure") -> str:
    """The figure as the address of an image that is in the address itself."""
    content = io.BytesIO()
    plots.save_figure(content, figure)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(pathlib.Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")
