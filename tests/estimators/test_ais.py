"""Annealed importance sampling on a model whose log p(x) is known: D = 8, 64 pixels."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import (
    VAE,
    annealed_log_likelihood,
    bidirectional_gap,
    importance_log_likelihood,
    log_joint,
    make_log_weight,
    noise_space,
    simulate,
)
from jaxvae.encoders import Encoding
from jaxvae.estimators import linear_schedule, sigmoid_schedule
from jaxvae.flows import make_iaf
from jaxvae.posteriors import FlowPosterior
from tests.helpers import WIDE, assert_within_standard_errors

pytestmark = pytest.mark.usefixtures("compile_fast")

# Halved and moved, on purpose.
WRONG = {"shift": 1.0, "stretch": 0.5}
IMAGE, _ = simulate(WIDE.vae(), jax.random.key(11))


def space(model, x, start):
    """The density, what to start from, and the map from a latent to there."""
    if start == "noise":
        there = noise_space(model, x)
        return there.log_joint_fn, there.start, there.bijector.inverse
    distribution = model.prior() if start == "prior" else model.posterior(x)
    return lambda z: log_joint(model, z, x), distribution, lambda z: z


def annealed(model, key, x, start, make=sigmoid_schedule, num_temperatures=100, **options):
    log_joint_fn, distribution, _ = space(model, x, start)
    schedule = make(num_temperatures)
    return annealed_log_likelihood(log_joint_fn, distribution, key, schedule=schedule, **options)


anneal = eqx.filter_jit(annealed)


def flow_model() -> VAE:
    """The linear-Gaussian model with two random IAF steps in its posterior, far from the identity."""
    flow_key, noise_key = jax.random.split(jax.random.key(3))
    flow = make_iaf(8, num_flows=2, widths=(16,), context_dim=8, key=flow_key)
    leaves, structure = jax.tree.flatten(eqx.filter(flow, eqx.is_inexact_array))
    keys = jax.random.split(noise_key, len(leaves))
    moves = [0.07 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    flow = eqx.apply_updates(flow, jax.tree.unflatten(structure, moves))

    def encoder(x, y):
        loc, covariance = WIDE.posterior_moments(x)
        return Encoding(loc, 3 * jnp.sqrt(jnp.diag(covariance)), loc)

    exact = WIDE.vae()
    return VAE(FlowPosterior(encoder, flow), exact.prior, exact.likelihood)


def assert_exact(estimate, exact):
    assert_within_standard_errors(estimate.log_p, exact, estimate.standard_error, count=4)
    assert estimate.effective_sample_size > 30


@pytest.mark.parametrize(("start", "num_temperatures"), [("prior", 200), ("posterior", 40), ("noise", 40)])
def test_the_exact_log_p_is_within_four_standard_errors(key, start, num_temperatures):
    options = {"num_chains": 200, "chunk_size": 200, "num_temperatures": num_temperatures}
    estimate = anneal(WIDE.vae(), key, IMAGE, start, **options)
    assert_exact(estimate, WIDE.exact_log_p(IMAGE))
    assert 0.5 < estimate.acceptance < 0.8
    assert estimate.reliable


def test_a_flow_posterior_is_annealed_in_its_noise(key):
    estimate = anneal(flow_model(), key, IMAGE, "noise", num_chains=400, chunk_size=400, num_temperatures=200)
    assert_exact(estimate, WIDE.exact_log_p(IMAGE))
    # The flow is far off: without annealing there would be little.
    assert estimate.elbo < WIDE.exact_log_p(IMAGE) - 3


def test_a_posterior_that_is_wrong_is_flagged_and_mended(key):
    model, exact = WIDE.vae(**WRONG), WIDE.exact_log_p(IMAGE)
    sampled = importance_log_likelihood(make_log_weight(model, IMAGE), key, num_samples=1000, chunk_size=1000)
    assert not sampled.reliable
    assert sampled.log_p < exact - 0.5
    for start in ("posterior", "noise"):
        estimate = anneal(model, key, IMAGE, start, num_chains=1000, chunk_size=1000)
        assert_exact(estimate, exact)
        assert estimate.reliable


def test_importance_sampling_from_a_good_posterior_is_not_flagged(key):
    sampled = importance_log_likelihood(
        make_log_weight(WIDE.vae(stretch=1.2), IMAGE), key, num_samples=5000, chunk_size=5000
    )
    assert sampled.reliable
    assert_within_standard_errors(sampled.log_p, WIDE.exact_log_p(IMAGE), sampled.standard_error, count=4)


def test_weights_are_constant_where_the_start_is_the_posterior(key):
    model = WIDE.vae()
    estimate = annealed_log_likelihood(
        lambda z: log_joint(model, z, IMAGE),
        WIDE.exact_posterior(IMAGE),
        key,
        num_chains=8,
        schedule=linear_schedule(5),
    )
    np.testing.assert_allclose(estimate.log_p, WIDE.exact_log_p(IMAGE), atol=2e-3)
    np.testing.assert_allclose(estimate.effective_sample_size, 8, rtol=1e-4)


@pytest.mark.parametrize("start", ["prior", "posterior", "noise"])
def test_forward_is_below_and_reverse_above(start):
    # Crude on purpose, so that there is a gap to see: two chains, few temperatures.
    model = WIDE.vae(**WRONG)
    count = 300

    @jax.vmap
    def bound(key):
        simulate_key, chains_key = jax.random.split(key)
        x, z = simulate(model, simulate_key)
        log_joint_fn, distribution, to_there = space(model, x, start)
        schedule = linear_schedule(8)
        return x, bidirectional_gap(
            log_joint_fn, distribution, to_there(z), chains_key, num_chains=2, schedule=schedule
        )

    images, estimates = jax.jit(bound)(jax.random.split(jax.random.key(8), count))
    chex.assert_shape(estimates.upper, (count,))
    exact = np.array([WIDE.exact_log_p(x) for x in images])
    for low, high in ((estimates.log_p, exact), (exact, estimates.upper)):
        difference = np.asarray(high - low)
        assert difference.mean() > 4 * difference.std() / np.sqrt(count) > 0
    np.testing.assert_allclose(estimates.gap, estimates.upper - estimates.log_p)
    assert np.all(np.isfinite(estimates.acceptance))


@pytest.mark.parametrize("start", ["prior", "posterior", "noise"])
def test_both_directions_are_unbiased(start):
    # The mean over many images of p-hat / p, and of p / p-hat of the reverse, is 1.
    model, count = WIDE.vae(stretch=1.3), 400

    @jax.vmap
    def bound(key):
        simulate_key, chains_key = jax.random.split(key)
        x, z = simulate(model, simulate_key)
        log_joint_fn, distribution, to_there = space(model, x, start)
        schedule = linear_schedule(60 if start == "prior" else 12)
        return x, bidirectional_gap(
            log_joint_fn, distribution, to_there(z), chains_key, num_chains=4, schedule=schedule
        )

    images, estimates = jax.jit(bound)(jax.random.split(jax.random.key(9), count))
    exact = np.array([WIDE.exact_log_p(x) for x in images])
    for ratio in (np.exp(estimates.log_p - exact), np.exp(exact - estimates.upper)):
        assert_within_standard_errors(ratio.mean(), 1.0, ratio.std() / np.sqrt(count), count=4)


def test_one_temperature_is_importance_sampling(key):
    model, exact = WIDE.vae(stretch=1.2), WIDE.exact_log_p(IMAGE)
    estimate = anneal(model, key, IMAGE, "posterior", num_chains=2000, num_temperatures=1)
    assert_exact(estimate, exact)
    assert jnp.isnan(estimate.acceptance)
    sampled = importance_log_likelihood(make_log_weight(model, IMAGE), key, num_samples=2000)
    np.testing.assert_allclose(estimate.elbo, sampled.elbo, atol=0.2)
    np.testing.assert_allclose(estimate.standard_error, sampled.standard_error, rtol=0.3)


def test_more_temperatures_leave_less_to_guess(key):
    model = WIDE.vae(**WRONG)
    options = {"num_chains": 1000, "chunk_size": 1000}
    sizes = [
        anneal(model, key, IMAGE, "noise", num_temperatures=t, **options).effective_sample_size
        for t in (5, 40, 320)
    ]
    assert 1 < 1.5**2 * sizes[0] < 1.5 * sizes[1] < sizes[2] < 1000


def test_chunks_change_nothing_beyond_rounding(key):
    results = [
        anneal(WIDE.vae(), key, IMAGE, "noise", num_chains=10, chunk_size=c, num_temperatures=5)
        for c in (10, 4, 1)
    ]
    for name in ("log_p", "standard_error", "effective_sample_size", "elbo", "acceptance"):
        for result in results[1:]:
            np.testing.assert_allclose(
                getattr(result, name), getattr(results[0], name), rtol=1e-3, err_msg=name
            )


def test_the_record_says_how_it_was_made(key):
    estimate = anneal(WIDE.vae(), key, IMAGE, "noise", num_chains=3, num_leapfrog=2, num_temperatures=7)
    settings = (estimate.estimator, estimate.num_samples, estimate.num_temperatures, estimate.num_leapfrog)
    assert settings == ("ais", 3, 7, 2)
    assert estimate.key == key
    assert jnp.isnan(estimate.upper)
    assert estimate.nan_at == -1


def test_memory_grows_with_neither_chains_nor_temperatures(key):
    def temporary_bytes(num_chains, num_temperatures):
        options = {"num_chains": num_chains, "num_temperatures": num_temperatures}
        compiled = anneal.lower(WIDE.vae(), key, IMAGE, "noise", num_leapfrog=2, **options).compile()
        return compiled.compiled.memory_analysis().temp_size_in_bytes

    first = temporary_bytes(256, 10)
    # A step size for each temperature, and a few numbers more.
    assert abs(temporary_bytes(256, 1000) - first) < 64 * 1000
    assert temporary_bytes(1024, 10) < 1.2 * first


@pytest.mark.parametrize("make", [linear_schedule, sigmoid_schedule])
def test_schedules_rise_from_zero_to_one(make):
    for count in (1, 2, 100):
        schedule = make(count)
        assert schedule.shape == (count + 1,)
        assert (schedule[0], schedule[-1]) == (0, 1)
        assert np.all(np.diff(schedule) > 0)
        np.testing.assert_allclose(schedule + schedule[::-1], 1)
    with pytest.raises(ValueError, match=r"Expected num_temperatures to be positive; got 0\."):
        make(0)


def test_the_sigmoid_schedule_is_slow_at_its_ends():
    steps = np.diff(sigmoid_schedule(100))
    assert steps[50] > 10 * steps[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_chains": 0}, r"Expected num_chains to be positive; got 0\."),
        ({"num_leapfrog": 0}, r"Expected num_leapfrog to be positive; got 0\."),
        ({"chunk_size": 0}, r"Expected chunk_size to be positive; got 0\."),
        ({"persistence": 1.0}, r"Expected persistence to be at least 0 and below 1; got 1\.0\."),
        ({"schedule": [0.1, 1.0]}, r"Expected the schedule to run from 0 to 1; got \[0\.1 1\. \]\."),
        ({"schedule": [0.0, 0.9]}, r"Expected the schedule to run from 0 to 1; got \[0\.  0\.9\]\."),
        ({"schedule": [0.0]}, r"Expected the schedule to run from 0 to 1; got \[0\.\]\."),
        ({"schedule": [0.0, 0.5, 0.5, 1.0]}, r"Expected the schedule to rise at every temperature; got"),
    ],
)
def test_bad_options_are_refused(key, options, message):
    model = WIDE.vae()
    for estimate in (
        annealed_log_likelihood,
        lambda f, s, k, **o: bidirectional_gap(f, s, jnp.zeros(8), k, **o),
    ):
        with pytest.raises(ValueError, match=message):
            estimate(lambda z: log_joint(model, z, IMAGE), model.prior(), key, **options)


def test_a_latent_of_another_size_is_refused(key):
    model = WIDE.vae()
    with pytest.raises(ValueError, match=r"Expected the latent to have shape \(8,\); got \(3,\)\."):
        bidirectional_gap(lambda z: log_joint(model, z, IMAGE), model.prior(), jnp.zeros(3), key)


def test_a_density_that_is_nan_is_found_where_it_is(key):
    model = WIDE.vae()

    def estimate(log_joint_fn, **options):
        return annealed_log_likelihood(
            log_joint_fn, model.prior(), key, num_chains=8, schedule=linear_schedule(10), **options
        )

    at_once = estimate(lambda z: jnp.sum(z) * jnp.nan)
    assert at_once.nan_at == 0
    assert jnp.isnan(at_once.log_p)
    # Far from where the chains start, and where the density takes them.
    later = estimate(lambda z: jnp.where(z[0] > 6, jnp.nan, -0.5 * jnp.sum((z - 9) ** 2)))
    assert 0 < later.nan_at < 10
    assert jnp.isnan(later.log_p)
    gradient = estimate(lambda z: -jnp.sqrt(jnp.sum((z - z) ** 2)) - 0.5 * jnp.sum(z**2))
    assert gradient.nan_at == 0


def test_a_trajectory_that_runs_away_is_not_taken_for_a_density_that_is_nan(key):
    # z^2 - z^2 of what has run away is inf - inf.
    def log_joint_fn(z):
        return jnp.sum(z**2 - z**2) - 1e8 * jnp.sum(z**2)

    estimate = annealed_log_likelihood(
        log_joint_fn, WIDE.vae().prior(), key, num_chains=4, num_leapfrog=40, schedule=linear_schedule(6)
    )
    assert estimate.nan_at == -1


def test_a_density_without_support_is_a_weight_of_zero(key):
    # Half of the start has density 0; p(x) is the normalised half.
    def log_joint_fn(z):
        return jnp.where(z[0] > 0, model.prior().log_prob(z), -jnp.inf)

    model = WIDE.vae()
    estimate = annealed_log_likelihood(
        log_joint_fn, model.prior(), key, num_chains=400, chunk_size=400, schedule=linear_schedule(3)
    )
    assert estimate.nan_at == -1
    assert_within_standard_errors(estimate.log_p, np.log(0.5), estimate.standard_error, count=4)
