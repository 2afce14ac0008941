"""Variational autoencoders in JAX, with a log-likelihood to trust."""

from jaxvae import _without_tensorflow as _without_tensorflow
from jaxvae import decoders as decoders
from jaxvae import encoders as encoders
from jaxvae import estimators as estimators
from jaxvae import flows as flows
from jaxvae import likelihoods as likelihoods
from jaxvae import posteriors as posteriors
from jaxvae import presets as presets
from jaxvae import priors as priors
from jaxvae.data import Dataset as Dataset
from jaxvae.data import load_dataset as load_dataset
from jaxvae.estimators import annealed_log_likelihood as annealed_log_likelihood
from jaxvae.estimators import bidirectional_gap as bidirectional_gap
from jaxvae.estimators import importance_log_likelihood as importance_log_likelihood
from jaxvae.evaluate import make_evaluator as make_evaluator
from jaxvae.model import VAE as VAE
from jaxvae.model import generate as generate
from jaxvae.model import log_joint as log_joint
from jaxvae.model import log_weight as log_weight
from jaxvae.model import make_log_weight as make_log_weight
from jaxvae.model import make_path_weight as make_path_weight
from jaxvae.model import noise_space as noise_space
from jaxvae.model import reconstruct as reconstruct
from jaxvae.model import simulate as simulate
from jaxvae.objectives import dreg as dreg
from jaxvae.objectives import elbo as elbo
from jaxvae.objectives import iwae as iwae
from jaxvae.runs import load_run as load_run
from jaxvae.train import init_state as init_state
from jaxvae.train import make_train_step as make_train_step
from jaxvae.train import train as train

__version__ = "0.1.0"
