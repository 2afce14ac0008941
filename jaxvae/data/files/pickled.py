"""Pickled arrays, read without running anything that the file asks for."""

import math
import pathlib
import pickle
from typing import Any

import numpy as np

from jaxvae._checks import expected
from jaxvae.data.files.damaged import whole
from jaxvae.data.files.frey import frey_split
from jaxvae.data.stored import Stored


def read_pickle(path: pathlib.Path) -> Stored:
    """The pickled Frey Faces: an array `(1965, 560)`, or a list or tuple whose first item is one.

    Pickles of Python 2 are read as well. A pickle is a program: this one can name nothing but NumPy's arrays,
    and even these names stand for classes of this module that only keep what they are given.

    Args:
        path: the file.

    Raises:
        ValueError: if the file is damaged, names anything but arrays, or does not hold the Frey Faces.
        FileNotFoundError: if there is none.
    """
    with whole(path, "pickle"), path.open("rb") as file:
        content = _ArrayUnpickler(file, path).load()
    if isinstance(content, list | tuple) and content:
        content = content[0]
    if not isinstance(content, _Array):
        raise expected(f"{path}", "to hold an array, or a list that starts with one", type(content).__name__)
    with whole(path, "pickle"):
        return frey_split(f"{path}", content.values(path))


class _Type:
    """Keeps what `numpy.dtype` is called with."""

    def __init__(self, code: Any, *flags: Any):
        self.code: Any = code
        self.order: Any = "|"

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def dtype(self, path: pathlib.Path) -> np.dtype:
        if not isinstance(self.code, str) or self.code[:1] not in tuple("buif"):
            raise expected(f"{path}", "to hold an array of numbers", f"type {self.code!r}")
        return np.dtype(self.code).newbyteorder(self.order)


class _Array:
    """Keeps what an array of NumPy is made of."""

    def __init__(self, *reconstruction: Any):
        self.parts: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, column_major, content = state
        self.parts = content, kind, shape, "F" if column_major else "C"

    def values(self, path: pathlib.Path) -> np.ndarray:
        content, kind, shape, order = self.parts
        dtype = kind.dtype(path)
        # A string of Python 2 comes as text, one letter for each byte.
        content = content.encode("latin-1") if isinstance(content, str) else content
        if len(content) != math.prod(shape) * dtype.itemsize:
            raise expected(
                f"{path}", f"to hold {math.prod(shape)} values of {dtype}", f"{len(content)} bytes"
            )
        return np.frombuffer(content, dtype).reshape(shape, order=order)


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any, axes: None = None) -> _Array:
    """Protocol 5; `axes`, of an array that is neither row- nor column-major, is not read."""
    array = _Array()
    array.parts = content, kind, shape, order if axes is None else None
    return array


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in protocols 0 to 2."""
    return text.encode("latin-1")


_NAMES = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _Type,
    "_codecs.encode": _encode,
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}


class _ArrayUnpickler(pickle.Unpickler):
    def __init__(self, file: Any, path: pathlib.Path):
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _NAMES:
            raise expected(f"{self._path}", "to hold arrays alone", f"the name {f'{module}.{name}'!r}")
        return _NAMES[f"{module}.{name}"]
