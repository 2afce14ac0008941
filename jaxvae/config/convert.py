"""Configs to and from JSON, and to flags."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

from jaxvae._checks import expect_choice
from jaxvae.config.run import Config


def to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON has it."""
    return {
        key: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
        for key, value in (
            (field.name, to_dict(part) if dataclasses.is_dataclass(part) else part)
            for field in dataclasses.fields(config)
            for part in [getattr(config, field.name)]
        )
    }


def to_flags(config: Any, prefix: str = "--") -> dict[str, Any]:
    """Every single setting by its flag, such as `--encoder.widths`."""
    settings = {}
    for field in dataclasses.fields(config):
        flag, value = prefix + field.name.replace("_", "-"), getattr(config, field.name)
        settings |= to_flags(value, flag + ".") if dataclasses.is_dataclass(value) else {flag: value}
    return settings


def from_dict(values: dict[str, Any], kind: type = Config) -> Any:
    """The config that `to_dict` was given.

    Raises:
        ValueError: on a key that is not a field.
    """
    types_of = typing.get_type_hints(kind)
    hints = {field.name: types_of[field.name] for field in dataclasses.fields(kind)}
    for key in values:
        expect_choice(f"a field of {kind.__name__}", key, hints)
    return kind(**{key: _convert(value, hints[key]) for key, value in values.items()})


def _convert(value: Any, hint: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(value, typing.cast(type, hint))
    if isinstance(value, list):
        return tuple(value)
    if isinstance(hint, types.UnionType) and Path in typing.get_args(hint) and value is not None:
        return Path(value)
    return value
