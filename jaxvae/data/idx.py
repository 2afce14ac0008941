"""The IDX format of the MNIST family of data sets, gzip-compressed or raw."""

import gzip
import math
import os
import pathlib
import struct
import zlib

import numpy as np

from jaxvae._checks import expected

_UINT8 = 0x08


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
