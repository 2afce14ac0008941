"""Data sets: the bundled MNIST, or a directory of IDX files."""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from jaxvae._checks import expect_choice, expect_in_range, expect_shape, expected
from jaxvae.data.binarize import BINARIZATIONS, draw_static
from jaxvae.data.idx import find_idx, load_idx
from jaxvae.data.mnist import load_mnist


class Split(NamedTuple):
    """Images `(N, C, H, W)` uint8 and labels `(N,)` uint8."""

    images: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """Three splits, kept as bytes; `make_prepare` turns a batch of them into what a model sees.

    Args:
        train: training images.
        validation: the images that choose the best checkpoint; None when all are trained on.
        test: test images.
    """

    train: Split
    validation: Split | None
    test: Split

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(C, H, W)`."""
        return self.train.images.shape[1:]

    @property
    def label_counts(self) -> tuple[int, ...]:
        """How many training images each class has, `(Y,)`; the classes are 0 to the largest label."""
        return tuple(np.bincount(self.train.labels).tolist())

    def split(self, name: str) -> Split:
        """The split called `train`, `validation` or `test`.

        Raises:
            ValueError: if there is no such split.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        expect_choice("split", name, [key for key, value in splits.items() if value is not None])
        return splits[name]


def load_dataset(
    source: str | os.PathLike = "mnist", *, binarization: str = "static", num_validation: int = 10_000
) -> Dataset:
    """Reads a data set.

    Args:
        source: `mnist`, which is bundled, or a directory that holds the four IDX files under MNIST's names
            (`train-images-idx3-ubyte` and so on, gzip-compressed or raw), such as Fashion-MNIST's.
        binarization: `static`, `dynamic`, `threshold` or `none`.
        num_validation: how many images, the last ones of the training file, are held out; 0 for none.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: on an unknown source, a damaged file, or more validation images than there are.
        FileNotFoundError: if a file is missing.
    """
    expect_choice("binarization", binarization, BINARIZATIONS)
    images, labels, num_train = _load_arrays(source)
    expect_in_range("num_validation", num_validation, 0, num_train)
    # Grey images may be wanted for training while validation and test are frozen draws.
    frozen = _freeze(images, binarization)
    kept = images if binarization == "dynamic" else frozen
    first = num_train - num_validation

    def split(pixels: np.ndarray, start: int, stop: int | None) -> Split:
        return Split(pixels[start:stop, None], labels[start:stop])

    return Dataset(
        train=split(kept, 0, first),
        validation=split(frozen, first, num_train) if num_validation else None,
        test=split(frozen, num_train, None),
    )


def _freeze(images: np.ndarray, binarization: str) -> np.ndarray:
    if binarization == "none":
        return images
    if binarization == "threshold":
        return (images >= 128).astype(np.uint8)
    return draw_static(images)


def _load_arrays(source: str | os.PathLike) -> tuple[np.ndarray, np.ndarray, int]:
    """Images `(N, H, W)`, labels `(N,)`, and how many of them are the training file's."""
    if source == "mnist":
        images, labels = load_mnist()
        return images, labels, 60_000
    directory = pathlib.Path(source)
    if not directory.is_dir():
        raise expected("the data set", "to be 'mnist' or a directory of IDX files", f"{str(source)!r}")
    train, test = _load_pair(directory, "train"), _load_pair(directory, "t10k")
    expect_shape("the test images", test[0].shape[1:], train[0].shape[1:])
    images, labels = (np.concatenate(parts) for parts in zip(train, test, strict=True))
    return images, labels, len(train[0])


def _load_pair(directory: pathlib.Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    path = find_idx(directory, f"{name}-images-idx3-ubyte")
    images = load_idx(path)
    labels = load_idx(find_idx(directory, f"{name}-labels-idx1-ubyte"))
    if images.ndim != 3 or len(images) == 0:
        raise expected(f"{path}", "to hold images of shape (N, H, W)", f"shape {images.shape}")
    expect_shape(f"the labels of {path}", labels.shape, images.shape[:1])
    return images, labels
