"""Flows as distrax has bijectors."""

import chex
import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.flows import Chain, Flow, Reverse, as_bijector, make_iaf
from tests.flows.table import FLOWS, perturb

CONTEXT = jnp.array([0.3, -0.8, 1.1])


class Doubling(Flow):
    """A flow that declares no inverse."""

    has_inverse = False

    def forward_and_log_det(self, z, context=None):
        return 2 * z, len(z) * jnp.log(2.0)


@pytest.fixture(params=["iaf gated", "naf", "planar"])
def flow(request, key):
    return perturb(FLOWS[request.param](2, context_dim=3, key=key), key, 0.3)


def base(*batch):
    return distrax.Independent(distrax.Normal(jnp.full((*batch, 2), 0.4), jnp.full((*batch, 2), 0.7)), 1)


def test_a_transformed_distribution_scores_what_it_draws(flow, key):
    @jax.jit
    def draw_and_score(key):
        distribution = distrax.Transformed(base(), as_bijector(flow, CONTEXT))
        z, log_prob = distribution.sample_and_log_prob(seed=key, sample_shape=(9,))
        return z, log_prob, distribution.log_prob(z)

    z, log_prob, again = draw_and_score(key)
    chex.assert_shape([z, log_prob, again], [(9, 2), (9,), (9,)])
    np.testing.assert_allclose(log_prob, again, atol=1e-4)


def test_the_density_of_a_transformed_distribution_integrates_to_one(flow):
    side = jnp.linspace(-4, 5, 91)
    grid = jnp.stack(jnp.meshgrid(side, side), axis=-1)
    log_prob = jax.jit(lambda z: distrax.Transformed(base(), as_bijector(flow, CONTEXT)).log_prob(z))(grid)
    chex.assert_shape(log_prob, (91, 91))
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_prob)) * (side[1] - side[0]) ** 2, 1.0, atol=0.01)


def test_distributions_with_contexts_of_their_own_under_vmap(flow, key):
    contexts = jax.random.normal(key, (4, 3))

    def score(context, z):
        return distrax.Transformed(base(), as_bijector(flow, context)).log_prob(z)

    latents = jax.random.normal(key, (4, 2))
    together = jax.jit(jax.vmap(score))(contexts, latents)
    np.testing.assert_allclose(together[3], jax.jit(score)(contexts[3], latents[3]), rtol=1e-4, atol=1e-4)


def test_it_composes_with_distrax_s_chain_and_inverse(flow, key):
    first, second = as_bijector(flow, CONTEXT), as_bijector(Reverse())
    latents = jax.random.normal(key, (5, 3, 2))
    # distrax applies the last of a chain first.
    moved, log_det = jax.jit(distrax.Chain([second, first]).forward_and_log_det)(latents)
    chain = Chain([flow, Reverse()])
    ours = jax.jit(jax.vmap(lambda z: chain.forward_and_log_det(z, CONTEXT)))(latents[:, 1])
    np.testing.assert_allclose(moved[:, 1], ours[0], atol=1e-5)
    np.testing.assert_allclose(log_det[:, 1], ours[1], atol=1e-5)

    @jax.jit
    def there_and_back(latents):
        there, back = first.forward(latents), distrax.Inverse(first).forward_and_log_det
        return *back(there), first.forward_log_det_jacobian(latents)

    back, back_log_det, log_det = there_and_back(latents)
    np.testing.assert_allclose(back, latents, atol=1e-4)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-4)


def test_it_crosses_a_jit_boundary_of_jax_itself(flow):
    z = jnp.array([0.2, -0.4])
    inside = jax.jit(lambda bijector, z: bijector.forward(z))(as_bijector(flow, CONTEXT), z)
    np.testing.assert_allclose(inside, as_bijector(flow, CONTEXT).forward(z), rtol=1e-5)


def test_the_inverse_of_a_flow_that_has_none_is_refused_but_drawing_is_not(key):
    distribution = distrax.Transformed(base(), as_bijector(Chain([Reverse(), Doubling()])))
    z, log_prob = distribution.sample_and_log_prob(seed=key)
    exact = base().log_prob(z[::-1] / 2) - 2 * jnp.log(2.0)
    np.testing.assert_allclose(log_prob, exact, rtol=1e-5)
    assert not Chain([Reverse(), Doubling()]).has_inverse
    with pytest.raises(ValueError, match=r"Expected a flow with an inverse \(has_inverse\); got Doubling\."):
        distribution.log_prob(z)


def test_a_context_with_leading_axes_is_refused(flow):
    with pytest.raises(ValueError, match=r"Expected the context to have one axis; got shape \(5, 3\)\."):
        as_bijector(flow, jnp.zeros((5, 3)))


def test_the_divergence_of_two_flows_is_not_that_of_their_bases(key):
    flow = make_iaf(3, widths=(8,), context_dim=2, key=key)
    base = distrax.MultivariateNormalDiag(jnp.zeros(3), jnp.ones(3))
    one, two = (distrax.Transformed(base, as_bijector(flow, jnp.full(2, c))) for c in (0.0, 1.0))
    with pytest.raises(NotImplementedError, match=r"between two flows has no closed form\."):
        one.kl_divergence(two)
    np.testing.assert_allclose(one.kl_divergence(one), 0, atol=1e-6)
