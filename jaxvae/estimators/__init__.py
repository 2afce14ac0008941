"""Estimators of log p(x) for one image; each takes callables and returns an `Estimate`."""

from jaxvae.estimators.ais import annealed_log_likelihood as annealed_log_likelihood
from jaxvae.estimators.ais import bidirectional_gap as bidirectional_gap
from jaxvae.estimators.ais import linear_schedule as linear_schedule
from jaxvae.estimators.ais import sigmoid_schedule as sigmoid_schedule
from jaxvae.estimators.estimate import Estimate as Estimate
from jaxvae.estimators.importance import importance_log_likelihood as importance_log_likelihood
