"""What every reader of a data set returns, and the checks that all of their arrays pass."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxvae._checks import expect_positive, expect_shape, expected

# Of what comes without splits. Changing it makes every published number incomparable.
_SPLIT_SEED = 20160102
_MOST_HELD_OUT = 10_000
# Of images that stay on disk, whose checks must not read all of them.
_LOOKED_AT = 1_000
_NAMES = {"train": "training", "validation": "validation", "test": "test"}


class Stored(NamedTuple):
    """A data set as it is stored, before it is binarised and split.

    Args:
        images: uint8 `(N, C, H, W)`: the training images, then the validation, then the test images. Binary
            ones are 0 and 255, so that every binarisation leaves them as they are.
        labels: int32 `(N,)`, or None where there are none.
        num_validation: how many validation images the data set has of its own; None where it has no such
            split.
        num_test: how many test images.
    """

    images: Any
    labels: np.ndarray | None
    num_validation: int | None
    num_test: int


def as_pixels(what: str, values: np.ndarray) -> np.ndarray:
    """Pixels of any type as uint8 of the same shape.

    Whole numbers are levels from 0 to 255, or 0 and 1 where there is nothing above; floats are in [0, 1], and
    rounded to the nearest of 256 levels.

    Raises:
        ValueError: if a value is outside, or NaN, or the type is not one of numbers.
    """
    if values.size == 0:
        raise expected(what, "to hold at least one image", f"shape {values.shape}")
    if values.dtype.kind not in "buif":
        raise expected(what, "to hold numbers", f"type {values.dtype}")
    low, high = values.min(), values.max()  # NaN where there is one
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 1):
            raise expected(f"the floats of {what}", "to be in [0, 1]", _range(low, high))
        return np.rint(255 * values).astype(np.uint8)
    if low < 0 or high > 255:
        raise expected(f"the whole numbers of {what}", "to be from 0 to 255", _range(low, high))
    pixels = values.astype(np.uint8, copy=False)
    return pixels if high > 1 else 255 * pixels


def _range(low: Any, high: Any) -> str:
    return "NaN" if np.isnan(low) else f"{low:g} to {high:g}"


def as_images(what: str, values: np.ndarray) -> np.ndarray:
    """Images `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`, with one channel or three, as `(N, C, H, W)`.

    Raises:
        ValueError: if they have another shape.
    """
    if values.ndim == 3:
        return values[:, None]
    if values.ndim == 4 and values.shape[-1] in (1, 3):
        return np.moveaxis(values, -1, 1)
    if values.ndim == 4 and values.shape[1] in (1, 3):
        return values
    raise expected(what, "to have shape (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3", values.shape)


def as_labels(what: str, labels: np.ndarray, num_images: int) -> np.ndarray:
    """Labels `(N,)`, or one-hot `(N, Y)`, as int32 `(N,)`.

    Raises:
        ValueError: if there is not one for each image, or they are no classes.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        if not np.all(np.sort(labels, axis=1) == np.eye(labels.shape[1])[-1]):
            raise expected(f"the labels of {what}", "to be one class for each image or one-hot", labels.shape)
        labels = labels.argmax(axis=1)
    labels = labels.reshape(-1) if labels.ndim == 2 else labels
    expect_shape(f"the labels of {what}", labels.shape, (num_images,))
    numbers = labels.dtype.kind in "buif"
    if not numbers or not np.all((labels == np.rint(labels)) & (labels >= 0) & (labels < 2**31)):
        raise expected(f"the labels of {what}", "to be classes 0, 1, 2, ...", f"{labels.dtype} {labels[:5]}")
    return labels.astype(np.int32)


def join_splits(what: str, splits: Mapping[str, tuple[Any, Any]]) -> Stored:
    """Puts `{"train": (images, labels or None), "test": ..., "validation": ...}` one after the other.

    Args:
        what: the name of the whole, for messages.
        splits: pixels and shapes of any kind; without `validation` there is none, without `test` the
            validation images are the test images.

    Raises:
        ValueError: if a split is missing or empty, their images differ in shape, or only some have labels.
    """
    splits = {name: splits[name] for name in _NAMES if splits.get(name) is not None}
    if "train" not in splits or len(splits) < 2:
        raise expected(what, "to have training and test images", f"{', '.join(splits) or 'neither'}")
    names = {name: f"the {_NAMES[name]} images of {what}" for name in splits}
    # Looked at together: a split of black images alone is still one of grey images.
    raw = {name: np.asarray(images) for name, (images, _) in splits.items()}
    for name, images in raw.items():
        expect_positive(f"the number of {names[name][4:]}", len(images))
    images = {name: as_images(names[name], images) for name, images in raw.items()}
    for name, values in images.items():
        expect_shape(f"an image of {names[name]}", values.shape[1:], images["train"].shape[1:])
    labels = {
        name: as_labels(names[name], y, len(images[name])) for name, (_, y) in splits.items() if y is not None
    }
    if labels and len(labels) < len(images):
        raise expected(f"all splits of {what}", "to have labels, or none", f"those of {', '.join(labels)}")
    # Of images that are 3 wide only the channels of the last axis are told apart, so back they go.
    return arrange(
        what,
        np.moveaxis(np.concatenate(list(images.values())), 1, -1),
        np.concatenate(list(labels.values())) if labels else None,
        {name: len(values) for name, values in images.items()},
    )


def drawn_order(count: int) -> np.ndarray:
    """An order of so many images, drawn once and for all, `(count,)`."""
    return np.random.RandomState(_SPLIT_SEED).permutation(count)


def hold_out(what: str, images: Any, labels: np.ndarray | None) -> Stored:
    """Of images without splits, a tenth (10,000 at most), drawn once and for all, becomes the test images.

    Args:
        what: the name of the whole, for messages.
        images: of any shape and type that `as_images` and `as_pixels` take.
        labels: of all, or None.

    Raises:
        ValueError: if there are fewer than two images.
    """
    return arrange(what, images, labels, {"train": len(images)})


def arrange(what: str, images: Any, labels: np.ndarray | None, counts: Mapping[str, int]) -> Stored:
    """The splits of images that follow one another, training, validation, test.

    Without test images the validation images are the test images. Without either, a tenth (10,000 at most)
    is drawn once and for all, and put at the end.

    Args:
        what: the name of the whole, for messages.
        images: of any shape and type that `as_images` and `as_pixels` take, or on disk.
        labels: of all, or None.
        counts: images in each of the splits that there are.

    Raises:
        ValueError: if there are fewer than two images, or they are not images.
    """
    count = len(images)
    if count < 2:
        raise expected(what, "to hold at least two images", count)
    classes = None if labels is None else as_labels(what, labels, count)
    if isinstance(images, np.ndarray):
        # Otherwise `take` would copy all of them for every batch.
        images = np.ascontiguousarray(as_pixels(what, as_images(what, images)))
    if len(counts) == 1:
        order = drawn_order(count)
        images, classes = images.take(order, axis=0), None if classes is None else classes[order]
        counts = {"train": count, "test": min(max(1, count // 10), _MOST_HELD_OUT)}
    num_test = counts["test"] if "test" in counts else counts["validation"]
    num_validation = counts.get("validation") if "test" in counts else None
    return checked(what, Stored(images, classes, num_validation, num_test))


def checked(what: str, stored: Stored) -> Stored:
    """The data set itself; warns of constant images, from which nothing can be learnt.

    Of images on disk a thousand are looked at, evenly spread.

    Raises:
        ValueError: if all images are constant, or those on disk are 0 and 1, which are 0 and 255 there.
    """
    pixels = stored.images
    if not isinstance(pixels, np.ndarray):
        pixels = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), _LOOKED_AT)).astype(int)]
        if pixels.max() == 1:
            raise expected(f"the binary pixels of {what}", "to be 0 and 255 on disk", "0 and 1")
    pixels = pixels.reshape(len(pixels), -1)
    constant = int(np.sum(pixels.min(axis=1) == pixels.max(axis=1)))
    if constant == len(pixels):
        raise expected(f"the images of {what}", "not to be constant", f"{constant} that are")
    if constant:
        warnings.warn(f"{constant} of the {len(pixels):,} images of {what} are constant.", stacklevel=2)
    return stored
