"""What a parser says of a damaged file, as one line that names the file."""

import contextlib
import os
from collections.abc import Iterator

from jaxvae._checks import InputError, expected


@contextlib.contextmanager
def whole(path: str | os.PathLike, kind: str) -> Iterator[None]:
    """Turns an error of the parser that is called inside into `Expected <path> to be a whole <kind>; ...`.

    On damaged bytes the parsers of NumPy, SciPy, Pillow and pickle raise nearly every kind of exception, so
    none is singled out.

    Args:
        path: the file that is read.
        kind: what it should be.

    Raises:
        ValueError: in place of any error but the two below.
        InputError: as it came; it is one line already.
        FileNotFoundError: if there is no file.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"Expected a file at {path}; got nothing.") from error
    except Exception as error:
        raise expected(f"{path}", f"to be a whole {kind}", _first_line(error)) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__
