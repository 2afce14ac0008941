"""Images that stay on disk, of which rows are read as they are asked for."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxvae._checks import expected
from jaxvae.data.stored import as_images


class OnDisk:
    """The images of a `.npy` file, uint8, as an array `(N, C, H, W)` of which no row is in memory.

    A slice is another such view; indices `(B,)` read those rows; `numpy.asarray` reads all. Rows are read,
    not mapped: of a mapped file, up to 2 MB around each row count as the process's memory. Every read opens
    the file anew, so that threads share nothing.

    Args:
        path: a `.npy` file of uint8, of a shape that `stored.as_images` takes.
        rows: which of its images, in which order, `(N,)`; all where none are given.

    Raises:
        ValueError: if it is not such a file.
    """

    def __init__(self, path: str | os.PathLike, rows: np.ndarray | None = None):
        self.path = pathlib.Path(path)
        values: Any = self._map()
        if values.dtype != np.uint8:
            raise expected(f"{path}, which is read from disk,", "to hold uint8", f"{values.dtype}")
        if not values.flags.c_contiguous:
            raise expected(f"{path}, which is read from disk,", "to hold row after row", "columns")
        self._image_shape = as_images(f"{path}", values).shape[1:]
        self._stored_shape, self._offset = values.shape[1:], values.offset
        self._rows = np.arange(len(values)) if rows is None else rows

    def _map(self) -> np.ndarray:
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise expected(f"{self.path}", "to be a whole NPY file", f"{error}".splitlines()[0]) from error

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, C, H, W)`."""
        return (len(self._rows), *self._image_shape)

    @property
    def dtype(self) -> np.dtype:
        """uint8."""
        return np.dtype(np.uint8)

    @property
    def nbytes(self) -> int:
        """That all of them would take in memory."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return OnDisk(self.path, self._rows[index])
        rows = self._rows[np.asarray(index)]
        values = np.empty((rows.size, *self._stored_shape), np.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for row, value in zip(rows.ravel().tolist(), values, strict=True):
                file.seek(self._offset + row * value.nbytes)
                if file.readinto(value.data) != value.nbytes:
                    raise expected(f"{self.path}", "to be a whole NPY file", f"no more bytes at row {row}")
        return as_images(f"{self.path}", values).reshape(*rows.shape, *self._image_shape)

    def take(self, indices: np.ndarray, axis: int = 0) -> "OnDisk":
        """A view of some rows, in any order."""
        assert axis == 0
        return OnDisk(self.path, self._rows[indices])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[np.arange(len(self))], dtype)


def in_blocks(images: Any, num_bytes: float = 8e6) -> Iterator[np.ndarray]:
    """The images as arrays of up to about so many bytes, one after the other."""
    size = max(1, int(num_bytes / np.prod(images.shape[1:])))
    return (np.asarray(images[start : start + size]) for start in range(0, len(images), size))
