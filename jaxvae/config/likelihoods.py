"""What the decoder's output says about the pixels, and its options."""

import dataclasses
import typing
from typing import ClassVar, Literal

from jaxvae._checks import expect_choice, expected
from jaxvae.config.options import Options

LikelihoodName = Literal[
    "bernoulli",
    "grey-bernoulli",
    "continuous-bernoulli",
    "gaussian",
    "discretized-logistic",
    "logistic-mixture",
    "categorical",
]
Spread = Literal["fixed", "learned", "per-pixel"]

# The levels of a pixel under those that give probabilities, not densities: their log p(x) has bits.
PIXEL_LEVELS = {"bernoulli": 2, "discretized-logistic": 256, "logistic-mixture": 256, "categorical": 256}


@dataclasses.dataclass(frozen=True)
class LikelihoodConfig(Options):
    """p(x | z); each option is for those it names."""

    kind: ClassVar[str] = "name"
    called: ClassVar[str] = "likelihood"
    choices: ClassVar[tuple[str, ...]] = typing.get_args(LikelihoodName)
    takers: ClassVar[dict[str, tuple[str, ...]]] = {
        "gaussian": ("spread", "scale"),
        "logistic-mixture": ("num_components",),
    }

    name: LikelihoodName = "bernoulli"
    """Which; grey-bernoulli takes grey pixels as probabilities, and its log p(x) is no density."""
    spread: Spread | None = None
    """For gaussian: whose standard deviation is fixed, learned as one number, or each pixel's own."""
    scale: float | None = None
    """For gaussian: the standard deviation; where it is learned, the first; a factor of each pixel's own."""
    num_components: int | None = None
    """For logistic-mixture."""

    def check(self, name: str) -> None:
        """Raises `ValueError` on an option that the likelihood does not take, or a bad one."""
        super().check(name)
        if self.spread is not None:
            expect_choice(f"--{name}.spread", self.spread, typing.get_args(Spread))

    def check_pixels(self, binarization: str) -> None:
        """Raises `ValueError` unless its pixels are those of the data, by `--data.binarization`."""
        num_levels = PIXEL_LEVELS.get(self.name)
        if num_levels == 2 and binarization == "none":
            raise expected(
                "binary pixels for the likelihood bernoulli",
                "(a binarization, or --likelihood.name grey-bernoulli to insist)",
                "--data.binarization none",
            )
        # Of binary pixels a density has no upper bound, but for squared error, which is not trained as one.
        is_density = self.name == "continuous-bernoulli" or self.spread in ("learned", "per-pixel")
        if (num_levels == 256 or is_density) and binarization != "none":
            raise expected(
                f"grey pixels for the likelihood {self.name}",
                "(--data.binarization none)",
                f"--data.binarization {binarization}",
            )
