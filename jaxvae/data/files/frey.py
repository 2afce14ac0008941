"""The split of the Frey Faces, which are published without one."""

import numpy as np

from jaxvae._checks import expected
from jaxvae.data.stored import Stored, as_pixels, join_splits

_HEIGHT, _WIDTH = 28, 20
_NUM_TRAIN, _NUM_VALIDATION, _NUM_TEST = 1565, 200, 200
_COUNT = _NUM_TRAIN + _NUM_VALIDATION + _NUM_TEST


def frey_split(what: str, values: np.ndarray) -> Stored:
    """The 1,965 Frey Faces as 1,565 training, 200 validation and 200 test images.

    They are frames of one film, so they are shuffled first, by NumPy's legacy generator with the seed 123, as
    van den Berg et al. 2018 do (arXiv:1803.05649, the default of its published code).

    Args:
        what: the name of the whole, for messages.
        values: `(1965, 560)`, each row an image of 28 x 20 pixels in row-major order: whole numbers from 0 to
            255, be they floats or integers, or floats in [0, 1].

    Raises:
        ValueError: if they have another shape or range.
    """
    if values.shape != (_COUNT, _HEIGHT * _WIDTH):
        raise expected(
            what, f"to hold {_COUNT:,} images of {_HEIGHT} x {_WIDTH} pixels", f"shape {values.shape}"
        )
    pixels = as_pixels(what, _levels(values)).reshape(_COUNT, _HEIGHT, _WIDTH)
    order = np.arange(_COUNT)
    np.random.RandomState(123).shuffle(order)
    train, validation, test = np.split(pixels[order], [_NUM_TRAIN, _NUM_TRAIN + _NUM_VALIDATION])
    return join_splits(what, {"train": (train, None), "validation": (validation, None), "test": (test, None)})


def _levels(values: np.ndarray) -> np.ndarray:
    """Whole floats from 0 to 255 as uint8; all else as it is."""
    if values.dtype.kind != "f" or not (values.min() >= 0 and 1 < values.max() <= 255):
        return values
    levels = values.astype(np.uint8)
    return levels if np.array_equal(levels, values) else values
