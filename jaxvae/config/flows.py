"""Which flow, and its options."""

import dataclasses
import typing
from typing import ClassVar, Literal

from jaxvae._checks import expected
from jaxvae.config.options import Activation, Options

FlowName = Literal[
    "none",
    "iaf",
    "naf",
    "spline",
    "planar",
    "sylvester-orthogonal",
    "sylvester-householder",
    "sylvester-triangular",
]
_EVERY = ("num_flows", "context_dim")
_MADE = (*_EVERY, "widths", "activation", "degrees", "context_layers", "residual", "weight_norm")


@dataclasses.dataclass(frozen=True)
class FlowConfig(Options):
    """A flow; each option is for the flows it names, which have their own defaults where none is given."""

    kind: ClassVar[str] = "flow"
    choices: ClassVar[tuple[str, ...]] = typing.get_args(FlowName)
    takers: ClassVar[dict[str, tuple[str, ...]]] = {
        "iaf": ("update", *_MADE),
        "naf": ("num_units", *_MADE),
        "spline": ("num_bins", "bound", *_MADE),
        "planar": _EVERY,
        "sylvester-orthogonal": ("num_vectors", *_EVERY),
        "sylvester-householder": ("num_reflections", *_EVERY),
        "sylvester-triangular": _EVERY,
    }

    flow: FlowName = "none"
    """Which; none for a plain Gaussian."""
    num_flows: int | None = None
    """Steps of it."""
    update: Literal["gated", "affine", "shift"] | None = None
    """For iaf: of each element."""
    num_units: int | None = None
    """For naf: sigmoids in each element's map."""
    num_bins: int | None = None
    """For spline."""
    bound: float | None = None
    """For spline: it is the identity beyond."""
    num_vectors: int | None = None
    """For sylvester-orthogonal: rank of an update, at most the latents."""
    num_reflections: int | None = None
    """For sylvester-householder."""
    widths: tuple[int, ...] | None = None
    """For iaf, naf, spline: hidden layers of each step's MADE."""
    activation: Activation | None = None
    """Likewise: between its layers."""
    degrees: Literal["equal", "random"] | None = None
    """Likewise: how its hidden units are shared out among the inputs."""
    context_layers: Literal["first", "every", "add"] | None = None
    """Likewise: which of its layers the context enters; add: the first, as it is."""
    residual: bool | None = None
    """Likewise: whether each hidden layer is added to what it takes."""
    weight_norm: bool | None = None
    """Likewise: weight normalisation, initialised from the first images."""


@dataclasses.dataclass(frozen=True)
class PosteriorConfig(FlowConfig):
    """q(z | x): a Gaussian from the encoder, and a flow after it where one is named."""

    context_dim: int | None = None
    """Size of what the encoder tells the flow; as many as latents where none is given."""


@dataclasses.dataclass(frozen=True)
class PriorConfig(FlowConfig):
    """p(z): a standard normal, or a flow from the latent to one."""

    def check(self, name: str) -> None:
        """Raises `ValueError` on an option that the flow does not take, or a bad count."""
        super().check(name)
        if self.context_layers is not None:
            raise expected(
                f"--{name}.context-layers", "not to be given: there is no context", self.context_layers
            )
