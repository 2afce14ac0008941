"""The latent space during training, as a GIF."""

import io
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxvae._checks import expect_positive, expect_shape
from jaxvae.plots.figures import make_figure, style
from jaxvae.plots.images import draw_tiles, tile
from jaxvae.plots.latents import draw_points

# Screen pixels per inch, and milliseconds of a frame and of the last one.
_DPI, _FRAME_MS, _LAST_FRAME_MS = 80, 150, 3000
# The few points beyond would leave all others no room.
_SHARE_IN_VIEW = 0.995


class LatentFrame(NamedTuple):
    """The latent space at one step.

    Args:
        step: of the training.
        points: `(N, 2)`, where images are.
        samples: `(S, C, H, W)` in [0, 1], of the same noise in every frame.
    """

    step: int
    points: np.ndarray
    samples: np.ndarray


def save_animation(
    path: str | os.PathLike,
    frames: Sequence[LatentFrame],
    classes: np.ndarray | None = None,
    *,
    axis_names: tuple[str, str] = ("latent 0", "latent 1"),
    on_frame: Callable[[int], None] = lambda done: None,
) -> None:
    """Writes the frames as a GIF: the points, coloured by class, beside the samples.

    Args:
        path: such as `latents.gif`.
        frames: in the order of their steps.
        classes: `(N,)`, of the points of every frame; None for points of one colour.
        axis_names: with units, where they have any.
        on_frame: called after each with the number that are drawn.

    Raises:
        ValueError: if there is no frame, or they do not have as many points each.
    """
    from PIL import Image

    expect_positive("the number of frames", len(frames))
    for frame in frames:
        expect_shape("the points of a frame", frame.points.shape, frames[0].points.shape)
    limits = _limits(np.stack([frame.points for frame in frames]))
    pictures = []
    for frame in frames:
        content = io.BytesIO()
        with style():
            _draw_frame(frame, classes, limits, axis_names).savefig(content, format="png", dpi=_DPI)
        pictures.append(Image.open(content).convert("RGB").quantize(128))
        on_frame(len(pictures))
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    duration = [_FRAME_MS] * (len(pictures) - 1) + [_LAST_FRAME_MS]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=duration, loop=0)


def _limits(points: np.ndarray) -> np.ndarray:
    """The lowest and the highest value shown of each of the two, `(2, 2)`, of points `(F, N, 2)`."""
    low = np.quantile(points, 1 - _SHARE_IN_VIEW, axis=1).min(axis=0)
    high = np.quantile(points, _SHARE_IN_VIEW, axis=1).max(axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-6)
    return np.stack([low - margin, high + margin])


def _draw_frame(
    frame: LatentFrame, classes: np.ndarray | None, limits: np.ndarray, axis_names: tuple[str, str]
):
    figure = make_figure(8, 4.2)
    left, right = figure.subplots(1, 2)
    draw_points(left, frame.points, classes)
    left.set(xlim=limits[:, 0], ylim=limits[:, 1], xlabel=axis_names[0], ylabel=axis_names[1])
    left.set_title(f"posterior means, step {frame.step:,}")
    num_columns = max(1, round(len(frame.samples) ** 0.5))
    draw_tiles(right, tile(np.asarray(frame.samples, np.float32), num_columns))
    right.set_title("samples")
    return figure
