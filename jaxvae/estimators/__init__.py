"""Estimators of log p(x) for one image; each takes callables and returns an `Estimate`."""

from jaxvae.estimators.estimate import Estimate as Estimate
from jaxvae.estimators.importance import importance_log_likelihood as importance_log_likelihood
