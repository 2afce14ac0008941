import importlib.util
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from jaxvae import nn

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "flops.py"
SPEC = importlib.util.spec_from_file_location("flops", PATH)
flops = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(flops)

LAYOUT = ("NHWC", "HWIO", "NHWC")


X, W = jnp.ones((5, 7)), jnp.ones((7, 7))
PRODUCT = 5 * 7 * 7


def branches(x, w):
    return jax.lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w)


def by_platform(x, w):
    return jax.lax.platform_dependent(x, w, cpu=lambda x, w: x @ w @ w, default=lambda x, w: x @ w)


@pytest.mark.parametrize(
    ("function", "products"),
    [
        (lambda x, w: x @ w, 1),
        (lambda x, w: jax.vmap(lambda row: w @ row)(x), 1),
        (lambda x, w: jnp.einsum("ij,kj->ik", x, w) + jnp.sum(x * x), 1),
        (lambda x, w: jax.lax.scan(lambda carry, _: (carry @ w, None), x, length=6)[0], 6),
        (jax.jit(jax.grad(lambda x, w: jnp.sum((x @ w) ** 2))), 2),
        (jax.value_and_grad(lambda x, w: jnp.sum((x @ w) ** 2), (0, 1)), 3),
        # Recomputed in the backward pass, and so counted again.
        (jax.value_and_grad(jax.checkpoint(lambda x, w: jnp.sum(jnp.sin(jnp.sin(x @ w))))), 3),
        (branches, 2),
        (by_platform, 1),
        (lambda x, w: jax.nn.relu(x), 0),
    ],
)
def test_matrix_products(function, products):
    assert flops.multiply_adds(function, X, W) == products * PRODUCT


def test_a_loop_of_unknown_length_is_refused_if_there_are_products_in_it():
    def loop(x, w):
        return jax.lax.while_loop(lambda x: x[0, 0] > 0, lambda x: x @ w, x)

    with pytest.raises(ValueError, match="Expected no products in a loop of unknown length"):
        flops.multiply_adds(loop, X, W)
    assert flops.multiply_adds(lambda x: jax.lax.while_loop(lambda x: x[0, 0] > 0, jnp.sin, x), X) == 0


# (size, kernel, groups, options, pairs of a number and a tap along each axis)
CONVOLUTIONS = [
    (5, 3, 1, {"padding": "SAME"}, 13),
    (5, 3, 1, {"padding": "VALID"}, 9),
    (6, 3, 1, {"padding": "SAME", "window_strides": (2, 2)}, 8),
    (5, 2, 1, {"padding": "VALID", "rhs_dilation": (2, 2)}, 6),
    (3, 3, 1, {"padding": ((2, 1), (2, 1)), "lhs_dilation": (2, 2)}, 8),
    (5, 3, 2, {"padding": "VALID", "feature_group_count": 2}, 9),
]


@pytest.mark.parametrize(("size", "kernel", "groups", "options", "pairs"), CONVOLUTIONS)
def test_convolutions_and_their_gradients(size, kernel, groups, options, pairs):
    x, w = jnp.ones((2, size, size, 4)), jnp.ones((kernel, kernel, 4 // groups, 6))
    numbers = ("NHWC", "HWIO", "NHWC")
    given = {"window_strides": (1, 1), "dimension_numbers": numbers, **options}

    def convolve(x, w):
        return jax.lax.conv_general_dilated(x, w, **given)

    expected = 2 * 4 // groups * 6 * pairs**2
    assert flops.multiply_adds(convolve, x, w) == expected
    gradients = jax.value_and_grad(lambda x, w: jnp.sum(convolve(x, w) ** 2), (0, 1))
    assert flops.multiply_adds(gradients, x, w) == 3 * expected


@pytest.mark.parametrize(
    ("options", "pairs"), [({}, 16), ({"stride": 2}, 8), ({"stride": 2, "transposed": True}, 17)]
)
def test_the_layers_of_a_network(options, pairs, key):
    """Whatever the device makes of them."""
    layer = nn.Conv(4, 8, 3, key=key, **options)
    x = jnp.ones((2, 6, 6, 4))

    @eqx.filter_value_and_grad
    def loss(layer, x):
        return jnp.sum(jax.vmap(layer)(x) ** 2)

    # The kernel alone has a gradient.
    assert flops.multiply_adds(loss, layer, x) == 2 * 2 * 4 * 8 * pairs**2
