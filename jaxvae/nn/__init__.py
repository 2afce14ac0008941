"""Layers and networks that act on one example."""

from jaxvae.nn.dense import MLP as MLP
from jaxvae.nn.dense import Linear as Linear
from jaxvae.nn.masked import MADE as MADE
from jaxvae.nn.masked import MaskedLinear as MaskedLinear
from jaxvae.nn.weight_norm import WeightNorm as WeightNorm
from jaxvae.nn.weight_norm import initialize_from_data as initialize_from_data
