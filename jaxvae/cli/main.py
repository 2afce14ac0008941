"""The commands, what their arguments make of them, and how they end."""

import contextlib
import dataclasses
import io
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import tyro

from jaxvae import presets
from jaxvae._checks import InputError, expect_choice
from jaxvae.cli.data import Data, Datasets
from jaxvae.cli.evaluate import Evaluate
from jaxvae.cli.explore import Explore
from jaxvae.cli.pictures import Plot, Sample
from jaxvae.cli.report import Report
from jaxvae.cli.train import Train
from jaxvae.config import Config, follow_choices
from jaxvae.interrupts import Interrupted
from jaxvae.train import NonFiniteLoss


@dataclasses.dataclass(frozen=True)
class Presets:
    """List the presets."""

    def run(self) -> None:
        """Prints a line for each."""
        for name, make in presets.PRESETS.items():
            print(f"{name:33} {make.__doc__}")


_COMMANDS = {
    "train": Train,
    "evaluate": Evaluate,
    "sample": Sample,
    "plot": Plot,
    "report": Report,
    "explore": Explore,
    "presets": Presets,
    "datasets": Datasets,
    "data": Data,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; bad input is one line on standard error and exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"Warning: {message}", file=sys.stderr)
            _parse(arguments).run()
    except (InputError, OSError) as error:
        print(f"jaxvae: {error}", file=sys.stderr)
        sys.exit(2)
    except NonFiniteLoss as error:
        print(f"jaxvae: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Interrupted as stop:
        print(stop.hint, file=sys.stderr)
        sys.exit(stop.exit_code)


def _parse(arguments: list[str]) -> Any:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: jaxvae COMMAND [-h] ...\n")
        print("\n".join(f"  {name:10} {command.__doc__}" for name, command in _COMMANDS.items()))
        sys.exit(0)
    name, rest = arguments[0], arguments[1:]
    expect_choice("command", name, _COMMANDS)
    if name != "train":
        return _parse_options(name, rest)
    # Once for the preset and the run, whose config is then what the other arguments override.
    default = _parse_options(name, rest, Train(Config())).with_defaults()
    parsed = _parse_options(name, rest, default)
    config = follow_choices(default.config, parsed.config)
    if config == default.config:
        return parsed
    return _parse_options(name, rest, dataclasses.replace(default, config=config))


def _parse_options(name: str, arguments: list[str], default: Any = None) -> Any:
    """Tyro's parser, with its boxed complaint put into one line."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(_COMMANDS[name], default=default, args=arguments, prog=f"jaxvae {name}")
    except SystemExit as exit:
        if exit.code:
            words = re.sub(r"[\u2500-\u257f]+|-{3,}", " ", complaint.getvalue()).split()
            raise InputError(" ".join(words)) from exit
        raise
