"""`jaxvae datasets` and `jaxvae data inspect`."""

import dataclasses
import importlib.util
import pathlib
from typing import Any, Literal

import numpy as np
import tyro

from jaxvae import plots
from jaxvae.data import CATALOG, cache_directory, in_blocks, is_there, read_stored
from jaxvae.data.stored import Stored
from jaxvae.writers import to_json

_FORMATS = (
    "IDX, .npy, .npz, .amat, the MATLAB files of OMNIGLOT, Caltech-101 silhouettes and Frey Faces, "
    "the pickled Frey Faces, folders of PNG or JPEG by class"
)
_BAR, _BINS, _PICTURES = 40, 16, 64


@dataclasses.dataclass(frozen=True)
class Datasets:
    """List the data sets that have a name, and what else can be read."""

    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> None:
        """Prints them."""
        names = {name: self._describe(name) for name in CATALOG}
        prepared = sorted(
            f"tfds:{path.name}" for path in (cache_directory() / "tfds").glob("*") if path.is_dir()
        )
        prepared = [name for name in prepared if not name.endswith(".part")]
        installed = importlib.util.find_spec("tensorflow_datasets") is not None
        if self.json:
            print(to_json({"names": names, "prepared": prepared, "tfds_is_installed": installed}))
            return
        for name, about in names.items():
            shape = " x ".join(map(str, about["image_shape"]))
            splits = " / ".join(f"{count:,}" for count in about["splits"])
            print(f"{name}: {'here' if about['is_there'] else 'needs --data-dir'}")
            print(f"  {shape}, {about['pixels']}; train / validation / test {splits}")
            print(f"  {about['protocol']}\n  licence: {about['licence']}; {about['url']}")
        extra = "installed" if installed else "needs the extra: pip install 'jaxvae[tfds]'"
        print(f"tfds:NAME: any image data set of TensorFlow Datasets; {extra}")
        print(f"  prepared: {', '.join(prepared) or 'none'} (in {cache_directory()})")
        print(f"a path: {_FORMATS}")

    def _describe(self, name: str) -> dict[str, Any]:
        return {**CATALOG[name]._asdict(), "is_there": is_there(name)}


@dataclasses.dataclass(frozen=True)
class Data:
    """Look at a data set: `data inspect NAME_OR_PATH`."""

    action: tyro.conf.Positional[Literal["inspect"]]
    """What to do."""
    source: tyro.conf.Positional[str]
    """A name, tfds:NAME, or the path of a file or directory."""
    data_dir: pathlib.Path | None = None
    """Where the files of a name are."""
    output: pathlib.Path = pathlib.Path("images.png")
    """The picture: training images, evenly spread."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def run(self) -> None:
        """Prints shapes, ranges, classes and the histogram, and draws a grid of images."""
        stored = read_stored(self.source, self.data_dir)
        found = {"source": self.source, **inspect(stored), "picture": str(self.output)}
        num_train = found["splits"]["train"]["num_images"]
        shown = np.linspace(0, num_train - 1, min(_PICTURES, num_train)).astype(int)
        plots.save_images(self.output, stored.images[shown] / 255)
        print(to_json(found) if self.json else _describe(found))


def inspect(stored: Stored) -> dict[str, Any]:
    """Shapes, ranges, classes and the histogram of the levels, by split."""
    num_validation, total = stored.num_validation or 0, len(stored.images)
    stops = {
        "train": total - stored.num_test - num_validation,
        "validation": total - stored.num_test,
        "test": total,
    }
    splits, start, counts = {}, 0, np.zeros(256, np.int64)
    for name, stop in stops.items():
        if stop > start:
            labels = None if stored.labels is None else stored.labels[start:stop]
            splits[name], levels = _inspect_split(stored.images[start:stop], labels)
            counts += levels
        start = stop
    return {
        "image_shape": list(stored.images.shape[1:]),
        "megabytes": stored.images.nbytes / 1e6,
        "pixels": "binary" if not counts[1:255].any() else "256 levels",
        "splits": splits,
        "histogram": counts.tolist(),
    }


def _inspect_split(images: Any, labels: np.ndarray | None) -> tuple[dict[str, Any], np.ndarray]:
    counts, constant = np.zeros(256, np.int64), 0
    for block in in_blocks(images):
        counts += np.bincount(block.ravel(), minlength=256)
        rows = block.reshape(len(block), -1)
        constant += int(np.sum(rows.min(axis=1) == rows.max(axis=1)))
    present = np.flatnonzero(counts)
    found = {
        "num_images": len(images),
        "lowest": int(present[0]),
        "highest": int(present[-1]),
        "mean": float(counts @ np.arange(256) / counts.sum()),
        "constant_images": constant,
        "label_counts": None if labels is None else np.bincount(labels).tolist(),
    }
    return found, counts


def _describe(found: dict[str, Any]) -> str:
    """The lines that a person reads."""
    shape = " x ".join(map(str, found["image_shape"]))
    lines = [f"{found['source']}: images of {shape}, {found['pixels']}, {found['megabytes']:,.1f} MB"]
    for name, split in found["splits"].items():
        line = f"{name:10} {split['num_images']:>9,} images, {split['lowest']} to {split['highest']}"
        line += f", mean {split['mean']:.1f}, {split['constant_images']} constant"
        if split["label_counts"] is not None:
            counts = split["label_counts"]
            some = ", ".join(f"{count:,}" for count in counts[:10])
            line += f"; {len(counts)} classes: {some}{', ...' * (len(counts) > 10)}"
        lines.append(line)
    shares = np.reshape(found["histogram"], (_BINS, -1)).sum(axis=1) / sum(found["histogram"])
    for i, share in enumerate(shares):
        width = 256 // _BINS
        bar = "#" * round(_BAR * share)
        lines.append(f"{i * width:3} to {(i + 1) * width - 1:3} {share:7.2%} {bar}".rstrip())
    return "\n".join([*lines, found["picture"]])
