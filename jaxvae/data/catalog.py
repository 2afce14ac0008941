"""The data sets that have a name: where they come from, and by which protocol results on them compare."""

import difflib
import pathlib
from typing import NamedTuple

from jaxvae._checks import expected


class Entry(NamedTuple):
    """What is known of a data set.

    Args:
        files: names of files, any of which is the data set; none where its directory is.
        image_shape: `(C, H, W)`.
        splits: images for training, validation (0 for none of its own) and test.
        pixels: `binary` or `256 levels`.
        protocol: of the splits and the pixels, in a line.
        licence: of the data.
        url: where it is to be had.
        places: directories in which it may be installed.
    """

    files: tuple[str, ...]
    image_shape: tuple[int, int, int]
    splits: tuple[int, int, int]
    pixels: str
    protocol: str
    licence: str
    url: str
    places: tuple[str, ...] = ()


CATALOG = {
    "mnist": Entry(
        (), (1, 28, 28), (60_000, 0, 10_000), "256 levels",
        "bundled; the last 10,000 training images validate",
        "CC BY-SA 3.0", "http://yann.lecun.com/exdb/mnist",
    ),
    "fashion-mnist": Entry(
        (), (1, 28, 28), (60_000, 0, 10_000), "256 levels",
        "the files of MNIST under the same names; the last 10,000 training images validate",
        "MIT", "https://github.com/zalandoresearch/fashion-mnist",
        ("/usr/share/datasets/fashion-mnist",),
    ),
    "binarized-mnist": Entry(
        (), (1, 28, 28), (50_000, 10_000, 10_000), "binary",
        "the static draw of Larochelle & Murray 2011, in three .amat files; also tfds:binarized_mnist",
        "none stated", "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist",
    ),
    "omniglot": Entry(
        ("chardata.mat",), (1, 28, 28), (23_000, 1_345, 8_070), "256 levels",
        "the split of Burda et al. 2016; dynamic binarisation",
        "MIT", "https://github.com/yburda/iwae",
    ),
    "caltech101-silhouettes": Entry(
        ("caltech101_silhouettes_28_split1.mat",), (1, 28, 28), (4_100, 2_264, 2_307), "binary",
        "the file's own splits, inverted: the figure is 1",
        "none stated", "https://people.cs.umass.edu/~marlin/data.shtml",
    ),
    "frey-faces": Entry(
        ("freyfaces.pkl", "frey_rawface.mat"), (1, 28, 20), (1_565, 200, 200), "256 levels",
        "the split of van den Berg et al. 2018, of its first seed; 256 levels",
        "none stated", "https://cs.nyu.edu/~roweis/data.html",
    ),
}  # fmt: skip


def find_files(name: str, data_dir: pathlib.Path | None) -> pathlib.Path:
    """The file or directory of a data set of the catalog.

    Args:
        name: in the catalog.
        data_dir: where it is; the places where it may be installed where none is given.

    Raises:
        FileNotFoundError: if it is in none of them; the message says where to get it.
    """
    entry = CATALOG[name]
    places = [data_dir] if data_dir is not None else [pathlib.Path(place) for place in entry.places]
    for place in places:
        for path in [place / file for file in entry.files] or [place]:
            if path.exists():
                return path
    files = " or ".join(entry.files) or "the files"
    got = f"nothing in {', '.join(map(str, places))}" if places else "no directory"
    raise FileNotFoundError(f"Expected --data-dir to hold {files} of {name} ({entry.url}); got {got}.")


def is_there(name: str) -> bool:
    """Whether the data set can be loaded without a directory being named."""
    return name == "mnist" or any(pathlib.Path(place).exists() for place in CATALOG[name].places)


def unknown(source: str) -> Exception:
    """The error about a source that is no name in the catalog, no path and not from TFDS."""
    near = difflib.get_close_matches(source, CATALOG, n=3)
    hint = f" (near: {', '.join(near)})" if near else ""
    rule = f"to be one of {', '.join(sorted(CATALOG))}, tfds:NAME or a path"
    return expected("the data set", rule, f"{source!r}{hint}")
