"""Pictures from arrays: images in [0, 1] of shape `(N, C, H, W)`, one file each."""

import io
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxvae._checks import expect_positive, expected


def tile(images: np.ndarray, num_columns: int, *, gap: int = 2) -> np.ndarray:
    """Lays images out in rows on a grey ground.

    Args:
        images: `(N, C, H, W)` in [0, 1], with one channel or three.
        num_columns: images per row.
        gap: pixels between images.

    Returns:
        One picture `(H', W', C)` in [0, 1].

    Raises:
        ValueError: if there is no image, or the number of channels is neither 1 nor 3.
    """
    expect_positive("the number of images", len(images))
    count, channels, height, width = images.shape
    if channels not in (1, 3):
        raise expected("the number of channels", "to be 1 or 3", channels)
    num_rows = -(-count // num_columns)
    canvas = np.full((num_rows * (height + gap) + gap, num_columns * (width + gap) + gap, channels), 0.5)
    for index, image in enumerate(images):
        row, column = divmod(index, num_columns)
        top, left = gap + row * (height + gap), gap + column * (width + gap)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return canvas


def save_images(path: str | os.PathLike, images: np.ndarray, *, num_columns: int = 8, scale: int = 2) -> None:
    """Writes a grid of images as one picture file.

    Args:
        path: such as `samples.png`.
        images: `(N, C, H, W)` in [0, 1].
        num_columns: images per row.
        scale: side in screen pixels of each image pixel.
    """
    canvas = tile(np.asarray(images), num_columns).repeat(scale, axis=0).repeat(scale, axis=1)
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    _picture(canvas).save(path)


def to_png(canvas: np.ndarray) -> bytes:
    """A picture `(H, W, C)` in [0, 1], of one channel or three, as the bytes of a PNG file."""
    file = io.BytesIO()
    _picture(canvas).save(file, "png")
    return file.getvalue()


def _picture(canvas: np.ndarray) -> Any:
    from PIL import Image

    pixels = np.round(255 * np.clip(canvas, 0, 1)).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)


def pair(inputs: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Images `(2 N, C, H, W)`, each of N inputs before its reconstruction."""
    return np.stack([inputs, reconstructions], axis=1).reshape(-1, *inputs.shape[1:])


def save_reconstructions(path: str | os.PathLike, inputs: np.ndarray, reconstructions: np.ndarray) -> None:
    """Writes pairs, each input at the left of its reconstruction, four pairs to a row."""
    save_images(path, pair(inputs, reconstructions), num_columns=8)


def save_curves(path: str | os.PathLike, records: Sequence[dict[str, float]]) -> None:
    """Draws every bound and log p(x) of a run against the step.

    Args:
        path: such as `curves.png`.
        records: of a run's `metrics.jsonl`.

    Raises:
        ValueError: if there is nothing to draw.
    """
    # The object interface, which leaves the caller's pyplot and its backend alone.
    from matplotlib.figure import Figure

    bounds = ("_elbo", "_iwae", "_log_p_x")
    names = sorted({name for record in records for name in record if name.endswith(bounds)})
    if not names:
        raise expected("the records of a run", "to hold an ELBO or a log p(x)", f"{len(records)} records")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name in names:
        points = [(record["step"], record[name]) for record in records if record.get(name) is not None]
        axes.plot(
            *zip(*points, strict=True), label=name.replace("_", " "), marker="." if len(points) < 30 else ""
        )
    values = [record[name] for record in records for name in names if record.get(name) is not None]
    # The first steps are far below all that follow and would flatten it.
    axes.set_ylim(bottom=np.quantile(values, 0.02) - 2)
    axes.set(xlabel="step", ylabel="nats per image")
    axes.grid(alpha=0.3)
    axes.legend()
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
