"""Image data sets of TensorFlow Datasets, as plain arrays."""

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxvae._checks import InputError, expected
from jaxvae.data.cache import cache_directory, cached, write_entry
from jaxvae.data.stored import as_images

_BATCH = 1_000


def prepare_tfds(name: str, data_dir: pathlib.Path | None = None) -> pathlib.Path:
    """The entry of the cache that holds the data set's arrays, made by its builder if it is not there yet.

    The images come in the order in which the builder makes them, not shuffled as TFDS stores them.

    Args:
        name: as TFDS has it, such as `fashion_mnist` or `emnist/letters`.
        data_dir: where TFDS keeps its `downloads/`; its own place where none is given.

    Raises:
        ValueError: if TFDS is not installed or does not have it, a download fails or is damaged, or it does
            not consist of images of one size.
        OSError: if there is no space.
    """
    if not re.fullmatch(r"\w[\w./:-]*", name):
        raise expected("a data set of TensorFlow Datasets", "to be named tfds:NAME", f"'tfds:{name}'")
    entry = "tfds/" + re.sub(r"[/:]", "-", name)
    if not (cache_directory() / entry).is_dir():
        _import()  # where it is missing, that is all there is to say
    return cached(entry, f"tfds:{name}", lambda directory: _prepare(name, data_dir, directory))


def _prepare(name: str, data_dir: pathlib.Path | None, directory: pathlib.Path) -> None:
    tfds = _import()
    scratch = directory / "tfds"
    with _one_line(f"tfds:{name}"):
        builder = _build(tfds, name, data_dir, scratch)
        _write_arrays(tfds, builder, f"tfds:{name}", directory)
    shutil.rmtree(scratch, ignore_errors=True)


def _import() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow
        import tensorflow_datasets as tfds
    except ImportError as error:
        what = "TensorFlow Datasets to be installed"
        raise InputError(f"Expected {what} (pip install 'jaxvae[tfds]'); got no {error.name}.") from error
    # The device is JAX's.
    tensorflow.config.set_visible_devices([], "GPU")
    tfds.disable_progress_bar()
    return tfds


@contextlib.contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Says in one line what a builder raises: it may be anything, as it runs the code of a data set."""
    try:
        yield
    except Exception as error:
        # An error of the system, such as a full disk, is not one of the data set.
        if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise expected(what, "to be prepared by TensorFlow Datasets", reason) from error


def _build(tfds: Any, name: str, data_dir: pathlib.Path | None, scratch: pathlib.Path) -> Any:
    """The builder, once it has made its records in `scratch`."""
    builder = tfds.builder(name, data_dir=str(scratch))
    # The order of the records: by their keys, where these are numbers, and not by their hashes.
    builder.info.as_proto.disable_shuffling = True
    home = data_dir or pathlib.Path(tfds.core.constants.DATA_DIR).expanduser()
    builder.download_and_prepare(download_dir=str(home / "downloads"))
    return builder


def _write_arrays(tfds: Any, builder: Any, what: str, directory: pathlib.Path) -> None:
    features, names = builder.info.features, list(builder.info.splits)
    if "image" not in features or "train" not in names:
        raise expected(what, "to have an image and a train split", f"{sorted(features)} and {sorted(names)}")
    names = [name for name in ("train", "validation", "test") if name in names]
    keys = [key for key in ("image", "label") if key in features]
    wanted = tfds.decode.PartialDecoding({key: True for key in keys})

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for name in names:
            split = builder.as_dataset(split=name, decoders=wanted, shuffle_files=False)
            for batch in tfds.as_numpy(split.batch(_BATCH)):
                yield as_images(f"the images of {what}", batch["image"]), batch.get("label")

    counts = {name: builder.info.splits[name].num_examples for name in names}
    write_entry(directory, what, counts, blocks())
