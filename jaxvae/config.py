"""What a run is made of, as frozen dataclasses; the only place that holds defaults."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxvae._checks import expect_choice, expect_in_range, expect_positive, expected

Activation = Literal["relu", "softplus", "tanh", "elu", "gelu", "silu"]
Likelihood = Literal["bernoulli", "grey-bernoulli"]
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
_MADE_OPTIONS = ("widths", "activation", "degrees", "context_layers", "residual", "weight_norm")
# Which flow takes which option, beside `num_flows`, which all take.
_FLOW_OPTIONS: dict[str, tuple[str, ...]] = {
    "iaf": ("update", *_MADE_OPTIONS),
    "naf": ("num_units", *_MADE_OPTIONS),
    "spline": ("num_bins", "bound", *_MADE_OPTIONS),
    "planar": (),
    "sylvester-orthogonal": ("num_vectors",),
    "sylvester-householder": ("num_reflections",),
    "sylvester-triangular": (),
}


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The dense encoder."""

    widths: tuple[int, ...] = (512, 512)
    """Hidden layers."""
    activation: Activation = "relu"
    """Between the layers."""
    init: Literal["he", "uniform"] = "he"
    """Of the weights: he for ReLU, or uniform as PyTorch does."""
    scale: Literal["softplus", "exp"] = "softplus"
    """From the last layer to the posterior's standard deviation."""


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """The dense decoder."""

    widths: tuple[int, ...] = (512, 512)
    """Hidden layers."""
    activation: Activation = "relu"
    """Between the layers."""
    init: Literal["he", "uniform"] = "he"
    """Of the weights: he for ReLU, or uniform as PyTorch does."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The parts of the model that are neither encoder nor decoder."""

    latent_dim: int = 128
    """D, the size of the latent."""
    likelihood: Likelihood = "bernoulli"
    """p(x | z); grey-bernoulli takes grey pixels as probabilities, and its log p(x) is no density."""


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """A flow; each option is for the flows it names, which have their own defaults where none is given."""

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
    context_layers: Literal["first", "every"] | None = None
    """Likewise: which of its layers the context enters."""
    residual: bool | None = None
    """Likewise: whether each hidden layer is added to what it takes."""
    weight_norm: bool | None = None
    """Likewise: weight normalisation, initialised from the first images."""

    def check(self, name: str) -> None:
        """Raises `ValueError` on an option that the flow does not take, or a bad count."""
        expect_choice(f"--{name}.flow", self.flow, typing.get_args(FlowName))
        if self.activation is not None:
            expect_choice(f"--{name}.activation", self.activation, typing.get_args(Activation))
        for option, value in self.options().items():
            flag = f"--{name}.{option.replace('_', '-')}"
            takers = [flow for flow, names in _FLOW_OPTIONS.items() if option in ("num_flows", *names)]
            expect_choice(f"the flow that {flag} is for", self.flow, takers)
            for number in value if isinstance(value, tuple) else (value,):
                if not isinstance(number, str | bool):
                    expect_positive(flag, number)

    def options(self) -> dict[str, Any]:
        """What was given, apart from the flow's name and the size of its context."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(FlowConfig)}
        return {name: value for name, value in values.items() if name != "flow" and value is not None}


@dataclasses.dataclass(frozen=True)
class PosteriorConfig(FlowConfig):
    """q(z | x): a Gaussian from the encoder, and a flow after it where one is named."""

    context_dim: int | None = None
    """Size of what the encoder tells the flow; as many as latents where none is given."""

    def check(self, name: str) -> None:
        """Raises `ValueError` on an option that the flow does not take, or a bad count."""
        super().check(name)
        if self.context_dim is not None:
            expect_choice(f"the flow that --{name}.context-dim is for", self.flow, _FLOW_OPTIONS)
            expect_positive(f"--{name}.context-dim", self.context_dim)


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


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The data set and its protocol."""

    dir: Annotated[Path | None, tyro.conf.arg(aliases=("--data-dir",))] = None
    """Directory of IDX files; the bundled MNIST where none is given."""
    binarization: Literal["static", "dynamic", "threshold", "none"] = "static"
    """How grey pixels become what the model sees."""
    num_validation: int = 10_000
    """Training images held out to choose the best checkpoint; 0 trains on all."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The optimiser."""

    name: Literal["adam", "adamw", "adamax", "rmsprop"] = "adam"
    """From optax."""
    learning_rate: float = 1e-3
    """The highest rate."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """How the rate falls: not, to zero at the end, or by a factor every so many steps."""
    warmup_steps: int = 0
    """Steps of linear rise at the start."""
    decay_every: int | None = None
    """For step, in steps; a quarter of the run where none is given."""
    decay_factor: float | None = None
    """For step; a half where none is given."""
    weight_decay: float | None = None
    """For adamw; optax's default where none is given."""
    max_gradient_norm: float | None = None
    """Longer gradients are scaled down to this."""
    ema_decay: float | None = None
    """Decay of a moving average of the weights, which is then what is evaluated."""


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """The evaluations during and after training."""

    every: int = 2500
    """Steps between evaluations, and between checkpoints."""
    monitor_samples: int = 20
    """Importance samples per image during training."""
    num_samples: int = 1000
    """Importance samples per image for the final test figures."""
    batch_size: int | None = None
    """Images at a time: chosen for the device where none is given. Never changes the result."""
    chunk_size: int | None = None
    """Importance samples of an image at a time: likewise."""


@dataclasses.dataclass(frozen=True)
class Config:
    """A run."""

    steps: int = 30_000
    """Length of the run."""
    batch_size: int = 128
    """Images per step."""
    seed: int = 0
    """Of everything that is drawn, except the frozen binarisation."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the operands of matrix products; parameters, sums and log-weights are float32."""
    log_every: int = 500
    """Steps between records."""
    block_size: int = 50
    """Steps of one scan on the device; a stop waits for its end."""
    model: ModelConfig = ModelConfig()
    encoder: EncoderConfig = EncoderConfig()
    decoder: DecoderConfig = DecoderConfig()
    posterior: PosteriorConfig = PosteriorConfig()
    prior: PriorConfig = PriorConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def check(self) -> None:
        """Raises `ValueError` on a value that no run can have."""
        counts = [
            ("--steps", self.steps),
            ("--batch-size", self.batch_size),
            ("--log-every", self.log_every),
            ("--block-size", self.block_size),
            ("--model.latent-dim", self.model.latent_dim),
            ("--evaluate.every", self.evaluate.every),
            ("--evaluate.monitor-samples", self.evaluate.monitor_samples),
            ("--evaluate.num-samples", self.evaluate.num_samples),
            ("--evaluate.batch-size", self.evaluate.batch_size),
            ("--evaluate.chunk-size", self.evaluate.chunk_size),
            *(("--encoder.widths", width) for width in self.encoder.widths),
            *(("--decoder.widths", width) for width in self.decoder.widths),
        ]
        for name, value in counts:
            if value is not None:
                expect_positive(name, value)
        self.posterior.check("posterior")
        self.prior.check("prior")
        for part in (self.encoder, self.decoder):
            expect_choice("activation", part.activation, typing.get_args(Activation))
        expect_choice("likelihood", self.model.likelihood, typing.get_args(Likelihood))
        expect_in_range("--seed", self.seed, 0, 2**32)
        expect_in_range("--data.num-validation", self.data.num_validation, 0, float("inf"))
        if self.data.binarization == "none" and self.model.likelihood == "bernoulli":
            raise expected(
                "binary pixels for the likelihood bernoulli",
                "(a binarization, or --model.likelihood grey-bernoulli to insist)",
                "--data.binarization none",
            )


def follow_flows(config: Config, wanted: Config) -> Config:
    """`config` with the flows of `wanted`, and without the options of those that they replace."""

    def follow(part: Any, wanted_part: Any) -> Any:
        return part if part.flow == wanted_part.flow else type(part)(flow=wanted_part.flow)

    return dataclasses.replace(
        config,
        posterior=follow(config.posterior, wanted.posterior),
        prior=follow(config.prior, wanted.prior),
    )


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


def from_dict(values: dict[str, Any], kind: type = Config) -> Any:
    """The config that `to_dict` was given.

    Raises:
        ValueError: on a key that is not a field.
    """
    hints = typing.get_type_hints(kind)
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
