"""Where the numbers of a run go. Each writer has `advance`, `write` and `close`."""

import contextlib
import json
import math
import os
import pathlib
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxvae.plots import to_png

# Numbers, and lists of numbers.
Record = dict[str, Any]


class Console:
    """A progress bar on standard error, and one line per record on standard output.

    Args:
        num_steps: length of the run.
        columns: the numbers of a line, besides the step.
        step: where the run starts.
        lines: False to print no lines, when standard output is for something else.
    """

    def __init__(self, num_steps: int, columns: Sequence[str], *, step: int = 0, lines: bool = True):
        self._columns = columns
        self._bar = tqdm(
            total=num_steps, initial=step, unit="step", dynamic_ncols=True, leave=False, file=sys.stderr
        )
        self._lines = lines
        self._print("  ".join(["   step", *(name.replace("_", " ") for name in columns)]))

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        self._bar.update(step - self._bar.n)

    def write(self, record: Record) -> None:
        """Prints a line; what the record lacks is left blank."""
        cells = [f"{int(record['step']):>7}"]
        for name in self._columns:
            number = f"{record[name]:,.0f}" if name == "examples_per_second" else f"{record.get(name, 0):.3f}"
            cells.append((number if name in record else "").rjust(len(name)))
        self._print("  ".join(cells))

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.close()

    def _print(self, line: str) -> None:
        if self._lines:
            tqdm.write(line, file=sys.stdout)


class ProgressBar:
    """A bar on standard error, as a context manager.

    Args:
        total: where it ends.
        unit: of what.
    """

    def __init__(self, total: int, unit: str):
        # None: not where standard error is no terminal.
        self._bar = tqdm(total=total, unit=unit, disable=None, leave=False, file=sys.stderr)

    def advance(self, count: int) -> None:
        """Moves the bar to `count`."""
        self._bar.update(count - self._bar.n)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()


class JsonLines:
    """One JSON object per record.

    Args:
        path: the file; appended to.
        step: records after this step, left by a part of the run that was not saved, are removed first.
    """

    def __init__(self, path: str | os.PathLike, *, step: int = 0):
        path = pathlib.Path(path)
        kept = [record for record in load_records(path) if record["step"] <= step] if path.exists() else []
        replace_text(path, "".join(to_json(record) + "\n" for record in kept))
        self._file = open(path, "a", buffering=1)  # noqa: SIM115 (closed by close())

    def advance(self, step: int) -> None:
        """Does nothing: only records are written."""

    def write(self, record: Record) -> None:
        """Appends a line."""
        self._file.write(to_json(record) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoard:
    """TensorBoard's scalars and images, in an event file of tensorboardX's format.

    Written at once and not by tensorboardX's `SummaryWriter`, whose thread dies on a full disk and then
    blocks the run for ever.

    Args:
        directory: where the event file goes.
        step: events after this step, of a part of the run that was not saved, are hidden.
    """

    def __init__(self, directory: str | os.PathLike, *, step: int = 0):
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}"
        self._file = RecordWriter(str(pathlib.Path(directory) / name))
        self._add(file_version="brain.Event:2")
        self._add(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def advance(self, step: int) -> None:
        """Does nothing: only records are written."""

    def write(self, record: Record) -> None:
        """Writes each number as a scalar; those of a list one by one, as `name/000`, `name/001`, ..."""
        scalars = _scalars({name: value for name, value in record.items() if name != "step"})
        values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._add(step=int(record["step"]), summary=self._summary(value=values))

    def write_pictures(self, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Writes pictures `(H, W, C)` in [0, 1], of one channel or three, by their names."""
        values = [
            self._summary.Value(tag=name, image=self._image(canvas)) for name, canvas in pictures.items()
        ]
        self._add(step=step, summary=self._summary(value=values))

    def close(self) -> None:
        """Closes the event file."""
        self._file.close()

    def _image(self, canvas: np.ndarray) -> Any:
        height, width, channels = canvas.shape
        return self._summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=to_png(canvas)
        )

    def _add(self, **content) -> None:
        self._file.write(self._event(wall_time=time.time(), **content).SerializeToString())
        self._file.flush()


def _scalars(record: Record) -> dict[str, float]:
    """The numbers of a record, and those of its lists, each by a name of its own."""
    scalars = {}
    for name, value in record.items():
        if isinstance(value, list):
            scalars |= {f"{name}/{index:03d}": part for index, part in enumerate(value)}
        else:
            scalars[name] = value
    return scalars


class Writers:
    """Several writers as one."""

    def __init__(self, *writers):
        self._writers = writers

    def advance(self, step: int) -> None:
        """Tells every writer."""
        for writer in self._writers:
            writer.advance(step)

    def write(self, record: Record) -> None:
        """Gives every writer the record."""
        for writer in self._writers:
            writer.write(record)

    def close(self) -> None:
        """Closes every writer, the others too when one cannot be."""
        with contextlib.ExitStack() as stack:
            for writer in self._writers:
                stack.callback(writer.close)


def load_records(path: str | os.PathLike) -> list[Record]:
    """Reads what `JsonLines` wrote; a line that a killed run left unfinished is left out."""
    records = []
    for line in pathlib.Path(path).read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            records.append(json.loads(line))
    return records


def to_json(content: dict) -> str:
    """One line of JSON, with null for numbers that are not finite."""
    return json.dumps(_finite(content), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def replace_text(path: pathlib.Path, text: str) -> None:
    """Replaces a file in one move, so that a full disk leaves the old one whole."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
