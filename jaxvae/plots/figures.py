"""What all figures share: how they are made, coloured and written."""

import os
import pathlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from jaxvae._checks import expect_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Tol's "muted" scheme, made for colour-blind readers: https://personal.sron.nl/~pault/
PALETTE = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDCC77", "#CC6677", "#882255", "#AA4499", "#777777",
)  # fmt: skip

# Legible where a README shows two figures beside each other.
_STYLE: dict[Any, Any] = {"font.size": 11, "axes.titlesize": 11, "axes.grid": False, "savefig.dpi": 150}


def make_figure(width: float, height: float) -> "Figure":
    """An empty figure that leaves pyplot and its backend alone.

    Args:
        width: in inches.
        height: in inches.
    """
    # Imported here: `import jaxvae` must not take so long.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def style():
    """The context in which a figure is drawn and written."""
    from matplotlib import rc_context

    return rc_context(_STYLE)


def save_figure(target: str | os.PathLike | BinaryIO, figure: "Figure") -> None:
    """Writes a figure in the format that the suffix names, such as `.png`, `.svg` or `.pdf`.

    Args:
        target: a path; or an open file, for a PNG.
        figure: from any of the functions here.

    Raises:
        ValueError: if the format is unknown.
    """
    if isinstance(target, str | os.PathLike):
        pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
    with style():
        figure.savefig(target)


def class_colours(num_classes: int) -> list:
    """A colour for each class; beyond ten, along a scale whose lightness rises throughout."""
    if num_classes <= len(PALETTE):
        return list(PALETTE[:num_classes])
    from matplotlib import colormaps

    return list(colormaps["cividis"](np.linspace(0, 1, num_classes)))


def expect_classes_of(points: np.ndarray, classes: np.ndarray | None) -> None:
    """Raises `ValueError` unless there is a class for each point, or none at all."""
    if classes is not None:
        expect_shape("the classes", np.shape(classes), (len(points),))


def show_image(axes: "Axes", picture: np.ndarray, **options) -> None:
    """Draws a picture `(H, W, C)` in [0, 1], every pixel a square."""
    pixels = picture[:, :, 0] if picture.shape[-1] == 1 else picture
    axes.imshow(np.clip(pixels, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest", **options)
