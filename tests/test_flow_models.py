"""A flow in the posterior, in the prior, and in a user's own loss."""

import dataclasses

import chex
import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import VAE, elbo, generate, importance_log_likelihood, log_weight, make_log_weight, reconstruct
from jaxvae.build import build_model, build_training
from jaxvae.config import Config, DecoderConfig, EncoderConfig, ModelConfig, PosteriorConfig, PriorConfig
from jaxvae.encoders import DenseEncoder, Encoding
from jaxvae.flows import as_bijector, make_iaf, make_spline
from jaxvae.posteriors import FlowPosterior
from jaxvae.presets import PRESETS, load_preset
from jaxvae.priors import FlowPrior, StandardNormal
from tests import helpers
from tests.flows.table import perturb

pytestmark = pytest.mark.usefixtures("compile_fast")

FLOW_NAMES = (
    "iaf", "naf", "spline", "planar", "sylvester-orthogonal", "sylvester-householder", "sylvester-triangular"
)  # fmt: skip
SHAPE = (1, 3, 4)
IMAGE = jax.random.bernoulli(jax.random.key(7), shape=SHAPE).astype(jnp.float32)


def small(**parts):
    return Config(
        batch_size=4,
        model=ModelConfig(latent_dim=16),
        encoder=EncoderConfig(widths=(8,)),
        decoder=DecoderConfig(widths=(8,)),
        **parts,
    )


def test_importance_sampling_from_a_flow_posterior_gives_the_exact_log_likelihood(key):
    model = helpers.linear_gaussian(shift=0.1, stretch=1.2)

    def encoder(x, y=None):
        base = model.posterior(x).distribution
        return Encoding(base.loc, base.scale, x.ravel()[:3])

    flow = perturb(make_iaf(2, widths=(8, 8), context_dim=3, key=key), key, 0.2)
    posterior = FlowPosterior(encoder, flow)
    with_flow = VAE(posterior, model.prior, model.likelihood)
    estimate = jax.jit(
        lambda key: importance_log_likelihood(
            make_log_weight(with_flow, helpers.X), key, num_samples=20_000, chunk_size=500
        )
    )(key)
    assert estimate.effective_sample_size > 500
    exact = helpers.exact_log_p(helpers.X)
    helpers.assert_within_standard_errors(estimate.log_p, exact, estimate.standard_error)
    # The draws are the flow's: the same key without it gives other ones.
    assert (
        estimate.elbo
        != importance_log_likelihood(
            make_log_weight(model, helpers.X), key, num_samples=20_000, chunk_size=500
        ).elbo
    )


@pytest.mark.parametrize(("make_flow", "size"), [(make_iaf, 0.25), (make_spline, 0.1)])
def test_a_flow_prior_is_a_density_and_draws_from_it(key, make_flow, size):
    flow = perturb(make_flow(2, widths=(8, 8), key=key), key, size)
    prior = FlowPrior(StandardNormal(2), flow)()
    # The flow turns the latent into noise: scoring takes its forward direction.
    noise, log_det = flow.forward_and_log_det(jnp.array([0.7, -1.2]))
    exact = StandardNormal(2)().log_prob(noise) + log_det
    np.testing.assert_allclose(prior.log_prob(jnp.array([0.7, -1.2])), exact, rtol=1e-5)
    side = jnp.linspace(-9, 9, 241)
    grid = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    density = jnp.exp(jax.jit(prior.log_prob)(grid)) * (side[1] - side[0]) ** 2
    np.testing.assert_allclose(jnp.sum(density), 1, atol=0.01)
    draws = jax.jit(lambda key: prior.sample(seed=key, sample_shape=(4000,)))(key)
    for function in (lambda z: z[:, 0], lambda z: jnp.tanh(z[:, 1] - z[:, 0]), lambda z: z[:, 1] ** 2):
        sampled, exact = function(draws), jnp.sum(density * function(grid))
        error = jnp.std(sampled) / len(draws) ** 0.5
        helpers.assert_within_standard_errors(jnp.mean(sampled), exact, error)
    # Far from the normal that the flow makes of it.
    assert jnp.abs(density - jnp.exp(StandardNormal(2)().log_prob(grid)) * 0.075**2).sum() > 0.1


@pytest.mark.parametrize("name", FLOW_NAMES)
def test_every_flow_serves_as_posterior_and_prior_by_configuration_alone(key, name):
    config = small(posterior=PosteriorConfig(flow=name, num_flows=3), prior=PriorConfig(flow=name))
    config.check()
    model = build_model(config, SHAPE, key)
    keys = jax.random.split(key, 3)
    weights, gradient = eqx.filter_jit(
        eqx.filter_value_and_grad(lambda m: jnp.mean(jax.vmap(lambda k: log_weight(m, k, IMAGE))(keys)))
    )(model)
    assert jnp.isfinite(weights)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(leaf).all(), path
    chex.assert_shape(eqx.filter_jit(generate)(model, key), SHAPE)
    chex.assert_shape(eqx.filter_jit(reconstruct)(model, key, IMAGE), SHAPE)


def test_the_default_context_is_as_large_as_the_latent_and_can_be_set(key):
    for given, size in ((None, 16), (5, 5)):
        model = build_model(small(posterior=PosteriorConfig(flow="iaf", context_dim=given)), SHAPE, key)
        assert model.posterior.encoder(IMAGE).context.shape == (size,)
    assert build_model(small(), SHAPE, key).posterior.encoder(IMAGE).context is None


def test_weight_norm_starts_from_the_first_images_the_same_every_time():
    config = small(posterior=PosteriorConfig(flow="iaf", weight_norm=True))
    images = np.random.RandomState(0).randint(0, 256, (9, *SHAPE)).astype(np.uint8)
    from_data, again, without = (build_training(config, SHAPE, given)[0] for given in (images, images, None))
    helpers.assert_trees_equal(eqx.filter(from_data, eqx.is_array), eqx.filter(again, eqx.is_array))
    norm, plain = (state.model.posterior.flow.flows[0].made.layers[0].norm for state in (from_data, without))
    assert jnp.all(norm.gain != plain.gain)
    other = build_training(config, SHAPE, images[4:])[0].model.posterior.flow.flows[0].made.layers[0].norm
    assert jnp.all(norm.gain != other.gain)


def test_a_flow_posterior_in_a_loss_of_one_s_own(key):
    class Posterior(eqx.Module):
        encoder: DenseEncoder
        flow: eqx.Module

        def __call__(self, x, y=None):
            loc, scale, context = self.encoder(x)
            base = distrax.MultivariateNormalDiag(loc, scale)
            return distrax.Transformed(base, as_bijector(self.flow, context))

    encoder = DenseEncoder(SHAPE, 4, (8,), context_dim=3, key=key)
    flow = make_iaf(4, widths=(8,), context_dim=3, key=key)
    model = build_model(dataclasses.replace(small(), model=ModelConfig(latent_dim=4)), SHAPE, key)
    mine, ours = (
        VAE(posterior, model.prior, model.likelihood)
        for posterior in (Posterior(encoder, flow), FlowPosterior(encoder, flow))
    )
    one, two = (elbo(make_log_weight(m, IMAGE), key, num_samples=3) for m in (mine, ours))
    np.testing.assert_allclose(one, two, rtol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_built(name):
    config = load_preset(name)
    config.check()
    sizes = ((1, 28, 28), jax.random.key(0), 0 if config.model.labels == "none" else 10)
    model = eqx.filter_eval_shape(lambda: build_model(config, *sizes))
    leaves = [leaf for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.ShapeDtypeStruct)]
    assert sum(leaf.size for leaf in leaves if leaf.dtype == jnp.float32) > 10_000
