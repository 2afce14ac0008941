import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxvae.likelihoods import Categorical, DiscretizedLogistic, LogisticMixture
from tests.likelihoods.table import levels, masses

# Of the logistic: inside, on a level and on an edge between two, at the ends, beyond and far beyond.
LOCS = np.array([0.31, 100 / 255, 100.5 / 255, 0.0, 1.0, -0.3, 1.2, -5e3, 5e3], np.float32)
SCALES = np.array([1e-5, 4.5e-4, 3e-3, 0.05, 1.0, 500.0], np.float32)
LOC, SCALE = (a.reshape(1, *a.shape) for a in np.meshgrid(LOCS, SCALES))


def sharp_logits(seed: int, num: int) -> np.ndarray:
    random = np.random.RandomState(seed)
    # Close to one another at 1e4 too, where a float32 is only good to 1e-3.
    scales, offsets = (np.reshape(a, (4, 1, 1)) for a in ([1.0, 30.0, 1e4, 1.0], [0.0, 0.0, 0.0, 1e4]))
    return (scales * random.standard_normal((num, 4, 2, 5)) + offsets).astype(np.float32)


def make_mixture() -> LogisticMixture:
    loc = np.stack([LOC, LOC[:, ::-1], LOC[:, :, ::-1]])
    scale = np.stack([SCALE, SCALE[:, :, ::-1], SCALE[:, ::-1]])
    logits = np.random.RandomState(5).choice([-1e4, 0.0, 0.5, 1e4], loc.shape)
    return LogisticMixture(*(jnp.asarray(a, jnp.float32) for a in (logits, loc, scale)))


EXTREME = {
    "discretized logistic": lambda: DiscretizedLogistic(jnp.asarray(LOC), jnp.asarray(SCALE)),
    "logistic mixture": make_mixture,
    "categorical": lambda: Categorical(jnp.asarray(sharp_logits(3, 256))),
}


@pytest.mark.parametrize("name", EXTREME)
def test_probabilities_sum_to_one_whatever_the_parameters(name):
    np.testing.assert_allclose(masses(EXTREME[name](), levels(256)).sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("name", EXTREME)
def test_the_mean_is_that_of_the_probabilities(name):
    distribution = EXTREME[name]()
    wanted = levels(256) @ masses(distribution, levels(256))
    np.testing.assert_allclose(distribution.mean().ravel(), wanted, atol=1e-5)


def log_probability(level: np.ndarray, loc: np.ndarray, scale: np.ndarray, num_levels: int) -> np.ndarray:
    """Of a logistic variable between its level's edges, in float64, from the nearer tail."""
    level, loc, scale = (np.asarray(a, np.float64) for a in (level, loc, scale))
    half, last = 0.5 / (num_levels - 1), num_levels - 1
    upper = np.where(level == last, np.inf, (level / last + half - loc) / scale)
    lower = np.where(level == 0, -np.inf, (level / last - half - loc) / scale)
    flip = upper + lower > 0
    upper, lower = np.where(flip, -lower, upper), np.where(flip, -upper, lower)
    log_upper, log_lower = special.log_expit(upper), special.log_expit(lower)
    return log_upper + np.log(-np.expm1(log_lower - log_upper))


def test_a_discretized_logistic_is_the_difference_of_its_cdf_in_both_tails():
    level = np.arange(0, 256, 5).reshape(-1, 1, 1, 1)
    value = np.broadcast_to(level / np.float32(255), (len(level), *LOC.shape)).astype(np.float32)
    found = EXTREME["discretized logistic"]().log_prob_of_pixels(jnp.asarray(value))
    wanted = log_probability(level, LOC, SCALE, 256)
    assert wanted.min() < -1e6
    # A small scale magnifies the rounding of loc.
    error = np.abs(found - wanted) / (1e-5 + 1e-7 / SCALE + 1e-5 * np.abs(wanted))
    assert error.max() < 1


def test_a_mixture_is_one_of_its_components(key):
    logits, loc, log_scale, x = (
        np.asarray(jax.random.normal(k, (4, 2, 3, 3))) for k in jax.random.split(key, 4)
    )
    loc, scale, level = 0.5 + loc / 4, 0.05 * np.exp(log_scale), np.rint(8 * special.expit(x[0]))
    components = log_probability(level, loc, scale, 9)
    wanted = special.logsumexp(special.log_softmax(logits.astype(np.float64), axis=0) + components, axis=0)
    mixture = LogisticMixture(*map(jnp.asarray, (logits, loc, scale)), num_levels=9)
    np.testing.assert_allclose(mixture.log_prob(jnp.asarray(level / 8)), wanted.sum(), rtol=1e-5)


def test_a_categorical_has_the_softmax_of_its_logits():
    logits = sharp_logits(4, 256)
    level = np.random.RandomState(6).randint(0, 256, logits.shape[1:])
    wanted = np.take_along_axis(special.log_softmax(logits.astype(np.float64), axis=0), level[None], axis=0)
    value = jnp.asarray(level / 255, jnp.float32)
    np.testing.assert_allclose(Categorical(jnp.asarray(logits)).log_prob(value), wanted.sum(), rtol=1e-5)


@pytest.mark.parametrize("name", EXTREME)
def test_samples_are_levels_whatever_the_parameters(name, key):
    samples = jax.jit(lambda key: EXTREME[name]().sample(seed=key, sample_shape=(20,)))(key)
    np.testing.assert_allclose(255 * samples, np.rint(255 * samples), atol=1e-4)
    assert jnp.all((samples >= 0) & (samples <= 1))
