"""Figures of numbers: of a run's training, and of log p(x) over images."""

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxvae._checks import expect_positive, expect_shape, expected
from jaxvae.plots.figures import PALETTE, make_figure, style
from jaxvae.plots.images import draw_tiles, tile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]

_BOUNDS = ("_elbo", "_iwae", "_log_p_x")
# Dark ones of the palette, so that a thin line is seen.
_LINES = tuple(PALETTE[i] for i in (0, 6, 3, 8, 2, 4, 7, 9))


def curves(records: Records) -> "Figure":
    """Every bound and log p(x) of a run against the step, with a band of one standard error over images.

    Args:
        records: of a run's `metrics.jsonl`; `NAME_standard_error` beside `NAME` makes its band.

    Raises:
        ValueError: if there is nothing to draw.
    """
    names = sorted({name for r in records for name in r if name.endswith(_BOUNDS) and _has(r, name)})
    if not names:
        raise expected("the records of a run", "to hold an ELBO or a log p(x)", f"{len(records)} records")
    return _draw_curves({(_spoken(name), name): records for name in names}, "nats per image")


def compare_curves(runs: Mapping[str, Records], name: str) -> "Figure":
    """One number of several runs against the step, with its bands.

    Args:
        runs: the records of each, by the name to give it.
        name: of the number, such as `validation_log_p_x`, in nats.

    Raises:
        ValueError: if no run has it.
    """
    having = {run: records for run, records in runs.items() if any(_has(r, name) for r in records)}
    if not having:
        raise expected("the records of a run", f"to hold {name}", f"none in {len(runs)} runs")
    return _draw_curves({(run, name): records for run, records in having.items()}, f"{_spoken(name)}, nats")


def _draw_curves(lines: Mapping[tuple[str, str], Records], unit: str) -> "Figure":
    """The lines of `(label, name)` of records."""
    has_bands, bottoms = False, []
    with style():
        figure = make_figure(7, 4.2)
        axes = figure.subplots()
        for ((label, name), records), colour in zip(lines.items(), itertools.cycle(_LINES), strict=False):
            having = [r for r in records if _has(r, name)]
            has_bands |= _draw_curve(axes, having, name, label, colour)
            bottoms.append(np.quantile([r[name] for r in having], 0.1))
        # The first steps are far below all that follow and would flatten it.
        axes.set_ylim(bottom=min(bottoms) - 1)
        axes.set(xlabel="training step", ylabel=unit)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(title="band: one standard error over images" if has_bands else None, loc="lower right")
    return figure


def _draw_curve(axes: "Axes", records: Records, name: str, label: str, colour: str) -> bool:
    """Draws a line and, where there are errors, its band; returns whether there are."""
    steps, values = ([r[key] for r in records] for key in ("step", name))
    axes.plot(steps, values, label=label, color=colour, linewidth=1.5, marker="." if len(values) < 30 else "")
    banded = [r for r in records if _has(r, f"{name}_standard_error")]
    if banded:
        steps, values, errors = (
            np.array([r[k] for r in banded]) for k in ("step", name, f"{name}_standard_error")
        )
        axes.fill_between(steps, values - errors, values + errors, color=colour, alpha=0.2, linewidth=0)
    return bool(banded)


def _has(record: Mapping[str, Any], name: str) -> bool:
    return record.get(name) is not None


def _spoken(name: str) -> str:
    """The name of a number as a person reads it."""
    spoken = name.replace("log_p_x", "log p(x)").replace("_", " ")
    return spoken.replace("elbo", "ELBO").replace("iwae", "IWAE")


def log_p_histogram(
    log_p: np.ndarray, images: np.ndarray, *, num_shown: int = 8, quantity: str = "log p(x)"
) -> "Figure":
    """How log p(x) is spread over images, above those with the highest and the lowest.

    Args:
        log_p: `(N,)`, in nats.
        images: `(N, C, H, W)` in [0, 1].
        num_shown: how many of the best and of the worst.
        quantity: what it is, such as `log p(x | y)`.

    Raises:
        ValueError: if there is no image, or not as many numbers as images.
    """
    expect_positive("the number of images", len(images))
    expect_shape("log p(x)", np.shape(log_p), (len(images),))
    order = np.argsort(-np.asarray(log_p), kind="stable")
    num_shown = min(num_shown, len(order))
    with style():
        figure = make_figure(6, 5.4)
        top, best, worst = figure.subplots(3, 1, height_ratios=[3, 1, 1])
        top.hist(
            log_p, bins=min(60, 5 + len(order) // 20), color=PALETTE[1], edgecolor=PALETTE[0], linewidth=0.5
        )
        mean = float(np.mean(log_p, dtype=np.float64))
        top.axvline(mean, color=PALETTE[6], label=f"mean {mean:.2f} nats")
        top.set(xlabel=f"{quantity}, nats", ylabel="images")
        top.spines[["top", "right"]].set_visible(False)
        top.legend()
        _draw_ranked(best, images, log_p, order[:num_shown], "highest")
        _draw_ranked(worst, images, log_p, order[::-1][:num_shown], "lowest")
    return figure


def _draw_ranked(axes: "Axes", images: np.ndarray, log_p: np.ndarray, order: np.ndarray, name: str) -> None:
    shown, width = np.asarray(images)[order], np.shape(images)[-1]
    draw_tiles(axes, tile(shown, len(shown)))
    centres = 1.5 + width / 2 + (width + 2) * np.arange(len(shown))
    axes.set_xticks(centres, [f"{value:.1f}" for value in np.asarray(log_p)[order]], fontsize=9)
    axes.tick_params(length=0)
    axes.set_ylabel(name)
