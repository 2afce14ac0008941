"""Which objective, and its options."""

import dataclasses
import typing
from typing import ClassVar, Literal

from jaxvae._checks import expect_choice, expect_in_range, expect_positive, expected
from jaxvae.config.options import Options

ObjectiveName = Literal["elbo", "stl", "iwae", "dreg"]
_KL = ("beta", "kl_warmup_steps", "kl_cycle_steps", "free_bits")
# Draws where none are given.
_NUM_SAMPLES = {"elbo": 1, "stl": 1, "iwae": 50, "dreg": 50}


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig(Options):
    """What is maximised: a bound of log p(x), and what helps it to start."""

    kind: ClassVar[str] = "name"
    called: ClassVar[str] = "objective"
    choices: ClassVar[tuple[str, ...]] = typing.get_args(ObjectiveName)
    takers: ClassVar[dict[str, tuple[str, ...]]] = {
        "elbo": ("num_samples", "kl", *_KL, "consistency"),
        "stl": ("num_samples", *_KL, "consistency"),
        "iwae": ("num_samples", "consistency"),
        "dreg": ("num_samples", "consistency"),
    }
    any_number: ClassVar[tuple[str, ...]] = ("beta", "kl_warmup_steps", "free_bits", "consistency")

    name: ObjectiveName = "elbo"
    """The ELBO, or the same with the gradient of sticking the landing; the importance-weighted bound, or the
    same with the doubly reparameterised gradient."""
    num_samples: int | None = None
    """Draws of every image at every step; 1 for elbo and stl, 50 for iwae and dreg, where none is given."""
    kl: Literal["sampled", "closed-form"] | None = None
    """For elbo: the KL term, closed-form between Gaussians; sampled where none is given."""
    beta: float | None = None
    """For elbo, stl: weight of the KL term; 1 where none is given."""
    kl_warmup_steps: int | None = None
    """For elbo, stl: steps over which the weight of the KL term rises from 0."""
    kl_cycle_steps: int | None = None
    """For elbo, stl: it rises anew every so many steps."""
    free_bits: float | None = None
    """For elbo, stl: nats of the batch's mean KL that cost nothing."""
    consistency: float | None = None
    """Weight of the KL between the posteriors of an image and of its random affine augmentation."""

    @property
    def bound(self) -> str:
        """What is maximised, whatever its gradient: `elbo` or `iwae`."""
        return {"stl": "elbo", "dreg": "iwae"}.get(self.name, self.name)

    @property
    def samples(self) -> int:
        """Draws of every image at every step."""
        return self.num_samples or _NUM_SAMPLES[self.name]

    def follow(self, wanted: "ObjectiveConfig") -> "ObjectiveConfig":
        """Where another gradient of the same bound is wanted, that with the options that it takes too."""
        if wanted.bound != self.bound:
            return ObjectiveConfig(name=wanted.name)
        shared = {key: value for key, value in self.options().items() if key in self.takers[wanted.name]}
        return ObjectiveConfig(name=wanted.name, **shared)

    def check(self, name: str) -> None:
        """Raises `ValueError` on an unknown objective, an option that it does not take, or a bad number."""
        super().check(name)
        if self.kl is not None:
            expect_choice(f"--{name}.kl", self.kl, ["sampled", "closed-form"])
        for option in self.any_number:
            if getattr(self, option) is not None:
                flag = f"--{name}.{option.replace('_', '-')}"
                expect_in_range(flag, getattr(self, option), 0, float("inf"))
        if self.kl_cycle_steps is not None:
            flag, rise = f"--{name}.kl-cycle-steps", self.kl_warmup_steps or 0
            expect_positive(f"the --{name}.kl-warmup-steps of {flag}", rise)
            if self.kl_cycle_steps < rise:
                raise expected(flag, f"to be at least the {rise} steps of the rise", self.kl_cycle_steps)
