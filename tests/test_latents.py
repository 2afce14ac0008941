"""KL divergences and active units, by closed forms and by draws, against what is known exactly."""

import functools

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import VAE
from jaxvae.build import build_evaluator, build_latent_evaluator
from jaxvae.config import Config, DataConfig, EvaluateConfig
from jaxvae.encoders import Encoding
from jaxvae.flows import make_iaf
from jaxvae.latents import latent_statistics, make_latent_evaluator
from jaxvae.posteriors import FlowPosterior
from jaxvae.priors import FlowPrior, StandardNormal
from tests import helpers
from tests.flows.table import perturb

pytestmark = pytest.mark.usefixtures("compile_fast")

LOC, SCALE = np.array([0.7, -1.1, 0.2]), np.array([0.4, 1.7, 0.9])
PRIOR_LOC, PRIOR_SCALE = np.array([-0.3, 0.5, 0.2]), np.array([1.2, 0.6, 2.5])
PIXELS = jnp.zeros((1, 2, 2))


def normal(loc, scale):
    return distrax.Independent(distrax.Normal(jnp.asarray(loc, jnp.float32), jnp.asarray(scale)), 1)


def stretched(distribution, shift, factor):
    """The distribution of shift + factor z: one that is Gaussian, but not by its type."""
    bijector = distrax.Block(distrax.ScalarAffine(jnp.asarray(shift), jnp.asarray(factor)), 1)
    return distrax.Transformed(distribution, bijector)


def model_of(posterior, prior):
    """A VAE whose posterior is of its pixels; nothing here needs a likelihood."""
    return VAE(posterior, prior, likelihood=None)


def divergences(loc, scale, prior_loc, prior_scale):
    """KL between normals, by latent, written out."""
    spread = (scale**2 + (loc - prior_loc) ** 2) / (2 * prior_scale**2)
    return np.log(prior_scale / scale) + spread - 0.5


def repeated(model, x=PIXELS, *, num_draws=40, count=300):
    """The same statistics from many keys, each with a leading axis."""
    measure = functools.partial(latent_statistics, model, x=x, num_draws=num_draws)
    return jax.jit(jax.vmap(measure))(jax.random.split(jax.random.key(4), count))


def assert_mean_is(estimates, exact):
    estimates = np.asarray(estimates, np.float64)
    error = estimates.std(ddof=1) / np.sqrt(len(estimates))
    helpers.assert_within_standard_errors(estimates.mean(), exact, error)


def test_between_gaussians_everything_is_exact(key):
    model = model_of(lambda x, y: normal(LOC, SCALE), lambda y: normal(PRIOR_LOC, PRIOR_SCALE))
    result = latent_statistics(model, key, PIXELS, num_draws=2)
    parts = divergences(LOC, SCALE, PRIOR_LOC, PRIOR_SCALE)
    np.testing.assert_allclose(result.kl_per_latent, parts, rtol=1e-5)
    np.testing.assert_allclose(result.kl, parts.sum(), rtol=1e-5)
    np.testing.assert_allclose(result.mean, LOC, rtol=1e-6)
    np.testing.assert_allclose(result.variance, SCALE**2, rtol=1e-6)
    assert not np.any(result.squared_error)


def test_draws_find_the_moments_and_the_divergence_of_the_closed_form():
    shift, factor = jnp.array([0.4, 0.0, -1.0]), jnp.array([2.0, -0.5, 1.0])
    model = model_of(
        lambda x, y: stretched(normal((LOC - shift) / factor, SCALE / abs(factor)), shift, factor),
        lambda y: normal(PRIOR_LOC, PRIOR_SCALE),
    )
    result = repeated(model)
    assert_mean_is(result.kl, divergences(LOC, SCALE, PRIOR_LOC, PRIOR_SCALE).sum())
    for i in range(3):
        assert_mean_is(result.mean[:, i], LOC[i])
        assert_mean_is(result.variance[:, i], SCALE[i] ** 2)
    # The error that is claimed of a mean is that which the means have.
    np.testing.assert_allclose(
        np.var(result.mean, axis=0), np.mean(result.squared_error, axis=0), rtol=5 * np.sqrt(2 / 300)
    )
    assert np.isnan(result.kl_per_latent).all()


def test_the_closed_form_is_the_mean_of_the_log_ratio_on_the_linear_gaussian_model(key):
    model = helpers.linear_gaussian()
    posterior, prior = model.posterior(helpers.X), model.prior()
    z, log_q_z = posterior.sample_and_log_prob(seed=key, sample_shape=(10_000,))
    exact = latent_statistics(model, key, helpers.X, num_draws=2)
    assert_mean_is(log_q_z - prior.log_prob(z), exact.kl)
    np.testing.assert_allclose(exact.kl_per_latent.sum(), exact.kl, rtol=1e-6)


def test_labels_reach_the_posterior_and_the_prior(key):
    model = model_of(lambda x, y: normal(LOC + y[0], SCALE), lambda y: normal(y, PRIOR_SCALE))
    y = jnp.array([0.3, -2.0, 1.0])
    result = latent_statistics(model, key, PIXELS, y, num_draws=2)
    parts = divergences(LOC + 0.3, SCALE, np.asarray(y), PRIOR_SCALE)
    np.testing.assert_allclose(result.kl_per_latent, parts, rtol=1e-5)


def test_the_divergence_of_a_flow_posterior_is_the_integral(key):
    loc, scale, context = jnp.array([0.5, -0.8]), jnp.array([0.6, 1.1]), jnp.array([0.2, -1.0, 0.4])
    flow = perturb(make_iaf(2, widths=(8, 8), context_dim=3, key=key), key, 0.3)
    posterior = FlowPosterior(lambda x, y: Encoding(loc, scale, context), flow)
    result = repeated(model_of(posterior, StandardNormal(2)), num_draws=50)

    # Over the noise, with log-determinants of Jacobians.
    axis = jnp.linspace(-6, 6, 121)
    noise = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)

    def forward(e):
        return flow.forward_and_log_det(loc + scale * e, context)[0]

    log_noise = jax.scipy.stats.norm.logpdf(noise).sum(1)
    log_det = jnp.linalg.slogdet(jax.jit(jax.vmap(jax.jacfwd(forward)))(noise))[1]
    log_p = jax.scipy.stats.norm.logpdf(jax.jit(jax.vmap(forward))(noise)).sum(1)
    cell = (axis[1] - axis[0]) ** 2
    assert_mean_is(result.kl, float(jnp.sum(jnp.exp(log_noise) * (log_noise - log_det - log_p)) * cell))
    assert np.isnan(result.kl_per_latent).all()


def test_with_a_flow_in_the_prior_alone_only_the_divergence_is_from_draws(key):
    prior = FlowPrior(StandardNormal(3), perturb(make_iaf(3, widths=(8,), key=key), key, 0.2))
    result = repeated(model_of(lambda x, y: normal(LOC, SCALE), prior))
    z, log_q_z = normal(LOC, SCALE).sample_and_log_prob(seed=key, sample_shape=(10_000,))
    log_ratio = np.asarray(log_q_z - jax.jit(jax.vmap(prior().log_prob))(z), np.float64)
    error = np.hypot(np.std(log_ratio) / 100, np.std(result.kl) / np.sqrt(300))
    helpers.assert_within_standard_errors(np.mean(result.kl), log_ratio.mean(), error)
    np.testing.assert_allclose(result.mean, np.tile(LOC, (300, 1)), rtol=1e-6)
    assert not np.any(result.squared_error)
    assert np.isnan(result.kl_per_latent).all()


def standardised_images(count):
    """Pixels whose mean is 0 and whose variance over the images is 1, exactly."""
    pixels = np.random.RandomState(2).normal(size=(count, 4))
    pixels = (pixels - pixels.mean(0)) / pixels.std(0, ddof=1)
    return pixels.reshape(count, 1, 2, 2).astype(np.float32)


def linear_model(variances, *, sampled):
    """Posterior means that vary over standardised images as given, known by type or from draws alone."""
    gains = jnp.sqrt(jnp.asarray(variances))

    def posterior(x, y):
        exact = normal(gains * x.ravel(), jnp.ones(4))
        return stretched(exact, 0.0, 1.0) if sampled else exact

    return model_of(posterior, StandardNormal(4))


def measure(model, images, *, batch_size=500, num_draws=50, labels=None):
    evaluator = make_latent_evaluator(
        functools.partial(latent_statistics, num_draws=num_draws), batch_size=batch_size
    )
    return evaluator(model, jax.random.key(3), images, labels)


def test_exact_means_are_active_above_a_hundredth_and_dead_below():
    use = measure(linear_model([1.0, 0.0101, 0.0099, 0.0], sampled=False), standardised_images(200))
    assert use.num_active == 2


def test_the_noise_of_sampled_means_makes_no_latent_active():
    use = measure(linear_model([1.0, 0.04, 0.0025, 0.0], sampled=True), standardised_images(2000))
    # 50 draws of variance 1: by itself the noise is above the threshold.
    assert np.all(np.var(use.statistics.mean, axis=0) > 0.015)
    assert use.num_active == 2


def test_what_the_label_says_of_a_latent_is_no_use_of_it():
    labels = np.random.RandomState(4).normal(size=(200, 4)).astype(np.float32)
    images, gains = standardised_images(200), jnp.array([0.3, 0.3, 0.0, 0.0])
    for sampled in (False, True):

        def posterior(x, y, sampled=sampled):
            exact = normal(y + gains * x.ravel(), jnp.full(4, 0.1))
            return stretched(exact, 0.0, 1.0) if sampled else exact

        # The second moves by a twentieth of the prior's deviation, the last two by the label alone.
        model = model_of(posterior, lambda y: normal(y, jnp.array([1.0, 6.0, 1.0, 1.0])))
        assert measure(model, images, labels=labels).num_active == 1


def test_the_summary_has_means_over_the_images():
    images = standardised_images(50)
    summary = measure(linear_model([1.0, 0.5, 0.0, 0.0], sampled=False), images).summary()
    # With unit scales, KL is half the squared mean.
    half = 0.5 * 49 / 50
    np.testing.assert_allclose(summary["kl_per_latent"], [half, half / 2, 0, 0], rtol=1e-5)
    assert summary["kl"] == pytest.approx(sum(summary["kl_per_latent"]), rel=1e-6)
    assert (summary["active_units"], summary["num_latents"]) == (2, 4)
    summary = measure(linear_model([1.0, 0.5, 0.0, 0.0], sampled=True), images).summary()
    assert summary["kl_per_latent"] is None
    assert summary["kl"] == pytest.approx(1.5 * half, abs=0.2)


def test_of_one_image_no_latent_is_known_to_be_active():
    assert measure(linear_model([1.0] * 4, sampled=False), standardised_images(5)[:1]).num_active is None


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_every_image_is_measured_once_and_as_if_alone(batch_size):
    def posterior(x, y):
        return stretched(normal(x.ravel() * y, jnp.full(4, 0.5)), 0.1, 2.0)

    model, images = model_of(posterior, StandardNormal(4)), standardised_images(7)
    labels = np.linspace(-2, 1, 28).reshape(7, 4).astype(np.float32)
    use = measure(model, images, batch_size=batch_size, num_draws=5, labels=labels)
    key = jax.random.key(3)
    for i in range(7):
        alone = latent_statistics(model, jax.random.fold_in(key, i), images[i], labels[i], num_draws=5)
        for part, wanted in zip(use.statistics, alone, strict=True):
            assert len(part) == 7
            np.testing.assert_allclose(part[i], wanted, rtol=1e-4, atol=1e-5)


def test_the_images_are_those_that_are_scored():
    # The one model has the pixels for means; the other has them, as binary digits, for log p(x).
    def likelihood(z, y):
        class Digits:
            def log_prob(self, x):
                return jnp.dot(x.ravel(), 2.0 ** jnp.arange(8))

        return Digits()

    shown = VAE(lambda x, y: normal(x.ravel(), jnp.ones(8)), StandardNormal(8), None)
    scored = VAE(lambda x, y: StandardNormal(8)(), StandardNormal(8), likelihood)
    config = Config(data=DataConfig(binarization="dynamic"), evaluate=EvaluateConfig(num_samples=2))
    grey, key = np.full((20, 1, 2, 4), 128, np.uint8), jax.random.key(0)
    digits = build_evaluator(config, training=True)(scored, key, grey).log_p
    pixels = build_latent_evaluator(config, training=True)(shown, key, grey).statistics.mean
    assert len(set(digits.tolist())) > 10
    np.testing.assert_allclose(pixels @ 2.0 ** np.arange(8), digits, atol=1e-3)


def test_bad_input_is_refused(key):
    model = linear_model([1.0] * 4, sampled=False)
    with pytest.raises(ValueError, match=r"Expected num_draws to be at least 2 and below inf; got 1\."):
        latent_statistics(model, key, PIXELS, num_draws=1)
    with pytest.raises(ValueError, match=r"Expected batch_size to be positive; got 0\."):
        measure(model, standardised_images(3), batch_size=0)
    with pytest.raises(ValueError, match=r"Expected the number of images to be positive; got 0\."):
        measure(model, standardised_images(3)[:0])
