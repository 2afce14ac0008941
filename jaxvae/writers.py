"""Where the numbers of a run go. Each writer has `advance`, `write` and `close`."""

import json
import os
import pathlib
import sys
from collections.abc import Sequence

from tqdm import tqdm

Record = dict[str, float]


class Console:
    """A progress bar on standard error, and one line per record on standard output.

    Args:
        num_steps: length of the run.
        columns: the numbers of a line, besides the step.
        lines: False to print no lines, when standard output is for something else.
    """

    def __init__(self, num_steps: int, columns: Sequence[str], *, lines: bool = True):
        self._columns = columns
        self._bar = tqdm(total=num_steps, unit="step", dynamic_ncols=True, leave=False, file=sys.stderr)
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


class JsonLines:
    """One JSON object per record.

    Args:
        path: the file; appended to.
        step: records after this step, left by a part of the run that was not saved, are removed first.
    """

    def __init__(self, path: str | os.PathLike, *, step: int = 0):
        path = pathlib.Path(path)
        kept = [record for record in load_records(path) if record["step"] <= step] if path.exists() else []
        path.write_text("".join(json.dumps(record) + "\n" for record in kept))
        self._file = open(path, "a", buffering=1)  # noqa: SIM115 (closed by close())

    def advance(self, step: int) -> None:
        """Does nothing: only records are written."""

    def write(self, record: Record) -> None:
        """Appends a line."""
        self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoard:
    """TensorBoard scalars, through tensorboardX.

    Args:
        directory: where the event file goes.
        step: events after this step, of a part of the run that was not saved, are hidden.
    """

    def __init__(self, directory: str | os.PathLike, *, step: int = 0):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(directory), purge_step=step + 1 if step else None)

    def advance(self, step: int) -> None:
        """Does nothing: only records are written."""

    def write(self, record: Record) -> None:
        """Writes each number of the record as a scalar."""
        for name, value in record.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(record["step"]))

    def close(self) -> None:
        """Flushes and closes the event file."""
        self._writer.close()


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
        """Closes every writer."""
        for writer in self._writers:
            writer.close()


def load_records(path: str | os.PathLike) -> list[Record]:
    """Reads what `JsonLines` wrote; a last line that a killed run left unfinished is left out."""
    records = []
    for line in pathlib.Path(path).read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
