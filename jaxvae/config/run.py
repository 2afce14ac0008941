"""A run, as frozen dataclasses; the only place that holds defaults."""

import dataclasses
import typing
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxvae._checks import expect_choice, expect_in_range, expect_positive, expected
from jaxvae.config.flows import PosteriorConfig, PriorConfig
from jaxvae.config.likelihoods import LikelihoodConfig
from jaxvae.config.networks import DecoderConfig, EncoderConfig, PixelCNNConfig
from jaxvae.config.objectives import ObjectiveConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The parts of the model that are neither encoder nor decoder."""

    latent_dim: int = 128
    """D, the size of the latent."""
    labels: Literal["none", "one-hot", "embedded"] = "none"
    """What the model is told of an image's class, which makes it conditional; embedded: a learned vector."""
    label_dim: int | None = None
    """For embedded: size of that vector; 32 where none is given."""
    learned_prior: bool = False
    """For a conditional model: p(z | y) is a Gaussian learned for each class, not the same for all."""

    def check(self) -> None:
        """Raises `ValueError` on a bad number, or an option that the labels do not have."""
        expect_positive("--model.latent-dim", self.latent_dim)
        expect_choice("--model.labels", self.labels, ["none", "one-hot", "embedded"])
        if self.label_dim is not None:
            expect_choice("the labels that --model.label-dim is for", self.labels, ["embedded"])
            expect_positive("--model.label-dim", self.label_dim)
        if self.learned_prior:
            wanted = ["one-hot", "embedded"]
            expect_choice("the labels that --model.learned-prior is for", self.labels, wanted)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The data set and its protocol."""

    name: str = "mnist"
    """A name (`jaxvae datasets` lists them), tfds:NAME, or the path of a file or directory."""
    dir: Annotated[Path | None, tyro.conf.arg(aliases=("--data-dir",))] = None
    """Where the files of a name are; for mnist, those of any data set to take in its place."""
    binarization: Literal["static", "dynamic", "threshold", "none"] = "static"
    """How grey pixels become what the model sees."""
    num_validation: int | None = None
    """Images held out to choose the best checkpoint, 0 to train on all; where none is given the data set's
    own, or a sixth of the training images, 10,000 at most."""
    placement: Literal["auto", "resident", "host", "stream"] = "auto"
    """Where training images are: on the device, in the host's memory, or on disk; auto goes by their size."""

    def check(self) -> None:
        """Raises `ValueError` on a bad number or an unknown name."""
        if self.num_validation is not None:
            expect_in_range("--data.num-validation", self.num_validation, 0, float("inf"))
        for name in ("binarization", "placement"):
            hint = typing.get_type_hints(DataConfig)[name]
            expect_choice(f"--data.{name}", getattr(self, name), typing.get_args(hint))


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
    estimator: Literal["importance", "ais"] = "importance"
    """Of log p(x) in the final test figures: importance sampling, or annealed importance sampling."""
    num_images: int | None = None
    """How many of the split's images, from its first; all where none is given."""
    num_samples: int = 1000
    """Importance samples per image."""
    num_chains: int = 16
    """Annealed chains per image."""
    num_temperatures: int = 100
    """Of each chain."""
    num_leapfrog: int = 10
    """Leapfrog steps at each temperature."""
    schedule: Literal["sigmoid", "linear"] = "sigmoid"
    """Of the temperatures."""
    start: Literal["posterior", "encoder", "prior"] = "posterior"
    """What the chains start from: the posterior, in its noise; the encoder's Gaussian, or the prior."""
    batch_size: int | None = None
    """Images at a time: chosen for the device where none is given. Never changes the result."""
    chunk_size: int | None = None
    """Importance samples or chains of an image at a time: likewise."""

    def check(self, prefix: str = "--") -> None:
        """Raises `ValueError` on a number that is not above 0, or an unknown name.

        Args:
            prefix: of the flags that the message names.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            flag = prefix + field.name.replace("_", "-")
            if isinstance(value, int):
                expect_positive(flag, value)
            elif value is not None:
                expect_choice(flag, value, typing.get_args(field.type))


@dataclasses.dataclass(frozen=True)
class Config:
    """A run."""

    steps: int = 30_000
    """Length of the run."""
    batch_size: int = 128
    """Images per step."""
    num_parts: int = 1
    """Equal parts of a batch, over which its gradient is accumulated, for less memory."""
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
    pixelcnn: PixelCNNConfig = PixelCNNConfig()
    likelihood: LikelihoodConfig = LikelihoodConfig()
    posterior: PosteriorConfig = PosteriorConfig()
    prior: PriorConfig = PriorConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    def check(self) -> None:
        """Raises `ValueError` on a value that no run can have."""
        self.evaluate.check("--evaluate.")
        counts = {
            "--steps": self.steps,
            "--batch-size": self.batch_size,
            "--num-parts": self.num_parts,
            "--log-every": self.log_every,
            "--block-size": self.block_size,
        }
        for name, value in counts.items():
            expect_positive(name, value)
        for name in _PARTS:
            getattr(self, name).check(name)
        self.model.check()
        self._check_gradient()
        if self.batch_size % self.num_parts:
            raise expected("--num-parts", f"to divide the batch size {self.batch_size}", self.num_parts)
        expect_in_range("--seed", self.seed, 0, 2**32)
        self.data.check()
        self.likelihood.check_pixels(self.data.binarization)

    def _check_gradient(self) -> None:
        """Raises `ValueError` where the posterior or the prior cannot give what the objective needs."""
        objective, flows = self.objective, (self.posterior.flow, self.prior.flow)
        if objective.name in ("stl", "dreg") and self.posterior.flow != "none":
            raise expected(
                f"--posterior.flow none for the objective {objective.name}",
                "(its gradient needs q(z | x) at a given z, for which a flow would have to be inverted)",
                self.posterior.flow,
            )
        if objective.kl == "closed-form" and flows != ("none", "none"):
            raise expected(
                "a Gaussian posterior and prior for --objective.kl closed-form",
                "(--posterior.flow none --prior.flow none)",
                ", ".join(flow for flow in flows if flow != "none"),
            )


# Each with a choice and options.
_PARTS = ("encoder", "decoder", "pixelcnn", "likelihood", "posterior", "prior", "objective")


def follow_choices(config: Config, wanted: Config) -> Config:
    """`config` with the parts that `wanted` chooses, without the options of those that they replace."""
    return dataclasses.replace(
        config, **{name: getattr(config, name).follow(getattr(wanted, name)) for name in _PARTS}
    )
