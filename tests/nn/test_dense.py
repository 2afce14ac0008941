import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.nn import MLP, Linear


def test_linear_is_the_affine_map(key):
    layer = Linear(3, 2, key=key)
    x = jnp.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(layer(x), layer.weight @ x + layer.bias, rtol=1e-6)


@pytest.mark.parametrize(("init", "variance"), [("he", 2.0), ("lecun", 1.0), ("uniform", 1 / 3 + 1 / 1200)])
def test_initial_outputs_have_the_variance_of_their_scheme(key, init, variance):
    layer = Linear(400, 300, init=init, key=key)
    outputs = jax.vmap(layer)(jax.random.normal(jax.random.key(1), (200, 400)))
    np.testing.assert_allclose(jnp.var(outputs), variance, rtol=0.05)


def test_a_stack_starts_with_what_was_asked_for(key):
    he, uniform = (MLP((300, 200, 100), init=init, key=key) for init in ("he", "uniform"))
    np.testing.assert_allclose(
        [jnp.var(layer.weight) * layer.weight.shape[1] for layer in he.layers], [2, 1], rtol=0.05
    )
    assert all(jnp.abs(layer.weight).max() <= layer.weight.shape[1] ** -0.5 for layer in uniform.layers)
    with pytest.raises(ValueError, match=r"Expected init to be one of he, uniform; got 'xavier'\."):
        MLP((3, 2), init="xavier", key=key)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_mlp_maps_one_example_to_float32_under_jit_and_vmap(key, dtype):
    mlp = MLP((5, 7, 3), dtype=dtype, key=key)
    outputs = jax.jit(jax.vmap(mlp))(jnp.ones((4, 5)))
    chex.assert_shape(outputs, (4, 3))
    assert outputs.dtype == jnp.float32


def test_bfloat16_products_are_near_the_float32_ones(key):
    x = jax.random.normal(jax.random.key(1), (64,))
    exact, rounded = (MLP((64, 32, 8), dtype=dtype, key=key)(x) for dtype in (jnp.float32, jnp.bfloat16))
    assert jnp.max(jnp.abs(exact - rounded)) > 0
    np.testing.assert_allclose(rounded, exact, atol=0.05)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_parameter_has_a_finite_gradient_that_is_not_zero(key, dtype):
    mlp = MLP((5, 7, 3), activation=jnp.tanh, dtype=dtype, key=key)
    gradient = eqx.filter_grad(lambda m: jnp.sum(jax.vmap(m)(jnp.eye(5)) ** 2))(mlp)
    leaves = jax.tree.leaves(gradient)
    assert [leaf.shape for leaf in leaves] == [(7, 5), (7,), (3, 7), (3,)]
    assert all(jnp.isfinite(leaf).all() and jnp.abs(leaf).max() > 0 for leaf in leaves)


def test_the_last_layer_feeds_no_activation(key):
    mlp = MLP((4, 6, 50), key=key)
    assert jnp.min(mlp(jnp.ones(4))) < 0


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (3, -1, 2)])
def test_a_size_that_is_not_positive_is_refused(key, sizes):
    with pytest.raises(ValueError, match=r"Expected (in|out)_dim to be positive; got (0|-1)\."):
        MLP(sizes, key=key)


def test_a_batch_where_one_example_belongs_is_refused(key):
    with pytest.raises(AssertionError):
        Linear(3, 2, key=key)(jnp.ones((4, 3)))
