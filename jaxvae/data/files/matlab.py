"""MATLAB's files of three data sets that are published as such."""

import math
import pathlib
import warnings
from collections.abc import Mapping

import numpy as np

from jaxvae._checks import expected
from jaxvae.data.files.damaged import whole
from jaxvae.data.files.frey import frey_split
from jaxvae.data.stored import Stored, as_labels, join_splits

VERSION_7_3 = (b"MATLAB 7.3", b"\x89HDF\r\n\x1a\n")
_OMNIGLOT_TRAIN, _OMNIGLOT_VALIDATION = 24_345, 1_345


def read_mat(path: pathlib.Path) -> Stored:
    """OMNIGLOT, Caltech-101 silhouettes or Frey Faces, told apart by the names of their variables.

    OMNIGLOT, 28 x 28, in the split of Burda et al. 2016 (arXiv:1509.00519): `data` and `testdata` `(H*W, N)`,
    each column an image in column-major order, and maybe the alphabets, one-hot, `target` and `testtarget`
    `(Y, N)`. Of its 24,345 training images the last 1,345 are for validation, as many as in Tomczak & Welling
    2018 (arXiv:1705.07120).

    Caltech-101 silhouettes (Marlin et al. 2010): `train_data`, `val_data` and `test_data` `(N, H*W)`, each
    row an image in column-major order, and maybe `train_labels` ... `(N, 1)` from 1 on. In the file the
    figure is 0; published log-likelihoods have it at 1, and so it is here.

    Frey Faces: `ff` `(560, 1965)`; see `frey_split`.

    Args:
        path: a file of MATLAB up to version 7.

    Raises:
        ValueError: if the file is damaged, of MATLAB 7.3, or of none of the three.
        FileNotFoundError: if there is none.
    """
    variables = _load(path)
    if {"data", "testdata"} <= variables.keys():
        return _omniglot(f"{path}", variables)
    if {"train_data", "val_data", "test_data"} <= variables.keys():
        return _silhouettes(f"{path}", variables)
    if "ff" in variables:
        return frey_split(f"{path}", variables["ff"].T)
    raise expected(
        f"{path}",
        "to hold data and testdata (OMNIGLOT), train_data, val_data and test_data (Caltech-101 silhouettes) "
        "or ff (Frey Faces)",
        ", ".join(sorted(variables)) or "no variables",
    )


def _load(path: pathlib.Path) -> dict[str, np.ndarray]:
    with whole(path, "MATLAB file"), path.open("rb") as file:
        if file.read(16).startswith(VERSION_7_3):
            raise expected(f"{path}", "to be of MATLAB up to version 7 (save it with -v7)", "HDF5")
    from scipy.io import loadmat

    with whole(path, "MATLAB file"), warnings.catch_warnings():
        # Otherwise text takes the place of a variable that cannot be read.
        warnings.filterwarnings("error", "(Unreadable|Duplicate) variable")
        variables = loadmat(path, appendmat=False)
    return {name: np.asarray(value) for name, value in variables.items() if not name.startswith("__")}


def _omniglot(path: str, variables: Mapping[str, np.ndarray]) -> Stored:
    def split(prefix: str) -> tuple[np.ndarray, np.ndarray | None]:
        images, labels = variables[f"{prefix}data"], variables.get(f"{prefix}target")
        squares = _column_major(f"{prefix}data of {path}", images.T)
        return squares, None if labels is None else labels.T

    stored = join_splits(path, {"train": split(""), "test": split("test")})
    published = len(stored.images) - stored.num_test == _OMNIGLOT_TRAIN
    return stored._replace(num_validation=_OMNIGLOT_VALIDATION if published else None)


def _silhouettes(path: str, variables: Mapping[str, np.ndarray]) -> Stored:
    def split(name: str) -> tuple[np.ndarray, np.ndarray | None]:
        what = f"{name}_data of {path}"
        images, labels = variables[f"{name}_data"], variables.get(f"{name}_labels")
        squares = _column_major(what, images)
        if not np.all((squares == 0) | (squares == 1)):
            raise expected(what, "to be 0 (the figure) and 1", f"up to {squares.max():g}")
        # The figure becomes 1. Classes count from 0.
        return squares == 0, None if labels is None else as_labels(what, labels.ravel(), len(images)) - 1

    return join_splits(path, {"train": split("train"), "validation": split("val"), "test": split("test")})


def _column_major(what: str, rows: np.ndarray) -> np.ndarray:
    """Rows `(N, H*W)`, H = W, of images that are stored column by column, as `(N, H, W)`."""
    side = math.isqrt(rows.shape[1]) if rows.ndim == 2 else 0
    if side == 0 or side * side != rows.shape[1]:
        raise expected(
            what, "to hold square images", f"shape {rows.T.shape if rows.ndim == 2 else rows.shape}"
        )
    if rows.dtype.kind not in "buif":
        raise expected(what, "to hold numbers", f"type {rows.dtype}")
    return rows.reshape(-1, side, side).swapaxes(1, 2)
