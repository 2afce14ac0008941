"""A named part of a model and its options."""

import dataclasses
import typing
from typing import Any, ClassVar, Literal

from jaxvae._checks import expect_choice, expect_positive

Activation = Literal["relu", "softplus", "tanh", "elu", "gelu", "silu"]


@dataclasses.dataclass(frozen=True)
class Options:
    """Which part, under the name of its kind, and options that are each for some parts alone.

    An option that is not given, None, has the default of the part that takes it.
    """

    kind: ClassVar[str]
    # What the part is called in messages, where its kind does not say it.
    called: ClassVar[str] = ""
    choices: ClassVar[tuple[str, ...]]
    takers: ClassVar[dict[str, tuple[str, ...]]]
    # Those that need not be above 0.
    any_number: ClassVar[tuple[str, ...]] = ()

    def chosen(self) -> str:
        """The name of the part."""
        return getattr(self, self.kind)

    def options(self) -> dict[str, Any]:
        """What was given, apart from the name of the part."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if name != self.kind and value is not None}

    def check(self, name: str) -> None:
        """Raises `ValueError` on an unknown part, an option that it does not take, or a bad number."""
        expect_choice(f"--{name}.{self.kind}", self.chosen(), self.choices)
        for option, value in self.options().items():
            flag = f"--{name}.{option.replace('_', '-')}"
            takers = [part for part, options in self.takers.items() if option in options]
            expect_choice(f"the {self.called or self.kind} that {flag} is for", self.chosen(), takers)
            if option == "activation":
                expect_choice(flag, value, typing.get_args(Activation))
            for number in value if isinstance(value, tuple) else (value,):
                if not isinstance(number, str | bool) and option not in self.any_number:
                    expect_positive(flag, number)

    def follow(self, wanted: "Options") -> "Options":
        """Itself, or where another part is wanted, that part without options."""
        return self if self.chosen() == wanted.chosen() else type(self)(**{self.kind: wanted.chosen()})
