"""What a run is made of, as frozen dataclasses; the only place that holds defaults."""

from jaxvae.config.convert import from_dict as from_dict
from jaxvae.config.convert import to_dict as to_dict
from jaxvae.config.convert import to_flags as to_flags
from jaxvae.config.flows import FlowConfig as FlowConfig
from jaxvae.config.flows import FlowName as FlowName
from jaxvae.config.flows import PosteriorConfig as PosteriorConfig
from jaxvae.config.flows import PriorConfig as PriorConfig
from jaxvae.config.likelihoods import PIXEL_LEVELS as PIXEL_LEVELS
from jaxvae.config.likelihoods import LikelihoodConfig as LikelihoodConfig
from jaxvae.config.networks import DecoderConfig as DecoderConfig
from jaxvae.config.networks import EncoderConfig as EncoderConfig
from jaxvae.config.networks import NetworkConfig as NetworkConfig
from jaxvae.config.networks import PixelCNNConfig as PixelCNNConfig
from jaxvae.config.objectives import ObjectiveConfig as ObjectiveConfig
from jaxvae.config.options import Options as Options
from jaxvae.config.run import Config as Config
from jaxvae.config.run import DataConfig as DataConfig
from jaxvae.config.run import EvaluateConfig as EvaluateConfig
from jaxvae.config.run import ModelConfig as ModelConfig
from jaxvae.config.run import OptimizerConfig as OptimizerConfig
from jaxvae.config.run import follow_choices as follow_choices
