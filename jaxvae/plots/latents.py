"""Figures of latents, and their way into the plane."""

import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from jaxvae._checks import expect_in_range, expect_positive, expected
from jaxvae.plots.figures import PALETTE, class_colours, expect_classes_of, make_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# As published (van der Maaten & Hinton 2008), and what is left to few points.
_PERPLEXITY, _SHARE_OF_POINTS = 30.0, 4


def scatter(
    points: np.ndarray,
    classes: np.ndarray | None = None,
    *,
    axis_names: tuple[str, str] = ("latent 0", "latent 1"),
    title: str = "",
) -> "Figure":
    """Points of the plane, coloured by class, whose number stands in their midst.

    Args:
        points: `(N, 2)`.
        classes: `(N,)`, whole numbers from 0; None for points of one colour.
        axis_names: with units, where they have any.
        title: above it.

    Raises:
        ValueError: if there is no point, the points are not of the plane, or the classes not as many.
    """
    with style():
        figure = make_figure(5.6, 5.2)
        axes = figure.subplots()
        draw_points(axes, points, classes)
        axes.set(xlabel=axis_names[0], ylabel=axis_names[1], title=title)
    return figure


def draw_points(axes: "Axes", points: np.ndarray, classes: np.ndarray | None) -> None:
    """Draws the points of `scatter`, which says what they are, and a legend."""
    points = np.asarray(points)
    expect_positive("the number of points", len(points))
    if points.ndim != 2 or points.shape[1] != 2:
        raise expected("the points", "to have shape (N, 2)", points.shape)
    expect_classes_of(points, classes)
    size = float(np.clip(20_000 / len(points), 2, 20))
    if classes is None:
        axes.scatter(*points.T, s=size, color=PALETTE[0], linewidths=0, alpha=0.6, rasterized=True)
        return
    colours = class_colours(int(np.max(classes)) + 1)
    # In the given order: no class lies on top of all others.
    of_points = np.asarray([_rgb(colour) for colour in colours])[classes]
    axes.scatter(*points.T, s=size, c=of_points, linewidths=0, alpha=0.7, rasterized=True)
    _name_classes(axes, points, classes)


def _rgb(colour) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def _name_classes(axes: "Axes", points: np.ndarray, classes: np.ndarray) -> None:
    """Writes every class at the point of its own that is nearest to their median."""
    from matplotlib.patheffects import withStroke

    for label in np.unique(classes):
        own = points[classes == label]
        middle = own[np.argmin(np.sum((own - np.median(own, axis=0)) ** 2, axis=1))]
        halo = [withStroke(linewidth=3, foreground="white")]
        axes.annotate(
            str(label), middle, ha="center", va="center", fontsize=14, fontweight="bold", path_effects=halo
        )


def kl_per_latent(kl: np.ndarray, active_units: int | None = None) -> "Figure":
    """The divergence of the posterior from the prior in each latent, the largest first.

    Args:
        kl: `(D,)`, the means over images, in nats.
        active_units: how many latents are active, to be said above it.

    Raises:
        ValueError: if there is no latent, or the divergence has no parts, as that of a flow.
    """
    kl = np.asarray(kl, np.float64)
    expect_positive("the number of latents", len(kl))
    if not np.all(np.isfinite(kl)):
        raise expected("the KL term", "to have a part for each latent, which that of a flow has not", "NaN")
    from matplotlib.ticker import MaxNLocator

    order = np.argsort(-kl, kind="stable")
    title = f"{kl.sum():.1f} nats in {len(kl)} latents"
    with style():
        figure = make_figure(7, 3.6)
        axes = figure.subplots()
        axes.bar(np.arange(1, len(kl) + 1), kl[order], width=0.8, color=PALETTE[0])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="latents, in this order", ylabel="KL of the latent, nats per image")
        axes.set_title(title if active_units is None else f"{title}, {active_units} of them active")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def tsne(
    points: np.ndarray,
    *,
    max_points: int = 10_000,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda step: None,
) -> np.ndarray:
    """Points of any dimension in the plane, near ones near each other (van der Maaten & Hinton 2008).

    The Barnes-Hut t-SNE of scikit-learn: a minute or two for 10,000 points on two cores.

    Args:
        points: `(N, D)`.
        max_points: more than these are left out, the last ones.
        seed: of the optimisation.
        on_step: called now and then with the steps that are done, of `TSNE_STEPS`.

    Returns:
        `(min(N, max_points), 2)`.

    Raises:
        ValueError: if there are fewer than three points, or one is not finite.
    """
    from sklearn.manifold import TSNE

    expect_in_range("the number of points for t-SNE", min(len(points), max_points), 3, float("inf"))
    points = np.asarray(points, np.float32)[:max_points]
    if not np.all(np.isfinite(points)):
        raise expected("the points for t-SNE", "to be finite numbers", points[~np.isfinite(points)][0])
    # Principal components need two dimensions, and points that differ.
    init = "pca" if points.shape[1] > 1 and np.ptp(points, axis=0).max() > 0 else "random"
    perplexity = min(_PERPLEXITY, len(points) / _SHARE_OF_POINTS)
    method = TSNE(
        perplexity=perplexity, max_iter=TSNE_STEPS, init=init, random_state=seed, n_jobs=-1, verbose=2
    )
    # It has no callback, but says what it does.
    with contextlib.redirect_stdout(_Listener(on_step)):  # pyright: ignore[reportArgumentType]
        return method.fit_transform(points)


TSNE_STEPS = 1000
"""Of the optimisation of `tsne`, as `on_step` counts them."""


class _Listener:
    """A file that hears scikit-learn name its iterations."""

    def __init__(self, on_step: Callable[[int], None]):
        self._on_step = on_step

    def write(self, text: str) -> int:
        if found := re.search(r"Iteration (\d+):", text):
            self._on_step(int(found[1]))
        return len(text)

    def flush(self) -> None:
        pass
