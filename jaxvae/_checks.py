"""One wording, `Expected <what> <rule>; got <value>.`, for every error about bad input."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input that a user gave; the command line prints its one line, without a traceback."""


def expected(what: str, rule: str, value: object) -> InputError:
    """The error that says what was expected and what came instead; the caller raises it."""
    return InputError(f"Expected {what} {rule}; got {value}.")


def expect_positive(what: str, value: float) -> None:
    """Raises `ValueError` unless `value` is above zero."""
    if not value > 0:
        raise expected(what, "to be positive", value)


def expect_in_range(what: str, value: float, low: float, high: float) -> None:
    """Raises `ValueError` unless `low <= value < high`."""
    if not low <= value < high:
        raise expected(what, f"to be at least {low} and below {high}", value)


def expect_choice(what: str, value: str, choices: Iterable[str]) -> None:
    """Raises `ValueError` unless `value` is one of `choices`; names the near ones."""
    known = sorted(choices)
    if value in known:
        return
    near = difflib.get_close_matches(value, known, n=3)
    hint = f" (near: {', '.join(near)})" if near else ""
    raise expected(what, f"to be one of {', '.join(known)}", f"{value!r}{hint}")


def expect_shape(what: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raises `ValueError` unless the two shapes are equal."""
    if tuple(shape) != tuple(wanted):
        raise expected(what, f"to have shape {tuple(wanted)}", tuple(shape))
