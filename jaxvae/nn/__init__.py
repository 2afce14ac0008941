"""Layers and networks that act on one example."""

from jaxvae.nn.dense import MLP as MLP
from jaxvae.nn.dense import Linear as Linear
