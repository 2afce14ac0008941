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
    if typing.get_origin(hint) is tuple:
        return tuple(value)
    if isinstance(hint, types.UnionType) and Path in typing.get_args(hint) and value is not None:
        return Path(value)
    return value
