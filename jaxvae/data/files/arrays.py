"""NumPy's files: NPY of one array, NPZ of several."""

import pathlib
from collections.abc import Iterable

import numpy as np

from jaxvae._checks import expected
from jaxvae.data.files.damaged import whole
from jaxvae.data.stored import Stored, hold_out, join_splits

_SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_PATTERNS = {
    "{}": "images",
    "{}_images": "images",
    "x_{}": "images",
    "{}_labels": "labels",
    "y_{}": "labels",
}
# Which split, and which half of it, an array of this name is.
_ROLES = {
    **{
        pattern.format(name): (_SPLITS[name], half) for name in _SPLITS for pattern, half in _PATTERNS.items()
    },
    "images": ("all", "images"),
    "labels": ("all", "labels"),
}
_WANTED = (
    "to hold the images train and test, maybe validation (or train_images ..., x_train ...), and maybe their "
    "labels train_labels ... (or y_train ...); or images, and maybe labels"
)


def read_npy(path: pathlib.Path) -> Stored:
    """One array of images in NumPy's NPY format; a part is held out for the test.

    The format: numpy.lib.format. Pickled objects are not read.

    Args:
        path: the file; the array is `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`.

    Raises:
        ValueError: if the file is damaged, or holds objects or no images.
        FileNotFoundError: if there is none.
    """
    with whole(path, "NPY file"):
        images = np.atleast_1d(np.load(path, allow_pickle=False))
    return hold_out(f"{path}", images, None)


def read_npz(path: pathlib.Path) -> Stored:
    """Arrays in NumPy's NPZ format, told apart by their names.

    The images of a split are `<split>`, `<split>_images` or `x_<split>`, the labels `<split>_labels` or
    `y_<split>`, with train, test and validation (valid, val) as splits. Without splits there are `images` and
    maybe `labels`, of which a part is held out for the test.

    Args:
        path: the file; images as in `read_npy`, labels `(N,)`, `(N, 1)` or one-hot `(N, Y)`.

    Raises:
        ValueError: if the file is damaged, has arrays of other names, or they do not fit.
        FileNotFoundError: if there is none.
    """
    # Given the path, `np.load` leaves a damaged file open.
    with whole(path, "NPZ file"), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        halves = {role: np.atleast_1d(arrays[name]) for role, name in _assign(path, arrays.files).items()}
    splits = {split: (halves[split, "images"], halves.get((split, "labels"))) for split, _ in halves}
    if "all" in splits:
        return hold_out(f"{path}", *splits["all"])
    return join_splits(f"{path}", splits)


def _assign(path: pathlib.Path, names: Iterable[str]) -> dict[tuple[str, str], str]:
    roles = {_ROLES.get(name): name for name in names}
    splits = {role[0] for role in roles if role}
    complete = all((split, "images") in roles for split in splits)
    # With splits there is no room for images beside them, nor for two names of one role.
    alone = "all" not in splits or len(splits) == 1
    if not roles or None in roles or not complete or not alone or len(roles) < len(list(names)):
        raise expected(f"{path}", _WANTED, ", ".join(sorted(names)) or "no arrays")
    return {role: name for role, name in roles.items() if role}
