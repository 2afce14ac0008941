"""Folders of PNG and JPEG images, one for each class."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxvae._checks import expected
from jaxvae.data.files.damaged import whole
from jaxvae.data.stored import Stored, drawn_order, hold_out, join_splits

_SUFFIXES = (".png", ".jpg", ".jpeg")
_SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
_GREY = ("1", "L", "LA", "La")
_DEEP = ("I", "F")


class _Split(NamedTuple):
    """The images of a folder, and the name of each one's class, or None."""

    paths: list[pathlib.Path]
    classes: list[str] | None


def holds_images(directory: pathlib.Path) -> bool:
    """Whether there are images in the directory, in its folders, or in theirs."""
    return any(_is_image(path) for depth in ("*", "*/*", "*/*/*") for path in directory.glob(depth))


def read_folder(directory: pathlib.Path) -> Stored:
    """Images as `train/<class>/*.png`, `test/<class>/*.png` and maybe `validation/<class>/*.png`.

    The last may be called `valid` or `val`. Without these folders there are `<class>/*.png`, of which a part
    is held out for the test. Without classes the images lie where the folders of the classes would. The
    classes count in the order of their names, and images come in the order of theirs; without a validation
    folder those of training are put in an order drawn once and for all, so that the last of them, which may
    be held out, are of all classes. If one image has colour, all are read as RGB.

    Args:
        directory: where they are; names that start with a dot are passed over.

    Raises:
        ValueError: if an image is damaged or of another size, a class has no training images, or there are no
            images.
    """
    splits = {name: _list_split(folder) for name, folder in _split_folders(directory).items()}
    empty = [name for name, split in splits.items() if not split.paths]
    if empty:
        raise expected(f"{directory}", "to hold PNG or JPEG images", f"none ({', '.join(empty)})")
    labels = _number(directory, splits)
    # Whether there is colour is a matter of all of them.
    pixels = _decode(directory, [path for split in splits.values() for path in split.paths])
    ends = np.cumsum([len(split.paths) for split in splits.values()])
    parts = dict(zip(splits, np.split(pixels, ends[:-1]), strict=True))
    if "all" in splits:
        return hold_out(f"{directory}", pixels, labels["all"])
    if "train" in splits and "validation" not in splits and labels["train"] is not None:
        order = drawn_order(len(parts["train"]))
        parts["train"], labels["train"] = parts["train"][order], labels["train"][order]
    return join_splits(f"{directory}", {name: (parts[name], labels[name]) for name in splits})


def _split_folders(directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Where the splits are; a class may be called `train`, if there is no folder of another split."""
    folders = {path.name: path for path in _visible(directory) if path.is_dir()}
    found = {split: [name for name in names if name in folders] for split, names in _SPLITS.items()}
    known = {split: names for split, names in found.items() if names}
    only = len(folders) == sum(len(names) for names in known.values())
    if not known or not (only or ("train" in known and len(known) > 1)):
        return {"all": directory}
    if len(found["validation"]) > 1:
        raise expected(f"{directory}", "to have one validation folder", ", ".join(found["validation"]))
    return {split: folders[names[0]] for split, names in known.items()}


def _list_split(directory: pathlib.Path) -> _Split:
    bare = [path for path in _visible(directory) if _is_image(path)]
    folders = [path for path in _visible(directory) if path.is_dir()]
    by_class = {folder.name: [path for path in _visible(folder) if _is_image(path)] for folder in folders}
    paths = [path for members in by_class.values() for path in members]
    if bare and paths:
        raise expected(
            f"{directory}", "to have its images in folders, or none of them", f"{bare[0].name} beside folders"
        )
    if bare:
        return _Split(bare, None)
    return _Split(paths, [name for name, members in by_class.items() for _ in members])


def _visible(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in directory.iterdir() if not path.name.startswith("."))


def _is_image(path: pathlib.Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()


def _number(directory: pathlib.Path, splits: Mapping[str, _Split]) -> dict[str, np.ndarray | None]:
    used = {name: set(split.classes or ()) for name, split in splits.items()}
    names = sorted(set().union(*used.values()))
    unseen = set(names) - used.get("train", set(names))
    if used.get("train") and unseen:
        raise expected(f"the classes of {directory}", "to have training images", ", ".join(sorted(unseen)))
    numbers = {name: number for number, name in enumerate(names)}
    return {
        name: None if split.classes is None else np.array([numbers[label] for label in split.classes])
        for name, split in splits.items()
    }


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Any]:
    from PIL import Image

    with whole(path, "image"), Image.open(path) as image:
        yield image


def _decode(directory: pathlib.Path, paths: list[pathlib.Path]) -> np.ndarray:
    """Pixels `(N, H, W, C)`."""
    mode = "RGB" if _any_colour(directory, paths) else "L"
    with _opened(paths[0]) as image:
        pixels = np.empty((len(paths), image.height, image.width, len(mode)), np.uint8)
    for place, path in zip(pixels, paths, strict=True):
        with _opened(path) as image:
            image.load()
            image.info.pop("transparency", None)  # a palette's would be warned of
            place[...] = np.asarray(image.convert(mode)).reshape(place.shape)
    return pixels


def _any_colour(directory: pathlib.Path, paths: list[pathlib.Path]) -> bool:
    """Looks at all sizes and modes, before one pixel is decoded."""
    colour, first = False, None
    for path in paths:
        with _opened(path) as image:
            size = f"{image.height} x {image.width}"
            first = first or size
            if size != first:
                rule = f"to have the size of {paths[0].relative_to(directory)}, {first}"
                got = f"{size} for {path.relative_to(directory)}"
                raise expected(f"the images of {directory}", rule, got)
            colour |= _has_colour(path, image)
    return colour


def _has_colour(path: pathlib.Path, image: Any) -> bool:
    if image.mode.startswith(_DEEP):
        raise expected(f"{path}", "to have 8 bits a pixel and channel", f"mode {image.mode}")
    if image.mode != "P":
        return image.mode not in _GREY
    palette = np.array(image.getpalette()).reshape(-1, 3)
    return bool(np.any(palette != palette[:, :1]))
