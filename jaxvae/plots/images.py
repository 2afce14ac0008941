"""Figures of images `(N, C, H, W)` in [0, 1]."""

import io
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxvae._checks import expect_positive, expect_shape, expected
from jaxvae.plots.figures import make_figure, show_image, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    """Writes a grid of images as one picture file, pixel for pixel.

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


def pair(inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Images `(2 N, C, H, W)`, each of N inputs before its reconstruction.

    Raises:
        ValueError: if there are not as many of both.
    """
    expect_shape("the reconstructions", np.shape(outputs), np.shape(inputs))
    return np.stack([inputs, outputs], axis=1).reshape(-1, *np.shape(inputs)[1:])


def image_grid(images: np.ndarray, *, num_columns: int = 8, title: str = "") -> "Figure":
    """Images in rows, such as samples.

    Args:
        images: `(N, C, H, W)` in [0, 1].
        num_columns: images per row.
        title: above them.

    Raises:
        ValueError: as `tile` does.
    """
    picture = tile(np.asarray(images), num_columns)
    with style():
        figure = make_figure(5, 5 * picture.shape[0] / picture.shape[1] + 0.3)
        axes = figure.subplots()
        draw_tiles(axes, picture)
        axes.set_title(title)
    return figure


def reconstructions(inputs: np.ndarray, outputs: np.ndarray) -> "Figure":
    """Pairs, each input at the left of its reconstruction, four pairs to a row.

    Args:
        inputs: `(N, C, H, W)` in [0, 1].
        outputs: likewise.

    Raises:
        ValueError: if there are not as many of both, or as `tile` does.
    """
    title = "pairs of an image (left) and its reconstruction (right)"
    return image_grid(pair(inputs, outputs), title=title)


def interpolations(starts: np.ndarray, paths: np.ndarray, ends: np.ndarray) -> "Figure":
    """A row for each pair of images: the first, the decoded way from its latent to the other's, the other.

    Args:
        starts: `(R, C, H, W)` in [0, 1].
        paths: `(R, S, C, H, W)`, S steps of each.
        ends: `(R, C, H, W)`.

    Raises:
        ValueError: if the shapes do not go together, or as `tile` does.
    """
    num_rows, num_steps = np.shape(paths)[:2]
    for what, images in (("the first images", starts), ("the last images", ends)):
        expect_shape(what, np.shape(images), (num_rows, *np.shape(paths)[2:]))
    rows = np.concatenate([np.asarray(starts)[:, None], paths, np.asarray(ends)[:, None]], axis=1)
    title = "from one image to another, along the line of latents"
    return image_grid(rows.reshape(-1, *rows.shape[2:]), num_columns=num_steps + 2, title=title)


def class_grid(images: np.ndarray, names: Sequence[str] | None = None) -> "Figure":
    """Samples of a conditional model, a column for each class.

    Args:
        images: `(R, Y, C, H, W)` in [0, 1]: R rows of one image of each of Y classes.
        names: of the classes; their numbers where none are given.

    Raises:
        ValueError: as `tile` does.
    """
    _, num_classes, _, _, width = np.shape(images)
    picture = tile(np.reshape(images, (-1, *np.shape(images)[2:])), num_classes)
    with style():
        figure = make_figure(5, 5 * picture.shape[0] / picture.shape[1] + 0.5)
        axes = figure.subplots()
        draw_tiles(axes, picture)
        centres = 2 + width / 2 + (width + 2) * np.arange(num_classes)
        axes.set_xticks(centres - 0.5, names or [str(label) for label in range(num_classes)])
        axes.tick_params(length=0)
        axes.set_xlabel("class")
    return figure


def manifold(images: np.ndarray, titles: Sequence[str] = ("",)) -> "Figure":
    """The plane of two latents as a grid of decoded images, through the prior's quantiles.

    Kingma & Welling 2014, figure 4, arXiv:1312.6114.

    Args:
        images: `(P, R, R, C, H, W)` in [0, 1]: of each of P panels, such as the classes of a conditional
            model, the image at quantile (i + 1/2) / R of latent 1 and (j + 1/2) / R of latent 0.
        titles: of the panels.

    Raises:
        ValueError: if there are not as many titles as panels, or as `tile` does.
    """
    num_panels = len(images)
    expect_shape("the titles", (len(titles),), (num_panels,))
    num_columns = min(num_panels, 5)
    num_lines, side = -(-num_panels // num_columns), 5.6 if num_panels == 1 else 2.1
    with style():
        figure = make_figure(side * num_columns, side * num_lines)
        grid = figure.subplots(num_lines, num_columns, squeeze=False)
        for axes, panel, title in zip(grid.flat, np.asarray(images), titles, strict=False):
            _draw_panel(axes, panel)
            axes.set_title(title)
        for axes in grid.flat[num_panels:]:
            axes.axis("off")
        figure.supxlabel("latent 0, quantile of the prior", fontsize="medium")
        figure.supylabel("latent 1, quantile of the prior", fontsize="medium")
    return figure


def _draw_panel(axes: "Axes", panel: np.ndarray) -> None:
    # Latent 1 rises upwards.
    num_rows, rising = len(panel), panel[::-1]
    picture = tile(rising.reshape(-1, *panel.shape[2:]), num_rows, gap=0)
    show_image(axes, picture, extent=(0, 1, 0, 1), aspect=picture.shape[0] / picture.shape[1])
    ticks = [0.1, 0.5, 0.9]
    axes.set(xticks=ticks, yticks=ticks)


def draw_tiles(axes: "Axes", picture: np.ndarray) -> None:
    """Draws what `tile` made, without axes."""
    show_image(axes, picture)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
