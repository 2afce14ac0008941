"""The IDX format of the MNIST family of data sets, gzip-compressed or raw."""

import gzip
import math
import os
import pathlib
import struct
import zlib

import numpy as np

from jaxvae._checks import expected
from jaxvae.data.stored import Stored, as_labels, hold_out, join_splits

_UINT8 = 0x08
_IMAGES, _LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
_SPLITS = {"train": "train", "test": "t10k"}


def load_idx(path: str | os.PathLike) -> np.ndarray:
    """Reads one IDX file of bytes; gzip is recognised by its content, not by its name.

    The format: two zero bytes, the type (8 for uint8), the number of axes, their lengths as big-endian
    32-bit integers, the values in C order (http://yann.lecun.com/exdb/mnist).

    Args:
        path: the file.

    Returns:
        A uint8 array of the shape that the file states.

    Raises:
        ValueError: if the file is empty, truncated, too long or not IDX of bytes.
        FileNotFoundError: if there is none.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected an IDX file at {path}; got no file.")
    content = _decompress(path)
    if len(content) < 4:
        raise expected(f"{path}", "to start with an IDX header", f"{len(content)} bytes")
    zeros, kind, rank = struct.unpack(">HBB", content[:4])
    if zeros != 0 or kind != _UINT8 or rank == 0:
        raise expected(f"{path}", "to start with the IDX magic 0x000008 and a rank", f"0x{content[:4].hex()}")
    start = 4 + 4 * rank
    if len(content) < start:
        raise expected(f"{path}", f"to hold {rank} axis lengths", f"{len(content)} bytes")
    shape = struct.unpack(f">{rank}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise expected(f"{path}", f"to hold {math.prod(shape)} values", f"{len(content) - start}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _decompress(path: pathlib.Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise expected(f"{path}", "to be a whole gzip file", str(error)) from error


def find_idx(directory: str | os.PathLike, name: str) -> pathlib.Path:
    """The file `name` in `directory`, raw or with `.gz`.

    Raises:
        FileNotFoundError: if there is neither.
    """
    candidates = [pathlib.Path(directory) / name, pathlib.Path(directory) / f"{name}.gz"]
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(f"Expected an IDX file {name} or {name}.gz in {directory}; got neither.")


def has_idx(directory: pathlib.Path) -> bool:
    """Whether one of the four files of `read_idx_directory` is there."""
    names = [name.format(split) for name in (_IMAGES, _LABELS) for split in _SPLITS.values()]
    return any((directory / f"{name}{suffix}").is_file() for name in names for suffix in ("", ".gz"))


def read_idx_directory(directory: pathlib.Path) -> Stored:
    """The four files of the MNIST family, `train-images-idx3-ubyte` and so on, raw or with `.gz`.

    Args:
        directory: where they are.

    Raises:
        ValueError: if a file is damaged, or the four do not fit.
        FileNotFoundError: if one is missing.
    """
    return join_splits(
        f"{directory}", {split: _load_pair(directory, name) for split, name in _SPLITS.items()}
    )


def _load_pair(directory: pathlib.Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    path = find_idx(directory, _IMAGES.format(name))
    images = _load_images(path)
    return images, as_labels(f"{path}", load_idx(find_idx(directory, _LABELS.format(name))), len(images))


def read_idx_file(path: pathlib.Path) -> Stored:
    """One IDX file of images, of which a part is held out for the test.

    Args:
        path: the file; the array is `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`.

    Raises:
        ValueError: if it is damaged, or holds no images.
        FileNotFoundError: if there is none.
    """
    return hold_out(f"{path}", _load_images(path), None)


def _load_images(path: pathlib.Path) -> np.ndarray:
    images = load_idx(path)
    if images.ndim not in (3, 4) or len(images) == 0:
        raise expected(f"{path}", "to hold images of shape (N, H, W)", f"shape {images.shape}")
    return images
