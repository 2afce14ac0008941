"""Data sets by name, from files or from arrays, binarised and in their splits."""

import os
import pathlib
from typing import Any, NamedTuple

import numpy as np

from jaxvae._checks import InputError, expect_choice, expect_in_range, expected
from jaxvae.data.binarize import BINARIZATIONS, freeze, freeze_blocks
from jaxvae.data.cache import cached, fingerprint, read_entry, write_npy
from jaxvae.data.catalog import CATALOG, find_files, unknown
from jaxvae.data.files import read_files
from jaxvae.data.mnist import load_mnist
from jaxvae.data.on_disk import OnDisk, in_blocks
from jaxvae.data.placement import Placement, choose_placement
from jaxvae.data.stored import Stored, arrange, join_splits
from jaxvae.data.tfds import prepare_tfds

_TFDS = "tfds:"
# The share of the training images that is held out where the data set has no validation images, and the most.
_SHARE_HELD_OUT, _MOST_HELD_OUT = 6, 10_000


class Split(NamedTuple):
    """Images `(N, C, H, W)` uint8, in memory or `OnDisk`, and labels `(N,)` int32, or None."""

    images: Any
    labels: np.ndarray | None


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

    @classmethod
    def from_arrays(cls, train: Any, validation: Any, test: Any, *, binarization: str = "none") -> "Dataset":
        """A data set from arrays that are there already.

        Args:
            train: images `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`: whole numbers from 0 to 255, or
                floats in [0, 1]; or a pair of images and labels `(N,)`.
            validation: likewise, or None.
            test: likewise.
            binarization: `static`, `dynamic`, `threshold` or `none`.

        Raises:
            ValueError: if the splits do not fit together, or a value is out of range.
        """
        splits = {"train": train, "validation": validation, "test": test}
        pairs = {
            name: part if isinstance(part, tuple) else (part, None)
            for name, part in splits.items()
            if part is not None
        }
        stored = join_splits("the arrays", pairs)
        return make_dataset(stored, binarization, num_validation=stored.num_validation or 0)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(C, H, W)`."""
        return self.train.images.shape[1:]

    @property
    def label_counts(self) -> tuple[int, ...]:
        """How many training images each class has, `(Y,)`; the classes are 0 to the largest label.

        Raises:
            ValueError: if the data set has no labels.
        """
        return tuple(np.bincount(expect_labels(self.train.labels)).tolist())

    def split(self, name: str) -> Split:
        """The split called `train`, `validation` or `test`.

        Raises:
            ValueError: if there is no such split.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        expect_choice("split", name, [key for key, value in splits.items() if value is not None])
        return splits[name]


def expect_labels(labels: np.ndarray | None) -> np.ndarray:
    """The labels; raises `ValueError` where there are none."""
    if labels is None:
        raise expected("a data set with labels", "for a conditional model", "one without")
    return labels


def load_dataset(
    source: str | os.PathLike = "mnist",
    *,
    data_dir: str | os.PathLike | None = None,
    binarization: str = "static",
    num_validation: int | None = None,
    placement: Placement = "auto",
) -> Dataset:
    """Reads a data set.

    Args:
        source: a name of the catalog (`mnist` is bundled), `tfds:NAME` of TensorFlow Datasets, or the path of
            a file or a directory whose format `data.files` recognises.
        data_dir: where the files of a name are; for `mnist`, of any data set to take in its place. For TFDS,
            where it keeps its downloads.
        binarization: `static`, `dynamic`, `threshold` or `none`.
        num_validation: how many images, the last of those that are not test images, are held out; 0 for none.
            Where none is given the data set's own, or a sixth, 10,000 at most.
        placement: `stream` leaves the training images on disk, `resident` and `host` read them; `auto` does
            what their size and the machine's memory suggest.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: on an unknown source, a damaged file, or more validation images than there are.
        FileNotFoundError: if a file is missing.
    """
    expect_choice("binarization", binarization, BINARIZATIONS)
    stored = read_stored(source, data_dir, placement)
    dataset = make_dataset(stored, binarization, num_validation)
    images = dataset.train.images
    if isinstance(images, np.ndarray) and choose_placement(images.nbytes, placement) == "stream":
        name = f"frozen/{fingerprint(images)}"
        images = _on_disk(name, f"the training images of {source}", images.shape, in_blocks(images))
    return dataset._replace(train=Split(images, dataset.train.labels))


def read_stored(
    source: str | os.PathLike, data_dir: str | os.PathLike | None = None, placement: Placement = "auto"
) -> Stored:
    """Reads a data set as it is stored; the arguments are those of `load_dataset`."""
    name, directory = str(source), None if data_dir is None else pathlib.Path(data_dir)
    if name == "mnist" and directory is None:
        images, labels = load_mnist()
        return Stored(images[:, None], labels.astype(np.int32), None, 10_000)
    if name.startswith(_TFDS):
        entry = prepare_tfds(name.removeprefix(_TFDS), directory)
        return read_entry(entry, name, on_disk=_stays(entry / "images.npy", placement))
    path = find_files(name, directory) if name in CATALOG else pathlib.Path(source)
    if not path.exists() and os.sep not in name:
        raise unknown(name)
    if path.suffix == ".npy" and _stays(path, placement):
        images = OnDisk(path)
        return arrange(f"{path}", images, None, {"train": len(images)})
    return read_files(path)


def _stays(path: pathlib.Path, placement: Placement) -> bool:
    return choose_placement(path.stat().st_size, placement) == "stream"


def make_dataset(stored: Stored, binarization: str, num_validation: int | None = None) -> Dataset:
    """Binarises a stored data set and splits it.

    Raises:
        ValueError: if the binarisation is unknown, or there are not enough images to hold out.
    """
    expect_choice("binarization", binarization, BINARIZATIONS)
    images, labels, own, num_test = stored
    num_train = len(images) - num_test
    if num_validation is None:
        num_validation = min(num_train // _SHARE_HELD_OUT, _MOST_HELD_OUT) if own is None else own
    expect_in_range("num_validation", num_validation, 0, num_train)
    # Grey images may be wanted for training while validation and test are frozen draws.
    frozen = _freeze(images, binarization)
    kept = images if binarization == "dynamic" else frozen
    first = num_train - num_validation

    def split(pixels: Any, start: int, stop: int | None) -> Split:
        return Split(pixels[start:stop], None if labels is None else labels[start:stop])

    return Dataset(
        train=split(kept, 0, first),
        validation=split(frozen, first, num_train) if num_validation else None,
        test=split(frozen, num_train, None),
    )


def _freeze(images: Any, binarization: str) -> Any:
    if binarization == "none":
        return images
    if isinstance(images, np.ndarray):
        return freeze(images, binarization)
    stat = images.path.stat()
    made_from = (str(images.path.absolute()), stat.st_size, stat.st_mtime_ns, len(images))
    name = f"frozen/{fingerprint(binarization, *made_from)}"
    blocks = freeze_blocks(in_blocks(images), binarization)
    return _on_disk(name, f"the {binarization} images of {images.path}", images.shape, blocks)


def _on_disk(name: str, what: str, shape: tuple[int, ...], blocks: Any) -> OnDisk:
    """The images as a file of the cache."""

    def make(directory: pathlib.Path) -> None:
        write_npy(directory / "images.npy", shape, np.uint8, blocks, what)

    entry = cached(name, what, make)
    try:
        return OnDisk(entry / "images.npy")
    except (InputError, FileNotFoundError) as error:
        hint = f"(delete {entry} to make it anew)"
        raise expected(f"the cache of {what}", f"to be whole {hint}", "a damaged images.npy") from error
