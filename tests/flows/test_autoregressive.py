"""The two inverses of an autoregressive flow, and its elementwise maps."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.flows import (
    Affine,
    Autoregressive,
    DeepSigmoid,
    Elementwise,
    Gated,
    RationalQuadraticSpline,
    Shift,
    make_iaf,
)
from jaxvae.flows.roots import find_roots
from jaxvae.nn import MADE
from tests.flows.table import perturb

ELEMENTWISE = [Gated(), Affine(), Shift(), DeepSigmoid(5), RationalQuadraticSpline(5)]


def name_of(elementwise):
    return type(elementwise).__name__


def make_step(elementwise, key, latent_dim=6, **options):
    made = MADE(latent_dim, (16, 16), num_outputs=elementwise.num_parameters, context_dim=2, key=key)
    return perturb(Autoregressive(made, elementwise, **options), key, 0.15)


@pytest.mark.parametrize("elementwise", ELEMENTWISE, ids=name_of)
def test_the_sequential_and_the_parallel_inverse_agree(key, elementwise):
    z, context = jax.random.normal(key, (6,)), jnp.array([0.5, -1.0])
    sequential, parallel = (make_step(elementwise, key, inverse=name) for name in ("sequential", "parallel"))
    moved, _ = sequential.forward_and_log_det(z, context)
    one, two = (eqx.filter_jit(step.inverse_and_log_det)(moved, context) for step in (sequential, parallel))
    np.testing.assert_allclose(one[0], z, atol=1e-4)
    np.testing.assert_allclose(one[0], two[0], atol=1e-5)
    np.testing.assert_allclose(one[1], two[1], atol=1e-4)


@pytest.mark.parametrize(("tolerance", "latent_dim", "least", "most"), [(1e-30, 5, 3, 5), (None, 64, 2, 30)])
def test_the_parallel_inverse_stops_when_nothing_moves_or_after_as_many_sweeps_as_there_are_latents(
    key, tolerance, latent_dim, least, most
):
    sweeps = []

    class Counting(Elementwise):
        num_parameters = 2

        def forward_and_log_slope(self, z, parameters):
            return Gated().forward_and_log_slope(z, parameters)

        def inverse(self, z, parameters):
            jax.debug.callback(lambda: sweeps.append(1))
            return Gated().inverse(z, parameters)

    step = make_step(Counting(), key, latent_dim, tolerance=tolerance)
    z = jax.random.normal(key, (latent_dim,))
    moved, _ = step.forward_and_log_det(z, jnp.ones(2))
    back, _ = eqx.filter_jit(step.inverse_and_log_det)(moved, jnp.ones(2))
    jax.effects_barrier()
    np.testing.assert_allclose(back, z, atol=1e-3)
    assert least <= len(sweeps) <= most


@pytest.mark.parametrize("elementwise", ELEMENTWISE, ids=name_of)
def test_an_elementwise_map_has_its_autodiff_slope_and_increases(key, elementwise):
    parameters = 2 * jax.random.normal(key, (elementwise.num_parameters, 1))
    line = jnp.linspace(-8, 8, 101)

    def value_and_log_slope(z):
        value, log_slope = elementwise.forward_and_log_slope(z[None], parameters)
        return value[0], log_slope[0]

    slopes = jax.vmap(jax.grad(lambda z: value_and_log_slope(z)[0]))(line)
    values, log_slopes = jax.vmap(value_and_log_slope)(line)
    assert jnp.all(jnp.diff(values) > 0)
    np.testing.assert_allclose(jnp.exp(log_slopes), slopes, rtol=1e-3)
    wide = jnp.broadcast_to(parameters, (len(parameters), len(line)))
    # A slope of 1e-3 makes 1e-6 of the value 1e-3 of the argument.
    np.testing.assert_allclose(elementwise.inverse(values, wide), line, atol=1e-3)


@pytest.mark.parametrize(
    "elementwise", [Affine(), Shift(), DeepSigmoid(), RationalQuadraticSpline()], ids=name_of
)
def test_parameters_of_zero_give_the_identity(elementwise):
    line = jnp.linspace(-9, 9, 40)
    zeros = jnp.zeros((elementwise.num_parameters, 40))
    value, log_slope = elementwise.forward_and_log_slope(line, zeros)
    np.testing.assert_allclose(value, line, atol=1e-5)
    np.testing.assert_allclose(log_slope, 0, atol=1e-5)


def test_the_gated_update_is_that_of_the_paper():
    z, m, s = jnp.array([0.7, -1.0]), jnp.array([2.0, 0.1]), jnp.array([-0.5, 1.5])
    gate = 1 / (1 + np.exp(-(s + 1.3)))
    value, log_slope = Gated(1.3).forward_and_log_slope(z, jnp.stack([m, s]))
    np.testing.assert_allclose(value, gate * z + (1 - gate) * m, rtol=1e-5)
    np.testing.assert_allclose(log_slope, np.log(gate), rtol=1e-5)


def test_a_spline_is_the_identity_beyond_its_bound_and_continuous_there(key):
    spline = RationalQuadraticSpline(6, 2.0)
    parameters = jnp.broadcast_to(jax.random.normal(key, (17, 1)), (17, 6))
    z = jnp.array([-7.0, -2.0001, -1.9999, 1.9999, 2.0001, 7.0])
    value, log_slope = spline.forward_and_log_slope(z, parameters)
    np.testing.assert_allclose(value, z, atol=1e-3)
    np.testing.assert_array_equal(log_slope[jnp.array([0, 1, 4, 5])], 0)
    assert jnp.abs(spline.forward_and_log_slope(z / 4, parameters)[0] - z / 4).max() > 0.05


def test_roots_of_increasing_functions_near_and_far():
    roots = jnp.array([-3e5, -0.25, 0.0, 1e-3, 4.0, 2e7])
    found = jax.jit(lambda r: find_roots(lambda x: jnp.tanh(x - r) + 1e-3 * (x - r), jnp.zeros(6)))(roots)
    np.testing.assert_allclose(found, roots, rtol=1e-5, atol=1e-5)


def test_one_trace_serves_every_context(key):
    flow = make_iaf(4, widths=(8,), context_dim=2, key=key)
    inner = chex.assert_max_traces(lambda flow, z, c: flow.forward_and_log_det(z, c), n=1)
    step = eqx.filter_jit(inner)
    outputs = [step(flow, jnp.ones(4), jnp.full((2,), float(i)))[1] for i in range(3)]
    assert len({float(output) for output in outputs}) == 3


def test_an_unknown_inverse_and_a_tolerance_of_zero_are_refused(key):
    with pytest.raises(
        ValueError, match=r"Expected inverse to be one of parallel, sequential; got 'paralel'"
    ):
        make_step(Gated(), key, inverse="paralel")
    with pytest.raises(ValueError, match=r"Expected tolerance to be positive; got 0\."):
        make_step(Gated(), key, tolerance=0)
