"""Text files of numbers, one image a row, as Larochelle publishes MNIST's variants and binarised MNIST."""

import math
import pathlib
import warnings

import numpy as np

from jaxvae._checks import expected
from jaxvae.data.files.damaged import whole
from jaxvae.data.stored import Stored, hold_out, join_splits

TRAIN = "_train.amat"


def read_amat_directory(directory: pathlib.Path) -> Stored:
    """The files `<name>_train.amat`, `<name>_test.amat` and maybe `<name>_valid.amat`.

    The format, of Larochelle & Murray 2011 (binarised MNIST) and Larochelle et al. 2007 (with classes): each
    row has the H*W pixels of a square image in row-major order, and maybe the class as its last number.

    Args:
        directory: where they are.

    Raises:
        ValueError: if a file is damaged, there are several training files, or the files do not fit.
        FileNotFoundError: if there are no training or no test images.
    """
    trains = sorted(directory.glob(f"*{TRAIN}"))
    if len(trains) > 1:
        raise expected(f"{directory}", f"to hold one file *{TRAIN}", ", ".join(path.name for path in trains))
    name = trains[0].name.removesuffix(TRAIN) if trains else "*"
    paths = {
        "train": directory / f"{name}{TRAIN}",
        "validation": directory / f"{name}_valid.amat",
        "test": directory / f"{name}_test.amat",
    }
    if not paths["validation"].is_file():
        del paths["validation"]
    return join_splits(f"{directory}", {split: _load(path) for split, path in paths.items()})


def read_amat_file(path: pathlib.Path) -> Stored:
    """One such file; a part is held out for the test.

    Args:
        path: the file.

    Raises:
        ValueError: if it is damaged, or has no images.
        FileNotFoundError: if there is none.
    """
    return hold_out(f"{path}", *_load(path))


def _load(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Images `(N, H, W)` and labels `(N,)`."""
    rows = _load_rows(path)
    columns = rows.shape[1]
    side, side_before_class = math.isqrt(columns), math.isqrt(columns - 1)
    if side**2 == columns:
        return rows.reshape(-1, side, side), None
    if side_before_class**2 == columns - 1:
        return rows[:, :-1].reshape(-1, side_before_class, side_before_class), rows[:, -1]
    raise expected(f"{path}", "to have H*W numbers a row, H = W, and maybe the class", f"{columns}")


def _load_rows(path: pathlib.Path) -> np.ndarray:
    with whole(path, "table of numbers"), warnings.catch_warnings():
        warnings.filterwarnings("error", ".*no data")
        try:
            return _parse(path, np.uint8)  # several times as fast
        except ValueError:
            return _parse(path, np.float32)


def _parse(path: pathlib.Path, dtype: type) -> np.ndarray:
    with path.open(encoding="utf-8") as file:
        return np.loadtxt(file, dtype, comments=None, ndmin=2)
