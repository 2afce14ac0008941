"""MADE: its Jacobian is zero where the mask says so, and nowhere else."""

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.nn import MADE, MaskedLinear
from tests.flows.table import perturb

pytestmark = pytest.mark.usefixtures("compile_fast")

LATENT_DIM = 6


def jacobian_of(made, context=None):
    z = jax.random.normal(jax.random.key(3), (len(made.order),))
    return eqx.filter_jit(jax.jacobian(lambda z: made(z, context)))(z)


OPTIONS = {
    "plain": {},
    "deep": {"widths": (17, 19, 23)},
    "linear": {"widths": ()},
    "random degrees": {"degrees": "random", "widths": (60, 60)},
    "another order": {"order": (3, 0, 5, 1, 4, 2)},
    "residual": {"residual": True, "widths": (21, 21, 21)},
    "residual with random degrees": {"residual": True, "widths": (60, 60), "degrees": "random"},
    "weight norm": {"weight_norm": True},
    "context": {"context_dim": 3},
    "context in the first layer": {"context_dim": 3, "context_layers": "first", "weight_norm": True},
    "an added context": {"context_dim": 20, "context_layers": "add", "weight_norm": True},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_output_depends_on_every_input_before_it_in_the_order_and_on_no_other(key, name):
    options = {"widths": (20, 20), "activation": jnp.tanh, "num_outputs": 3, **OPTIONS[name]}
    made = perturb(MADE(LATENT_DIM, key=key, **options), key, 0.1)
    context = jnp.ones(made.context_dim) if made.context_dim else None
    jacobian = jacobian_of(made, context)
    chex.assert_shape(jacobian, (3, LATENT_DIM, LATENT_DIM))
    order = np.asarray(made.order)
    before = order[:, None] > order[None, :]
    np.testing.assert_array_equal(np.asarray(jacobian) != 0, np.broadcast_to(before, jacobian.shape))


@pytest.mark.parametrize("context_layers", ["first", "every"])
@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_every_output_depends_on_the_context_the_first_one_too(key, latent_dim, context_layers):
    made = MADE(
        latent_dim, (16, 16), context_dim=2, context_layers=context_layers, activation=jnp.tanh, key=key
    )
    z = jnp.zeros(latent_dim)
    moved = perturb(made, key, 0.1)
    by_context = jax.jit(jax.jacobian(lambda c: moved(z, c)))(jnp.array([0.3, -0.6]))
    assert jnp.all(by_context != 0)


def test_an_added_context_moves_the_first_hidden_layer_as_it_is(key):
    options = {"context_dim": 16, "context_layers": "add", "activation": jnp.tanh}
    made = perturb(MADE(5, (16, 16), key=key, **options), key, 0.1)
    z, context = jnp.arange(5.0), jnp.linspace(-1, 1, 16)
    np.testing.assert_allclose(
        made.layers[0](z, context), made.layers[0](z, jnp.zeros(16)) + context, atol=1e-5
    )
    assert all(layer.context_weight is None for layer in made.layers)
    by_context = jax.jit(jax.jacobian(lambda c: made(z, c)))(context)
    assert jnp.all(jnp.any(by_context != 0, axis=-1))


def test_a_narrow_network_leaves_every_output_an_input(key):
    for context_dim in (0, 2):
        made = perturb(MADE(64, (3,), context_dim=context_dim, activation=jnp.tanh, key=key), key, 0.1)
        jacobian = jacobian_of(made, jnp.ones(2) if context_dim else None)
        assert jnp.all(jnp.any(jacobian[:, 1:] != 0, axis=-1))


def test_the_context_enters_every_layer_or_the_first_alone(key):
    first, every = (
        MADE(4, (8, 8), context_dim=2, context_layers=name, key=key) for name in ("first", "every")
    )
    assert [layer.context_weight is not None for layer in first.layers] == [True, False, False]
    assert [layer.context_weight is not None for layer in every.layers] == [True, True, True]


def test_masks_are_bool_and_no_parameters(key):
    made = MADE(4, (8,), key=key)
    assert all(layer.mask.dtype == bool for layer in made.layers)
    leaves = jax.tree.leaves(eqx.filter(made, eqx.is_inexact_array))
    assert [leaf.shape for leaf in leaves] == [(8, 4), (8,), (8, 8), (8,)]


def test_random_degrees_come_from_their_seed_and_never_from_the_key(key):
    def masks(made):
        return np.concatenate([np.asarray(layer.mask).ravel() for layer in made.layers])

    def make(degrees, key, seed=0):
        return MADE(5, (40, 40), degrees=degrees, degrees_seed=seed, key=key)

    other = jax.random.key(1)
    for degrees in ("equal", "random"):
        one, two = make(degrees, key), make(degrees, other)
        np.testing.assert_array_equal(masks(one), masks(two))
        # So that weights may be put into a network that was made with another key.
        assert jax.tree.structure(one) == jax.tree.structure(two)
    assert np.any(masks(make("random", key)) != masks(make("random", key, seed=1)))
    many = eqx.filter_vmap(lambda key: make("random", key)(jnp.ones(5)))(jax.random.split(key, 3))
    chex.assert_shape(many, (3, 2, 5))


def test_initial_outputs_have_the_deviation_that_was_asked_for_whatever_the_mask_leaves(key):
    mask = np.tri(400, 300, -20, dtype=bool)
    layer = MaskedLinear(mask, gain=2.0, key=key)
    outputs = jax.vmap(layer)(jax.random.normal(jax.random.key(1), (500, 300)))
    np.testing.assert_allclose(jnp.std(outputs[:, 21:], axis=0).mean(), 2.0, rtol=0.05)
    np.testing.assert_array_equal(outputs[:, :20], 0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-6), (jnp.bfloat16, 0.05)])
def test_a_batch_under_jit_gives_what_its_examples_give_alone(key, dtype, tolerance):
    made = MADE(LATENT_DIM, (32, 32), context_dim=2, dtype=dtype, key=key)
    latents, contexts = jax.random.normal(key, (16, LATENT_DIM)), jax.random.normal(key, (16, 2))
    together = eqx.filter_jit(eqx.filter_vmap(made))(latents, contexts)
    chex.assert_shape(together, (16, 2, LATENT_DIM))
    assert together.dtype == jnp.float32
    exact = MADE(LATENT_DIM, (32, 32), context_dim=2, key=key)(latents[3], contexts[3])
    np.testing.assert_allclose(together[3], exact, atol=tolerance)


BAD = {
    "latent": ({"latent_dim": 0}, r"Expected latent_dim to be positive; got 0\."),
    "outputs": ({"num_outputs": 0}, r"Expected num_outputs to be positive; got 0\."),
    "width": ({"widths": (4, 0)}, r"Expected widths to be positive; got 0\."),
    "order": ({"order": (0, 1, 1, 2)}, r"Expected order to be a permutation of 0 to 3; got \(0, 1, 1, 2\)\."),
    "degrees": ({"degrees": "even"}, r"Expected degrees to be one of equal, random; got 'even'\."),
    "context": ({"context_layers": "last"}, r"context_layers to be one of add, every, first; got 'last'\."),
    "residual": (
        {"residual": True, "widths": (8, 9)},
        r"Expected widths of a residual MADE to be all the same; got \(8, 9\)\.",
    ),
    "dtype": ({"dtype": jnp.float16}, r"Expected dtype to be one of bfloat16, float32; got 'float16'"),
    "too narrow": (
        {"widths": (1,), "context_dim": 2},
        r"Expected widths \(1,\) and their degrees to leave every output but the first of the order an "
        r"input; got none for place 1 of 0 to 3\.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_network_that_cannot_be_is_refused(key, name):
    options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        MADE(**{"latent_dim": 4, "widths": (8,), "key": key, **options})


def test_random_degrees_that_leave_an_output_without_inputs_are_refused(key):
    # In few narrow draws no hidden unit is left for the second output.
    messages = []
    for seed in range(20):
        try:
            MADE(12, (2,), degrees="random", degrees_seed=seed, key=key)
        except ValueError as error:
            messages.append(str(error))
    assert messages
    assert all("got none for place" in message for message in messages)
