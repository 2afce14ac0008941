"""Which reader a file or directory is for: its content says it, never its name."""

import os
import pathlib
from collections.abc import Callable

from jaxvae._checks import expected
from jaxvae.data.files.amat import TRAIN, read_amat_directory, read_amat_file
from jaxvae.data.files.arrays import read_npy, read_npz
from jaxvae.data.files.folders import holds_images, read_folder
from jaxvae.data.files.idx import has_idx, read_idx_directory, read_idx_file
from jaxvae.data.files.matlab import VERSION_7_3, read_mat
from jaxvae.data.files.pickled import read_pickle
from jaxvae.data.stored import Stored

_READERS: dict[bytes, Callable[[pathlib.Path], Stored]] = {
    b"\x93NUMPY": read_npy,
    b"PK\x03\x04": read_npz,
    b"PK\x05\x06": read_npz,  # a ZIP file without members
    b"MATLAB 5.0": read_mat,
    **dict.fromkeys(VERSION_7_3, read_mat),
    b"\x1f\x8b": read_idx_file,
    b"\0\0\x08": read_idx_file,
    b"\x80": read_pickle,
}
_IMAGES = {b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image"}
_FILES = "to be an NPY, NPZ, MATLAB, IDX or pickle file, or a text of numbers"
_DIRECTORIES = (
    "to hold the four IDX files under MNIST's names (train-images-idx3-ubyte ...), *_train.amat and "
    "*_test.amat, or PNG or JPEG images (train/<class>/*.png and test/<class>/*.png, <class>/*.png or *.png)"
)


def read_files(path: str | os.PathLike) -> Stored:
    """Reads a data set from a file or directory, whose format is recognised by what is in it.

    A directory holds the IDX files of the MNIST family, text files `*_train.amat`, or folders of images. A
    file is NPY, NPZ, MATLAB's, IDX, a pickle of the Frey Faces or a text of numbers.

    Args:
        path: the file or directory.

    Returns:
        Its images, labels and split.

    Raises:
        ValueError: if the format is not recognised, or what is in it is damaged or does not fit.
        FileNotFoundError: if there is nothing at `path`, or a file is missing.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return _directory_reader(path)(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a file or directory at {path}; got nothing.")
    return _file_reader(path)(path)


def _directory_reader(directory: pathlib.Path) -> Callable[[pathlib.Path], Stored]:
    if has_idx(directory):
        return read_idx_directory
    if any(directory.glob(f"*{TRAIN}")):
        return read_amat_directory
    if holds_images(directory):
        return read_folder
    names = sorted(path.name for path in directory.iterdir())
    raise expected(
        f"{directory}", _DIRECTORIES, ", ".join(names[:3] + ["..."] * (len(names) > 3)) or "nothing"
    )


def _file_reader(path: pathlib.Path) -> Callable[[pathlib.Path], Stored]:
    head, last = _ends(path)
    for start, reader in _READERS.items():
        if head.startswith(start):
            return reader
    for start, name in _IMAGES.items():
        if head.startswith(start):
            raise expected(f"{path}", "to be a data set, such as a folder of images", name)
    # Pickles of Python 2 are text: a tuple or list, or the name of a function, and a full stop at the end.
    if head.startswith((b"(", b"c", b"]")) and last == b".":
        return read_pickle
    if _starts_with_number(head):
        return read_amat_file
    raise expected(f"{path}", _FILES, f"a file that starts with {head[:8]!r}" if head else "an empty file")


def _ends(path: pathlib.Path) -> tuple[bytes, bytes]:
    with path.open("rb") as file:
        head = file.read(64)
        file.seek(-min(1, len(head)), os.SEEK_END)
        return head, file.read(1)


def _starts_with_number(head: bytes) -> bool:
    try:
        float(head.split()[0])
    except (IndexError, ValueError):
        return False
    return True
