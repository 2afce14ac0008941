"""Which networks encode and decode, and their options."""

import dataclasses
import typing
from typing import ClassVar, Literal

from jaxvae.config.options import Activation, Options

NetworkName = Literal["dense", "resnet", "gated-conv"]
_CONV = ("maps", "strides", "remat", "weight_norm")


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Options):
    """A network; each option is for the networks it names, with their own defaults where none is given."""

    kind: ClassVar[str] = "network"
    choices: ClassVar[tuple[str, ...]] = typing.get_args(NetworkName)

    network: NetworkName = "dense"
    """Which."""
    widths: tuple[int, ...] | None = None
    """For dense: hidden layers."""
    activation: Activation | None = None
    """For dense: between the layers."""
    init: Literal["he", "uniform"] | None = None
    """For dense: of the weights; he for ReLU, or uniform as PyTorch does."""
    skip: bool | None = None
    """For dense: whether the input is given to every layer."""
    maps: tuple[int, ...] | None = None
    """For resnet, gated-conv: of each stage, from the image's side."""
    strides: tuple[int, ...] | None = None
    """Likewise: of each stage."""
    num_blocks: int | None = None
    """For resnet: residual blocks of each stage."""
    branch_scale: float | None = None
    """For resnet: of what a block adds."""
    kernel_size: int | None = None
    """For gated-conv."""
    remat: bool | None = None
    """For resnet, gated-conv: compute the layers again in the backward pass, for less memory."""
    weight_norm: bool | None = None
    """Weight normalisation, initialised from the first images."""


@dataclasses.dataclass(frozen=True)
class EncoderConfig(NetworkConfig):
    """The encoder."""

    takers: ClassVar[dict[str, tuple[str, ...]]] = {
        "dense": ("widths", "activation", "init", "skip", "weight_norm", "scale", "scale_bias"),
        "resnet": ("num_blocks", "branch_scale", "width", "scale", "scale_bias", *_CONV),
        "gated-conv": ("kernel_size", "width", "scale", "scale_bias", *_CONV),
    }
    any_number: ClassVar[tuple[str, ...]] = ("scale_bias",)

    width: int | None = None
    """For resnet, gated-conv: of the dense layer after the convolutions."""
    scale: Literal["softplus", "exp"] | None = None
    """From the last layer to the posterior's standard deviation."""
    scale_bias: float | None = None
    """Added before that."""


@dataclasses.dataclass(frozen=True)
class DecoderConfig(NetworkConfig):
    """The decoder."""

    takers: ClassVar[dict[str, tuple[str, ...]]] = {
        "dense": ("widths", "activation", "init", "skip", "weight_norm"),
        "resnet": ("num_blocks", "branch_scale", "upsample", *_CONV),
        "gated-conv": ("kernel_size", *_CONV),
    }

    upsample: Literal["transposed", "resize"] | None = None
    """For resnet: how it goes up."""


@dataclasses.dataclass(frozen=True)
class PixelCNNConfig(Options):
    """An autoregressive model of the pixels after the decoder, which then gives its context."""

    kind: ClassVar[str] = "model"
    choices: ClassVar[tuple[str, ...]] = ("none", "gated")
    takers: ClassVar[dict[str, tuple[str, ...]]] = {
        "gated": ("num_layers", "maps", "first_kernel_size", "kernel_size", "context_maps")
    }

    model: Literal["none", "gated"] = "none"
    """Gated PixelCNN, or none for pixels that are independent given the latent."""
    num_layers: int | None = None
    """Of both stacks."""
    maps: int | None = None
    """Of each stack."""
    first_kernel_size: int | None = None
    """Of the first layer, odd."""
    kernel_size: int | None = None
    """Of the other layers, odd; 1 leaves the receptive field at the first layer's."""
    context_maps: int | None = None
    """Maps from the decoder to every layer."""
