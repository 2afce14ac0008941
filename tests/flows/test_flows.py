"""What every flow must do: its log-determinant, its inverse, its shapes, gradients and extremes."""

import chex
import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.flows import (
    Chain,
    Reverse,
    as_bijector,
    make_iaf,
    make_naf,
    make_planar,
    make_spline,
    make_sylvester,
)
from tests.flows.table import FLOWS, perturb

CONTEXT_DIM = 3


def make(name, key, *, latent_dim, context_dim):
    # Updates of low rank need larger parameters to change the volume; autoregressive ones with larger
    # parameters have Jacobians too ill-conditioned to check against.
    size = 0.6 if name.startswith(("planar", "sylvester")) else 0.15
    flow_key, perturb_key = jax.random.split(key)
    return perturb(FLOWS[name](latent_dim, context_dim=context_dim, key=flow_key), perturb_key, size)


def context_of(key, context_dim):
    return jax.random.normal(key, (context_dim,)) if context_dim else None


@eqx.filter_jit
def slogdet_of_jacobian(flow, z, context):
    return jnp.linalg.slogdet(jax.jacobian(lambda z: flow.forward_and_log_det(z, context)[0])(z))[1]


@eqx.filter_jit
def forward(flow, z, context):
    return flow.forward_and_log_det(z, context)


@eqx.filter_jit
def inverse(flow, z, context):
    return flow.inverse_and_log_det(z, context)


def assert_log_det_is_the_jacobian_s(flow, z, context, tolerance):
    log_det = forward(flow, z, context)[1]
    exact = slogdet_of_jacobian(flow, z, context)
    np.testing.assert_allclose(log_det, exact, rtol=tolerance, atol=tolerance)
    return exact


@pytest.mark.parametrize(("latent_dim", "context_dim"), [(2, CONTEXT_DIM), (7, 0), (16, CONTEXT_DIM)])
@pytest.mark.parametrize("name", FLOWS)
def test_the_log_det_is_that_of_the_jacobian_and_the_inverse_undoes(key, name, latent_dim, context_dim):
    flow = make(name, key, latent_dim=latent_dim, context_dim=context_dim)
    context = context_of(key, context_dim)
    z = jax.random.normal(jax.random.key(1), (latent_dim,))
    exact = assert_log_det_is_the_jacobian_s(flow, z, context, 1e-4)
    if name not in ("iaf shift", "reverse"):
        assert abs(exact) > 1e-3, "a log-determinant of 0 can show nothing"
    assert flow.has_inverse
    moved, log_det = forward(flow, z, context)
    back, back_log_det = inverse(flow, moved, context)
    np.testing.assert_allclose(back, z, atol=1e-4)
    np.testing.assert_allclose(back_log_det, -log_det, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FLOWS)
def test_the_log_det_is_exact_in_float64(key, name):
    with jax.enable_x64(True):
        flow = make(name, key, latent_dim=6, context_dim=CONTEXT_DIM)
        flow = jax.tree.map(lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, flow)
        z, context = jax.random.normal(key, (6,)), jax.random.normal(key, (CONTEXT_DIM,))
        assert z.dtype == jnp.float64
        assert_log_det_is_the_jacobian_s(flow, z, context, 1e-9)


@pytest.mark.parametrize("name", FLOWS)
def test_shapes_under_jit_and_vmap_over_latents_and_contexts(key, name):
    flow = make(name, key, latent_dim=4, context_dim=CONTEXT_DIM)
    latents, contexts = jax.random.normal(key, (5, 4)), jax.random.normal(key, (5, CONTEXT_DIM))
    for direction in (forward, inverse):
        batched = eqx.filter_jit(lambda flow, z, c, d=direction: jax.vmap(lambda z, c: d(flow, z, c))(z, c))
        moved, log_det = batched(flow, latents, contexts)
        chex.assert_shape(moved, (5, 4))
        chex.assert_shape(log_det, (5,))
        alone, alone_log_det = direction(flow, latents[2], contexts[2])
        np.testing.assert_allclose(moved[2], alone, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(log_det[2], alone_log_det, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "reverse"])
def test_every_parameter_has_a_finite_gradient_and_so_has_the_context(key, name):
    flow = make(name, key, latent_dim=4, context_dim=CONTEXT_DIM)
    latents, context = jax.random.normal(key, (6, 4)), jax.random.normal(key, (CONTEXT_DIM,))

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient_of(parts):
        flow, context = parts
        moved, log_dets = jax.vmap(lambda z: flow.forward_and_log_det(z, context))(latents)
        return jnp.sum(jnp.sin(moved)) + jnp.sum(log_dets)

    gradient, by_context = gradient_of((flow, context))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(leaf).all(), path
        assert jnp.abs(leaf).max() > 0, path
    assert jnp.all(by_context != 0)


@pytest.mark.parametrize("name", ["iaf gated", "naf", "planar", "sylvester orthogonal"])
def test_the_inverse_has_the_gradient_of_the_implicit_function(key, name):
    flow = make(name, key, latent_dim=3, context_dim=CONTEXT_DIM)
    z, context = jax.random.normal(key, (3,)), jax.random.normal(key, (CONTEXT_DIM,))

    @eqx.filter_jit
    def jacobians(flow, z, context):
        moved = flow.forward_and_log_det(z, context)[0]
        there = jax.jacobian(lambda *where: flow.forward_and_log_det(*where)[0], (0, 1))(z, context)
        back = jax.jacobian(lambda *where: flow.inverse_and_log_det(*where)[0], (0, 1))(moved, context)
        return there, back

    (by_z, by_context), (inverse_by_z, inverse_by_context) = jax.tree.map(
        np.asarray, jacobians(flow, z, context)
    )
    np.testing.assert_allclose(inverse_by_z @ by_z, np.eye(3), atol=1e-3)
    np.testing.assert_allclose(inverse_by_context, -np.linalg.solve(by_z, by_context), atol=1e-3)


@pytest.mark.parametrize("name", ["iaf affine", "planar"])
def test_a_density_through_an_inverse_can_be_fitted(key, name):
    flow = make(name, key, latent_dim=3, context_dim=0)
    data = 2.0 + 0.5 * jax.random.normal(key, (32, 3))

    def loss(flow):
        base = distrax.MultivariateNormalDiag(jnp.zeros(3), jnp.ones(3))
        return -jnp.mean(distrax.Transformed(base, as_bijector(flow)).log_prob(data))

    eager = eqx.filter_value_and_grad(loss)
    jitted = eqx.filter_jit(eager)
    before, _ = jitted(flow)
    for differentiate in (eager, jitted):
        flow = eqx.apply_updates(flow, jax.tree.map(lambda g: -0.02 * g, differentiate(flow)[1]))
    assert jitted(flow)[0] < before - 0.1


def test_a_planar_flow_is_tame_where_its_direction_vanishes():
    flow = make_planar(2, 1, key=jax.random.key(0))
    gradient_of = jax.jit(jax.grad(lambda p, z: jnp.sum(jnp.stack(value_of(p, z, flow)))))
    for size in (1e-4, 1e-18, 1e-21, 0.0):
        parameters = jnp.array([1.0, -2.0, size, size, 0.3])
        moved = eqx.tree_at(lambda f: f.flows[0].parameters.bias, flow, parameters)
        z, log_det = forward(moved, jnp.ones(2), None)
        gradient = gradient_of(parameters, jnp.ones(2))
        assert jnp.abs(z).max() < 4
        np.testing.assert_allclose(log_det, slogdet_of_jacobian(moved, jnp.ones(2), None), atol=1e-5)
        assert jnp.abs(gradient).max() < 100


def value_of(parameters, z, flow):
    flow = eqx.tree_at(lambda f: f.flows[0].parameters.bias, flow, parameters)
    moved, log_det = flow.forward_and_log_det(z)
    return moved[0], moved[1], log_det


@pytest.mark.parametrize("name", FLOWS)
def test_extreme_latents_and_contexts_give_finite_values_and_gradients(key, name):
    flow = make(name, key, latent_dim=4, context_dim=CONTEXT_DIM)

    def value(flow, z, context):
        moved, log_det = flow.forward_and_log_det(z, context)
        return jnp.sum(moved) + log_det

    @eqx.filter_jit
    def everything(flow, z, context):
        gradients = eqx.filter_grad(lambda parts: value(*parts))((flow, z, context))
        return value(flow, z, context), flow.inverse_and_log_det(z, context)[0], gradients

    extremes = [1e4, -1e4, 1e-40, 0.0]
    cases = [(z, context) for z in extremes for context in (1.0, z)]
    for z, context in cases:
        leaves = jax.tree.leaves(everything(flow, jnp.full((4,), z), jnp.full((CONTEXT_DIM,), context)))
        assert all(jnp.isfinite(leaf).all() for leaf in leaves), (z, context)


def test_a_chain_applies_its_first_flow_first(key):
    one, two = (make(name, key, latent_dim=4, context_dim=0) for name in ("planar", "iaf gated"))
    z = jax.random.normal(key, (4,))
    middle, first = forward(one, z, None)
    last, second = forward(two, middle, None)
    moved, log_det = forward(Chain([one, two]), z, None)
    np.testing.assert_array_equal(moved, last)
    np.testing.assert_allclose(log_det, first + second, rtol=1e-6)


@pytest.mark.parametrize("make_flow", [make_iaf, make_naf, make_spline])
def test_the_order_is_reversed_between_autoregressive_steps(key, make_flow):
    chain = make_flow(3, num_flows=3, widths=(8,), key=key)
    assert [isinstance(flow, Reverse) for flow in chain.flows] == [False, True, False, True, False]
    # Hence the last output of two steps depends on every input, and so does the first.
    two = perturb(make_flow(3, num_flows=2, widths=(8,), key=key), key, 0.3)
    jacobian = jax.jit(jax.jacobian(lambda z: two.forward_and_log_det(z)[0]))(jnp.array([0.3, -0.2, 0.5]))
    assert jnp.sum(jacobian != 0) > 6


BAD = {
    "zero flows": (lambda key: make_iaf(4, num_flows=0, key=key), r"num_flows to be positive; got 0\."),
    "no flows": (lambda key: Chain([]), r"Expected a chain to have at least one flow; got none\."),
    "unknown update": (
        lambda key: make_iaf(4, update="gate", key=key),
        r"Expected update to be one of affine, gated, shift; got 'gate' \(near: gated\)\.",
    ),
    "unknown basis": (
        lambda key: make_sylvester(4, basis="triangular", key=key),
        r"Expected basis to be one of householder, identity, orthogonal; got 'triangular'\.",
    ),
    "more vectors than latents": (
        lambda key: make_sylvester(4, basis="orthogonal", num_vectors=5, key=key),
        r"Expected num_vectors to be at least 1 and below 5; got 5\.",
    ),
    "no reflections": (
        lambda key: make_sylvester(4, basis="householder", num_reflections=0, key=key),
        r"Expected num_reflections to be positive; got 0\.",
    ),
    "no units": (lambda key: make_naf(4, num_units=0, key=key), r"num_units to be positive; got 0\."),
    "one bin": (lambda key: make_spline(4, num_bins=1, key=key), r"num_bins to be at least 2 .*; got 1\."),
    "no room": (lambda key: make_spline(4, num_bins=1000, key=key), r"num_bins .* below 1000; got 1000\."),
    "no end": (lambda key: make_spline(4, bound=np.inf, key=key), r"bound .* below inf; got inf\."),
    "no bound": (lambda key: make_spline(4, bound=0.0, key=key), r"bound to be positive; got 0\.0\."),
    "no latents": (lambda key: make_planar(0, key=key), r"Expected latent_dim to be positive; got 0\."),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_flow_that_cannot_be_is_refused(key, name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call(key)


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "reverse"])
def test_a_context_or_a_latent_of_the_wrong_size_is_refused(key, name):
    flow, plain = (FLOWS[name](4, context_dim=size, key=key) for size in (CONTEXT_DIM, 0))
    z = jnp.zeros(4)
    with pytest.raises(ValueError, match=r"Expected the context to have shape \(3,\); got \(2,\)\."):
        flow.forward_and_log_det(z, jnp.zeros(2))
    with pytest.raises(ValueError, match=r"Expected the context to have shape \(3,\); got None\."):
        flow.forward_and_log_det(z)
    with pytest.raises(
        ValueError, match=r"Expected the context to be None: none was asked for; got \(3,\)\."
    ):
        plain.forward_and_log_det(z, jnp.zeros(3))
    with pytest.raises(ValueError, match=r"Expected the latent to have shape \(4,\); got \(5,\)\."):
        plain.forward_and_log_det(jnp.zeros(5))
