"""From names in a config to objects; the only place that does this."""

from jaxvae.build.evaluators import build_bounds as build_bounds
from jaxvae.build.evaluators import build_evaluator as build_evaluator
from jaxvae.build.evaluators import build_latent_evaluator as build_latent_evaluator
from jaxvae.build.models import build_model as build_model
from jaxvae.build.training import build_dataset as build_dataset
from jaxvae.build.training import build_optimizer as build_optimizer
from jaxvae.build.training import build_prepare as build_prepare
from jaxvae.build.training import build_schedule as build_schedule
from jaxvae.build.training import build_training as build_training
from jaxvae.build.training import is_resident as is_resident
from jaxvae.build.training import make_key as make_key
