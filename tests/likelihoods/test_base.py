"""What holds for every distribution of pixels, and the likelihood that is made of one."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.likelihoods import Bernoulli, Likelihood
from tests.likelihoods.table import CASES, SHAPE, masses

NUM_SAMPLES = 20_000


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def samples(case):
    return jax.jit(lambda key: case.make().sample(seed=key, sample_shape=(NUM_SAMPLES,)))(jax.random.key(11))


def test_the_cells_of_a_pixel_have_a_probability_of_one_together(case):
    np.testing.assert_allclose(masses(*case._replace(make=case.make())).sum(axis=0), 1, atol=1e-5)


def test_samples_have_the_mean(case, samples):
    distribution = case.make()
    chex.assert_shape(samples, (NUM_SAMPLES, *SHAPE))
    chex.assert_shape(distribution.mean(), SHAPE)
    error = np.std(samples, axis=0) / np.sqrt(NUM_SAMPLES)
    assert np.all(error > 0)
    assert np.all(np.abs(np.mean(samples, axis=0) - distribution.mean()) < 5 * error)


def test_samples_are_as_frequent_as_log_prob_says(case, samples):
    wanted = NUM_SAMPLES * masses(case.make(), case.centres, case.width)
    spacing = case.centres[1] - case.centres[0]
    places = np.rint((np.asarray(samples).reshape(NUM_SAMPLES, -1) - case.centres[0]) / spacing).astype(int)
    for pixel in range(wanted.shape[1]):
        found = np.bincount(places[:, pixel], minlength=len(wanted))
        # At most 30 groups of neighbours that hold about as many samples each.
        groups = (np.cumsum(wanted[:, pixel]) / NUM_SAMPLES * 29.999).astype(int).clip(0, 29)
        expected, observed = (np.bincount(groups, counts) for counts in (wanted[:, pixel], found))
        expected, observed = (counts[expected > 5] for counts in (expected, observed))
        freedom = len(expected) - 1
        assert freedom > 0
        chi_square = np.sum((observed - expected) ** 2 / expected)
        assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom), (pixel, chi_square, freedom)


def test_leading_axes_are_images_of_their_own(case, samples):
    score = jax.jit(lambda images: case.make().log_prob(images))
    log_probs = score(samples[:6].reshape(2, 3, *SHAPE))
    chex.assert_shape(log_probs, (2, 3))
    assert log_probs.dtype == jnp.float32
    one_by_one = [score(image) for image in samples[:6]]
    np.testing.assert_allclose(log_probs.ravel(), np.stack(one_by_one), rtol=1e-6)


def test_an_image_of_another_shape_is_refused(case):
    with pytest.raises(AssertionError):
        case.make().log_prob(jnp.zeros((2, 2, 2)))


def test_a_mode_is_as_probable_as_any_sample(case, samples):
    distribution = case.make()
    try:
        mode = distribution.mode()
    except NotImplementedError:
        return
    best = distribution.log_prob(mode)
    assert np.all(distribution.log_prob(samples[:500]) <= best + 1e-5)
    assert distribution.log_prob(mode + 0 * samples[0]) == best


def test_likelihood_hands_latent_and_label_to_the_decoder():
    likelihood = Likelihood(lambda z, y: (z + (0 if y is None else y)).reshape(1, 1, 2), Bernoulli)
    np.testing.assert_array_equal(likelihood(jnp.ones(2)).logits, jnp.ones((1, 1, 2)))
    np.testing.assert_array_equal(likelihood(jnp.ones(2), jnp.ones(2)).logits, 2 * jnp.ones((1, 1, 2)))


def test_a_distribution_without_parameters_is_no_leaf_of_the_model():
    likelihood = Likelihood(eqx.nn.Identity(), Bernoulli)
    assert jax.tree.leaves(likelihood) == []
    assert jax.tree.structure(likelihood) == jax.tree.structure(Likelihood(eqx.nn.Identity(), Bernoulli))
