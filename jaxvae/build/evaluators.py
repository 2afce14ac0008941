"""Evaluators by the names of their estimators."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from jaxvae import data
from jaxvae._checks import expect_choice
from jaxvae._typing import Distribution, Key, LogJointFn
from jaxvae.build.models import num_pixel_maps
from jaxvae.config import Config
from jaxvae.estimators import (
    Estimate,
    annealed_log_likelihood,
    bidirectional_gap,
    importance_log_likelihood,
    linear_schedule,
    sigmoid_schedule,
)
from jaxvae.evaluate import EstimateFn, Evaluator, make_evaluator
from jaxvae.labels import one_hot
from jaxvae.latents import LatentEvaluator, latent_statistics, make_latent_evaluator
from jaxvae.model import VAE, log_joint, make_log_weight, noise_space, simulate

SCHEDULES = {"sigmoid": sigmoid_schedule, "linear": linear_schedule}

# Of the posterior of an image where its divergence from the prior has no closed form.
_LATENT_DRAWS = 50

# Up to so many maps of the decoder for each channel, they are not what takes the memory.
_FEW_MAPS = 8

_T = TypeVar("_T")


def build_evaluator(config: Config, *, num_classes: int = 0, training: bool = False) -> Evaluator:
    """The evaluator of stored images, and of their classes `(N,)`, by the estimator of `config.evaluate`.

    Args:
        config: whose settings to use.
        num_classes: Y, of the data set; 0 where the model is not conditional.
        training: whether the images are training images, which `dynamic` binarises afresh.

    Raises:
        ValueError: if the model does not have the start.
    """
    make = {"importance": _make_importance, "ais": _make_annealed}[config.evaluate.estimator]
    score, batch_size = make(config)
    estimate = _of_stored(config, num_classes, training, score)
    return make_evaluator(estimate, batch_size=config.evaluate.batch_size or batch_size)


# One for the same settings: what looks at a run again and again is compiled once.
@functools.lru_cache(maxsize=4)
def build_latent_evaluator(
    config: Config, *, num_classes: int = 0, training: bool = False
) -> LatentEvaluator:
    """What measures the use of the latents of exactly those images that `build_evaluator` scores.

    Args:
        config: whose settings to use.
        num_classes: Y, of the data set; 0 where the model is not conditional.
        training: whether the images are training images, which `dynamic` binarises afresh.
    """
    measure = _of_stored(
        config, num_classes, training, functools.partial(latent_statistics, num_draws=_LATENT_DRAWS)
    )
    return make_latent_evaluator(measure, batch_size=config.evaluate.batch_size or _batch_size())


def _of_stored(
    config: Config, num_classes: int, training: bool, fn: Callable[[VAE, Key, Any, Any], _T]
) -> Callable[..., _T]:
    """A function of what the model sees as one of an image and its class as they are stored."""
    prepare = data.make_prepare(config.data.binarization, training=training)

    def of_stored(model: VAE, key: Key, image, y) -> _T:
        prepare_key, draws_key = jax.random.split(key)
        return fn(model, draws_key, prepare(prepare_key, image), one_hot(y, num_classes))

    return of_stored


def _batch_size() -> int:
    return 100 if jax.default_backend() == "cpu" else 1000


def _chunk_size(config: Config, fitting: int) -> int:
    """What was asked for, or as many as fit of one map for each channel, and fewer where there are many."""
    return config.evaluate.chunk_size or max(1, fitting * _FEW_MAPS // max(_FEW_MAPS, num_pixel_maps(config)))


def build_bounds(config: Config, *, num_classes: int = 0) -> Evaluator:
    """The evaluator of simulated images, from both sides; it takes their numbers in the place of images.

    Args:
        config: whose settings to use.
        num_classes: Y, of the data set; 0 where the model is not conditional.

    Raises:
        ValueError: if the model does not have the start.
    """
    options, batch_size = _annealing_options(config)

    def estimate(model: VAE, key: Key, _, y) -> Estimate:
        simulate_key, chains_key = jax.random.split(key)
        y = one_hot(y, num_classes)
        x, z = simulate(model, simulate_key, y)
        log_joint_fn, start, to_space = _annealing_space(config.evaluate.start, model, x, y)
        return bidirectional_gap(log_joint_fn, start, to_space(z), chains_key, **options)

    return make_evaluator(estimate, batch_size=config.evaluate.batch_size or batch_size)


def _make_importance(config: Config) -> tuple[EstimateFn, int]:
    chunk_size = _chunk_size(config, 40 if jax.default_backend() == "cpu" else 50)
    num_samples = config.evaluate.num_samples

    def score(model: VAE, key: Key, x, y) -> Estimate:
        log_weight_fn = make_log_weight(model, x, y)
        return importance_log_likelihood(log_weight_fn, key, num_samples=num_samples, chunk_size=chunk_size)

    return score, _batch_size()


def _make_annealed(config: Config) -> tuple[EstimateFn, int]:
    options, batch_size = _annealing_options(config)

    def score(model: VAE, key: Key, x, y) -> Estimate:
        log_joint_fn, start, _ = _annealing_space(config.evaluate.start, model, x, y)
        return annealed_log_likelihood(log_joint_fn, start, key, **options)

    return score, batch_size


def _annealing_options(config: Config) -> tuple[dict[str, Any], int]:
    """The options of the chains, and how many images suit the device."""
    given = config.evaluate
    if config.posterior.flow != "none":
        expect_choice("the start of a model with a flow posterior", given.start, ["posterior", "prior"])
    batch_size, chunk_size = (25, 16) if jax.default_backend() == "cpu" else (1000, 16)
    return {
        "schedule": SCHEDULES[given.schedule](given.num_temperatures),
        "num_chains": given.num_chains,
        "num_leapfrog": given.num_leapfrog,
        "chunk_size": _chunk_size(config, chunk_size),
    }, batch_size


def _annealing_space(start: str, model: VAE, x, y) -> tuple[LogJointFn, Distribution, Callable[[Any], Any]]:
    """The density to reach, what to start from, and the map from a latent to where the chains are."""
    if start == "posterior":
        space = noise_space(model, x, y)
        return space.log_joint_fn, space.start, space.bijector.inverse
    distribution = model.prior(y) if start == "prior" else model.posterior(x, y)
    return lambda z: log_joint(model, z, x, y), distribution, lambda z: z
