"""Weight normalisation and its initialisation from data."""

import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.flows import as_bijector, make_iaf
from jaxvae.nn import MADE, initialize_from_data
from tests.helpers import assert_trees_equal

pytestmark = pytest.mark.usefixtures("compile_fast")

EXAMPLES = 3.0 + 2.0 * jax.random.normal(jax.random.key(5), (200, 6))
CONTEXTS = jax.random.normal(jax.random.key(6), (200, 2))


def make(key, **options):
    return MADE(6, (20, 20), weight_norm=True, context_dim=2, key=key, **options)


@eqx.filter_jit
def map_examples(made):
    return jax.vmap(made)(EXAMPLES, CONTEXTS)


def hidden_layers(made, z, context):
    outputs, hidden = [], z
    for i, layer in enumerate(made.layers):
        hidden = layer(hidden if i == 0 else made.activation(hidden), context)
        outputs.append(hidden)
    return outputs


def test_normalising_changes_nothing_before_training(key):
    normalised, plain = make(key), MADE(6, (20, 20), context_dim=2, key=key)
    one, two = (map_examples(made) for made in (normalised, plain))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


def test_the_length_of_the_weights_that_the_mask_leaves_does_not_matter(key):
    made = make(key)
    longer = eqx.tree_at(lambda m: m.layers[1].weight, made, 7 * made.layers[1].weight)
    longer = eqx.tree_at(lambda m: m.layers[1].context_weight, longer, 7 * made.layers[1].context_weight)
    # What the mask hides counts for nothing.
    hidden = jnp.where(made.layers[0].mask, made.layers[0].weight, 1e6)
    longer = eqx.tree_at(lambda m: m.layers[0].weight, longer, hidden)
    one, two = (map_examples(m) for m in (made, longer))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-4)


def test_after_initialisation_every_layer_has_mean_zero_and_its_deviation(key):
    made = initialize_from_data(make(key), lambda m, z, c: m(z, c), EXAMPLES, CONTEXTS)
    outputs = jax.jit(jax.vmap(lambda z, c: hidden_layers(made, z, c)))(EXAMPLES, CONTEXTS)
    for output, deviation in zip(outputs, (1.0, 1.0, 0.1), strict=True):
        np.testing.assert_allclose(jnp.mean(output, axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(jnp.std(output, axis=0), deviation, rtol=1e-2)


def test_an_output_that_is_the_same_for_every_example_stays_as_it_is(key):
    made = MADE(6, (20, 20), weight_norm=True, key=key)  # without a context the first output is constant
    for examples, constant in ((EXAMPLES, slice(0, None, 6)), (EXAMPLES[:1], slice(None))):
        initialised = initialize_from_data(made, lambda m, z: m(z), examples)
        gains = initialised.layers[-1].norm.gain, made.layers[-1].norm.gain
        np.testing.assert_array_equal(gains[0][constant], gains[1][constant])


def test_layers_inside_a_distribution_that_maps_over_its_draws_are_found(key):
    flow = make_iaf(6, widths=(20,), weight_norm=True, context_dim=2, key=key)

    def draw(flow, key, context):
        base = distrax.Independent(distrax.Normal(jnp.ones(6), 3 * jnp.ones(6)), 1)
        return distrax.Transformed(base, as_bijector(flow, context)).sample_and_log_prob(seed=key)

    keys = jax.random.split(key, len(CONTEXTS))
    initialised, again = (initialize_from_data(flow, draw, keys, CONTEXTS) for _ in range(2))
    for old, new in zip(flow.flows[::2], initialised.flows[::2], strict=True):
        for before, after in zip(old.made.layers, new.made.layers, strict=True):
            assert jnp.all(before.norm.gain != after.norm.gain)
            assert jnp.any(after.norm.bias != 0)
            np.testing.assert_array_equal(before.weight, after.weight)
    assert_trees_equal(eqx.filter(initialised, eqx.is_array), eqx.filter(again, eqx.is_array))


def test_a_jitted_pass_reaches_the_layers_as_well_and_again(key):
    def function(made, z, context):
        return made(z, context)

    jitted = eqx.filter_jit(function)
    plain = initialize_from_data(make(key), function, EXAMPLES, CONTEXTS)
    for _ in range(2):
        made = initialize_from_data(make(key), jitted, EXAMPLES, CONTEXTS)
        for one, two in zip(made.layers, plain.layers, strict=True):
            np.testing.assert_allclose(one.norm.gain, two.norm.gain, rtol=1e-4)


def test_a_layer_that_the_pass_does_not_reach_is_an_error(key):
    with pytest.raises(ValueError, match=r"Expected a pass .* to reach every .* layer; got 3 of 6\."):
        initialize_from_data((make(key), make(key)), lambda m, z, c: m[1](z, c), EXAMPLES, CONTEXTS)


def test_a_model_without_weight_norm_is_left_alone_and_an_error_leaves_no_trace(key):
    plain = MADE(6, (8,), key=key)
    assert initialize_from_data(plain, lambda *_: pytest.fail("called"), EXAMPLES) is plain

    def fail(made, z, context):
        made(z, context)
        raise RuntimeError("no")

    made = make(key)
    with pytest.raises(RuntimeError, match="no"):
        initialize_from_data(made, fail, EXAMPLES, CONTEXTS)
    assert jnp.isfinite(made(EXAMPLES[0], CONTEXTS[0])).all()


def test_gains_and_biases_are_trained(key):
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum(map_examples(m) ** 2)))(make(key))
    for layer in gradient.layers:
        assert layer.bias is None
        for leaf in (layer.weight, layer.norm.gain, layer.norm.bias):
            assert jnp.isfinite(leaf).all()
            assert jnp.abs(leaf).max() > 0
