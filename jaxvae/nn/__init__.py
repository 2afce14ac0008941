"""Layers and networks that act on one example."""

from jaxvae.nn.conv import Conv as Conv
from jaxvae.nn.dense import MLP as MLP
from jaxvae.nn.dense import Linear as Linear
from jaxvae.nn.gated_conv import GatedConv as GatedConv
from jaxvae.nn.gated_conv import GatedConvDown as GatedConvDown
from jaxvae.nn.gated_conv import GatedConvUp as GatedConvUp
from jaxvae.nn.masked import MADE as MADE
from jaxvae.nn.masked import MaskedLinear as MaskedLinear
from jaxvae.nn.pixelcnn import PixelCNN as PixelCNN
from jaxvae.nn.resnet import ResidualBlock as ResidualBlock
from jaxvae.nn.resnet import ResNetDown as ResNetDown
from jaxvae.nn.resnet import ResNetUp as ResNetUp
from jaxvae.nn.weight_norm import WeightNorm as WeightNorm
from jaxvae.nn.weight_norm import initialize_from_data as initialize_from_data
