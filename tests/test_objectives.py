import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import VAE, elbo, iwae, make_log_weight
from jaxvae.flows import Reverse, as_bijector
from jaxvae.model import make_log_weight_terms, posterior_divergence
from jaxvae.objectives import elbo_terms, make_loss
from tests.helpers import X, exact_log_p, linear_gaussian


def mean_and_error(bound, num_samples, repeats=4000):
    log_weight_fn = make_log_weight(linear_gaussian(), X)
    keys = jax.random.split(jax.random.key(5), repeats)
    values = jax.vmap(lambda key: bound(log_weight_fn, key, num_samples))(keys)
    return float(jnp.mean(values)), float(jnp.std(values) / jnp.sqrt(repeats))


def test_bounds_rise_from_the_elbo_through_iwae_to_the_exact_log_p():
    bounds = [mean_and_error(elbo, 1), *(mean_and_error(iwae, k) for k in (2, 8, 64))]
    for (low, low_error), (high, high_error) in zip(bounds[:-1], bounds[1:], strict=True):
        assert high - low > 3 * (low_error + high_error)
    value, error = bounds[-1]
    assert value < exact_log_p(X) + 5 * error
    assert exact_log_p(X) - value < 0.05


def test_elbo_of_more_samples_has_the_same_mean():
    one, many = mean_and_error(elbo, 1), mean_and_error(elbo, 16)
    assert abs(one[0] - many[0]) < 5 * (one[1] + many[1])
    assert many[1] < one[1] / 3


def test_elbo_falls_short_of_log_p_by_the_exact_divergence():
    # KL(q || p(z | x)) with q = N(m + shift, diag(stretch^2 d)), against the exact posterior N(m, S).
    from tests.helpers import LATENT_DIM, NOISE, WEIGHT

    precision = np.eye(LATENT_DIM) + np.asarray(WEIGHT.T @ WEIGHT) / NOISE**2
    variance = 1.3**2 * np.diag(np.linalg.inv(precision))
    shift = np.full(LATENT_DIM, 0.3)
    kl = 0.5 * (
        np.sum(np.diag(precision) * variance)
        + shift @ precision @ shift
        - LATENT_DIM
        - np.linalg.slogdet(precision)[1]
        - np.sum(np.log(variance))
    )
    value, error = mean_and_error(elbo, 16)
    assert abs(value - (exact_log_p(X) - kl)) < 5 * error


@pytest.mark.parametrize("bound", [elbo, iwae])
def test_one_sample_gives_that_log_weight(bound, key):
    log_weight_fn = make_log_weight(linear_gaussian(), X)
    np.testing.assert_allclose(
        bound(log_weight_fn, key, 1), log_weight_fn(jax.random.split(key, 1)[0]), rtol=1e-6
    )


@pytest.mark.parametrize("bound", [elbo, iwae])
def test_no_samples_are_refused(bound, key):
    with pytest.raises(ValueError, match=r"Expected num_samples to be positive; got 0\."):
        bound(lambda key: 0.0, key, 0)


TERMS = {"elbo": jnp.array(-100.0), "kl": jnp.array(20.0), "consistency": jnp.array(4.0)}


def test_terms_are_the_elbo_and_a_kl_that_agrees_with_its_closed_form(key):
    model = linear_gaussian()
    keys = jax.random.split(key, 4000)
    terms = jax.vmap(lambda k: elbo_terms(make_log_weight_terms(model, X), k, 2))(keys)
    one, two = (jax.vmap(lambda k: elbo(make_log_weight(model, X), k, 2))(keys), terms["elbo"])
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)
    exact = model.posterior(X).kl_divergence(model.prior())
    error = jnp.std(terms["kl"]) / 4000**0.5
    assert abs(jnp.mean(terms["kl"]) - exact) < 5 * error
    assert error < 0.05


def test_the_loss_is_the_negative_elbo_where_nothing_is_asked_for():
    np.testing.assert_allclose(make_loss()(TERMS, jnp.array(0)), 100)


def test_the_weight_of_the_kl_rises_from_0_to_1():
    combine = make_loss(kl_warmup_steps=200)
    losses = [combine(TERMS, jnp.array(step)) for step in (0, 50, 200, 10**6)]
    np.testing.assert_allclose(losses, [80, 85, 100, 100])


def test_free_bits_cost_nothing_and_pull_at_nothing():
    def loss(kl, free_bits):
        return make_loss(free_bits=free_bits)({"elbo": -80 - kl, "kl": kl}, jnp.array(7))

    for free_bits, value, slope in ((5.0, 100, 1), (30.0, 110, 0)):
        np.testing.assert_allclose(jax.value_and_grad(loss)(20.0, free_bits), (value, slope))


def test_consistency_adds_its_weight_times_the_divergence():
    np.testing.assert_allclose(make_loss(consistency=0.5)(TERMS, jnp.array(7)), 102)


@pytest.mark.parametrize("name", ["kl_warmup_steps", "free_bits", "consistency"])
def test_a_negative_number_is_refused(name):
    with pytest.raises(ValueError, match=rf"Expected {name} to be at least 0 and below inf; got -1\."):
        make_loss(**{name: -1})


def test_the_divergence_of_two_posteriors_agrees_with_a_flow_s_estimate(key):
    model, other = linear_gaussian(), X + 0.3
    exact = posterior_divergence(model, key, X, other)
    assert exact > 0.05
    reverse = Reverse()

    def as_flow(x, y=None):
        return distrax.Transformed(model.posterior(x), as_bijector(reverse, x.ravel()))

    sampled = VAE(as_flow, model.prior, model.likelihood)
    keys = jax.random.split(key, 4000)
    estimates = jax.vmap(lambda k: posterior_divergence(sampled, k, X, other))(keys)
    assert abs(jnp.mean(estimates) - exact) < 5 * jnp.std(estimates) / 4000**0.5
    np.testing.assert_allclose(posterior_divergence(model, key, X, X), 0, atol=1e-5)
