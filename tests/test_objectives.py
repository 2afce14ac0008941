from functools import partial

import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import VAE, elbo, iwae, make_log_weight
from jaxvae.flows import Reverse, as_bijector
from jaxvae.model import (
    make_log_weight_terms,
    make_path_terms,
    make_path_weight,
    posterior_divergence,
    prior_divergence,
)
from jaxvae.objectives import dreg, dreg_terms, elbo_terms, iwae_terms, make_loss
from tests.helpers import LATENT_DIM, NOISE, WEIGHT, LinearGaussian, X, exact_log_p, linear_gaussian


def mean_and_error(bound, num_samples, repeats=4000):
    log_weight_fn = make_log_weight(linear_gaussian(), X)
    keys = jax.random.split(jax.random.key(5), repeats)
    values = jax.jit(jax.vmap(lambda key: bound(log_weight_fn, key, num_samples)))(keys)
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


@pytest.mark.parametrize("bound", [elbo, iwae, dreg])
def test_no_samples_are_refused(bound, key):
    with pytest.raises(ValueError, match=r"Expected num_samples to be positive; got 0\."):
        bound(lambda key: 0.0, key, 0)


class Affine(eqx.Module):
    """q(z | x), p(z) and p(x | z) of the exact model, with parameters that can be moved."""

    shift: jax.Array
    log_stretch: jax.Array
    prior_loc: jax.Array
    bias: jax.Array

    def vae(self) -> VAE:
        exact = linear_gaussian(shift=0.0, stretch=1.0)

        def posterior(x, y=None):
            base = exact.posterior(x).distribution
            scale = base.scale * jnp.exp(self.log_stretch)
            return distrax.Independent(distrax.Normal(base.loc + self.shift, scale), 1)

        def prior(y=None):
            return distrax.Independent(distrax.Normal(self.prior_loc, jnp.ones(LATENT_DIM)), 1)

        return VAE(posterior, prior, lambda z, y=None: distrax.Independent(shifted(exact, z, self.bias), 3))


def shifted(exact, z, bias):
    normal = exact.likelihood(z).distribution
    return distrax.Normal(normal.loc + bias, normal.scale)


AFFINE = Affine(
    0.3 * jnp.arange(1.0, 1 + LATENT_DIM),
    jnp.array([0.5, 0.25]),
    jnp.full(LATENT_DIM, 0.2),
    jnp.array(0.1),
)


def plain_elbo(model, key, k):
    return elbo(make_log_weight(model.vae(), X), key, k)


def stl(model, key, k):
    return elbo(make_path_weight(model.vae(), X), key, k)


def plain_iwae(model, key, k):
    return iwae(make_log_weight(model.vae(), X), key, k)


def doubly(model, key, k):
    return dreg(make_path_weight(model.vae(), X), key, k)


def gradients(bound, num_samples, model=AFFINE, repeats=10_000):
    """Of every parameter, flat, one row for each key."""
    keys = jax.random.split(jax.random.key(3), repeats)
    rows = jax.jit(jax.vmap(lambda key: jax.grad(lambda m: bound(m, key, num_samples))(model)))(keys)
    return np.concatenate([np.asarray(leaf).reshape(repeats, -1) for leaf in jax.tree.leaves(rows)], axis=1)


@pytest.mark.parametrize(("plain", "other", "num_samples"), [
    (plain_elbo, stl, 1), (plain_elbo, stl, 4), (plain_iwae, doubly, 1), (plain_iwae, doubly, 8),
])  # fmt: skip
def test_another_gradient_has_the_same_mean_and_of_the_posterior_s_parameters_less_variance(
    plain, other, num_samples
):
    one, two = gradients(plain, num_samples), gradients(other, num_samples)
    error = np.sqrt((one.var(axis=0) + two.var(axis=0)) / len(one))
    assert np.all(np.abs(one.mean(axis=0) - two.mean(axis=0)) < 5 * error)
    assert np.all(np.abs(one.mean(axis=0)) > 5 * error)  # there is something to agree on
    of_posterior = slice(2 * LATENT_DIM)
    assert two[:, of_posterior].var(axis=0).sum() < 0.9 * one[:, of_posterior].var(axis=0).sum()


def test_dreg_s_gradient_of_the_model_s_parameters_is_that_of_iwae_draw_by_draw():
    one, two = gradients(plain_iwae, 8, repeats=20), gradients(doubly, 8, repeats=20)
    np.testing.assert_allclose(one[:, 2 * LATENT_DIM :], two[:, 2 * LATENT_DIM :], rtol=1e-3, atol=1e-4)


def test_sticking_the_landing_has_no_noise_at_the_exact_posterior():
    # With weight zero in all but one column of W, the exact posterior is a diagonal Gaussian.
    exact = LinearGaussian(np.array([[1.0], [0.5]]), np.array([0.2, -0.1]), 0.6, (1, 1, 2)).vae()

    def bound(make, log_stretch, key):
        def posterior(x, y=None):
            normal = exact.posterior(x).distribution
            scale = normal.scale * jnp.exp(log_stretch)
            return distrax.Independent(distrax.Normal(normal.loc, scale), 1)

        x = jnp.array([0.7, -0.3]).reshape(1, 1, 2)
        return elbo(make(VAE(posterior, exact.prior, exact.likelihood), x), key)

    for make, noisy in ((make_path_weight, False), (make_log_weight, True)):
        slope = jax.jit(jax.vmap(jax.grad(partial(bound, make)), in_axes=(None, 0)))
        slopes = slope(0.0, jax.random.split(jax.random.key(1), 50))
        assert (jnp.abs(slopes).max() > 1e-3) == noisy


@pytest.mark.parametrize("bound", [plain_elbo, plain_iwae])
def test_another_gradient_changes_no_value(bound, key):
    other = {plain_elbo: stl, plain_iwae: doubly}[bound]
    np.testing.assert_allclose(bound(AFFINE, key, 8), other(AFFINE, key, 8), rtol=1e-5)


def test_the_terms_of_the_importance_weighted_bound_are_those_of_the_elbo_and_it(key):
    model = AFFINE.vae()
    for terms in (
        iwae_terms(make_log_weight_terms(model, X), key, 8),
        dreg_terms(make_path_terms(model, X), key, 8),
    ):
        np.testing.assert_allclose(terms["iwae"], plain_iwae(AFFINE, key, 8), rtol=1e-5)
        np.testing.assert_allclose(terms["elbo"], plain_elbo(AFFINE, key, 8), rtol=1e-5)
        one = elbo_terms(make_log_weight_terms(model, X), key, 8)
        np.testing.assert_allclose(terms["kl"], one["kl"], rtol=1e-4)


def test_a_closed_form_kl_takes_the_place_of_the_draws(key):
    model = AFFINE.vae()
    exact = prior_divergence(model, X)
    keys = jax.random.split(key, 4000)
    for kl in (None, exact):
        terms = jax.vmap(lambda k, kl=kl: elbo_terms(make_log_weight_terms(model, X), k, kl=kl))(keys)
        error = jnp.std(terms["elbo"]) / 4000**0.5
        assert abs(jnp.mean(terms["elbo"]) - mean_elbo()) < 5 * error
    np.testing.assert_allclose(terms["kl"], exact, rtol=1e-6)


def mean_elbo():
    keys = jax.random.split(jax.random.key(11), 20_000)
    return jnp.mean(jax.vmap(lambda k: plain_elbo(AFFINE, k, 1))(keys))


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


def test_the_weight_of_the_kl_is_beta_and_rises_anew_in_every_cycle():
    combine = make_loss(beta=0.5, kl_warmup_steps=100, kl_cycle_steps=300)
    losses = [combine(TERMS, jnp.array(step)) for step in (0, 50, 100, 299, 300, 350)]
    np.testing.assert_allclose(losses, [80, 85, 90, 90, 80, 85])


def test_the_loss_of_the_importance_weighted_bound_is_its_negative():
    terms = {**TERMS, "iwae": jnp.array(-90.0)}
    np.testing.assert_allclose(make_loss("iwae")(terms, jnp.array(5)), 90)
    np.testing.assert_allclose(make_loss("iwae", consistency=0.5)(terms, jnp.array(5)), 92)


@pytest.mark.parametrize(
    "given", [{"beta": 2.0}, {"kl_warmup_steps": 5}, {"free_bits": 1.0}, {"kl_cycle_steps": 5}]
)
def test_the_importance_weighted_bound_has_no_kl_term(given):
    with pytest.raises(ValueError, match=r"Expected the bound iwae without what is for a KL term; got"):
        make_loss("iwae", **given)


def test_a_posterior_that_hides_its_parameters_is_refused(key):
    class Hidden:
        def __init__(self, normal):
            self.sample, self.log_prob = normal.sample, normal.log_prob

    model = AFFINE.vae()
    hiding = VAE(lambda x, y=None: Hidden(model.posterior(x)), model.prior, model.likelihood)
    with pytest.raises(ValueError, match=r"Expected the posterior to be a pytree of arrays; got Hidden\."):
        make_path_weight(hiding, X)


def test_cycles_without_a_rise_are_refused():
    with pytest.raises(ValueError, match=r"Expected kl_warmup_steps of cycles to be positive; got 0\."):
        make_loss(kl_cycle_steps=8)


def test_a_cycle_shorter_than_its_rise_and_an_unknown_bound_are_refused():
    with pytest.raises(
        ValueError, match=r"Expected kl_cycle_steps to be at least kl_warmup_steps 9; got 8\."
    ):
        make_loss(kl_warmup_steps=9, kl_cycle_steps=8)
    with pytest.raises(ValueError, match=r"Expected bound to be one of elbo, iwae; got 'iwea' \(near: iwae"):
        make_loss("iwea")


def test_free_bits_cost_nothing_and_pull_at_nothing():
    def loss(kl, free_bits):
        return make_loss(free_bits=free_bits)({"elbo": -80 - kl, "kl": kl}, jnp.array(7))

    for free_bits, value, slope in ((5.0, 100, 1), (30.0, 110, 0)):
        np.testing.assert_allclose(jax.value_and_grad(loss)(20.0, free_bits), (value, slope))


def test_consistency_adds_its_weight_times_the_divergence():
    np.testing.assert_allclose(make_loss(consistency=0.5)(TERMS, jnp.array(7)), 102)


@pytest.mark.parametrize("name", ["beta", "kl_warmup_steps", "free_bits", "consistency"])
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
