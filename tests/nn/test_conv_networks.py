"""Convolutional layers and the networks made of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.nn import Conv, GatedConv, GatedConvDown, GatedConvUp, ResidualBlock, ResNetDown, ResNetUp

pytestmark = pytest.mark.usefixtures("compile_fast")

DOWN = {
    "resnet": lambda key, **options: ResNetDown(
        (2, 8, 12), maps=(3, 4), strides=(2, 2), num_blocks=2, width=5, key=key, **options
    ),
    "gated": lambda key, **options: GatedConvDown(
        (2, 8, 12), maps=(3, 4), strides=(2, 2), kernel_size=3, width=5, key=key, **options
    ),
}
UP = {
    "transposed": lambda key, **options: ResNetUp(
        7, (2, 8, 12), maps=(3, 4), strides=(2, 2), num_blocks=2, key=key, **options
    ),
    "resize": lambda key, **options: ResNetUp(
        7, (2, 8, 12), maps=(3, 4), strides=(2, 2), upsample="resize", key=key, **options
    ),
    "gated": lambda key, **options: GatedConvUp(
        7, (2, 8, 12), maps=(3, 4), strides=(2, 2), kernel_size=3, key=key, **options
    ),
}
CASES = {name: (make, (8, 12, 2)) for name, make in DOWN.items()} | {
    f"{name} up": (make, (7,)) for name, make in UP.items()
}


def size_of(module):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(module, eqx.is_inexact_array)))


def test_a_convolution_is_the_sum_that_its_definition_says(key):
    conv, x = Conv(2, 3, 3, stride=2, key=key), jax.random.normal(key, (5, 7, 2))
    conv = eqx.tree_at(lambda c: (c.norm.gain, c.norm.bias), conv, (jnp.array([1.0, 2, 3]), jnp.arange(3.0)))
    weight = np.asarray(conv.weight)
    weight = weight / np.sqrt((weight**2).sum(axis=(0, 1, 2))) * [1, 2, 3]
    padded = np.pad(np.asarray(x), ((1, 1), (1, 1), (0, 0)))
    wanted = [
        [np.tensordot(padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3], weight, 3) + [0, 1, 2] for j in range(4)]
        for i in range(3)
    ]
    np.testing.assert_allclose(conv(x), wanted, atol=1e-5)


@pytest.mark.parametrize("stride", [2, 3])
def test_a_transposed_convolution_multiplies_the_size_by_its_stride(key, stride):
    conv = Conv(2, 3, 5, stride=stride, transposed=True, weight_norm=False, key=key)
    x = jax.random.normal(key, (40, 30, 2))
    y = conv(x)
    assert y.shape == (40 * stride, 30 * stride, 3)
    assert 0.6 < jnp.std(y) < 1.4  # the initial weights keep the scale


def test_a_residual_block_is_its_shortcut_where_the_branch_is_nothing(key):
    x = jax.random.normal(key, (4, 6, 3))
    down = ResidualBlock(3, 3, stride=2, branch_scale=0.0, key=key)
    np.testing.assert_allclose(down(x)[1, 2], jnp.mean(x[2:4, 4:6], axis=(0, 1)), rtol=1e-5)
    for up in ("transposed", "resize"):
        y = ResidualBlock(3, 3, stride=2, up=up, branch_scale=0.0, key=key)(x)
        np.testing.assert_array_equal(y[::2, 1::2], x)
        np.testing.assert_array_equal(y[1::2, ::2], x)


def test_a_gate_between_0_and_1_multiplies_a_convolution(key):
    layer, x = GatedConv(2, 3, 3, key=key), jax.random.normal(key, (4, 6, 2))
    both = layer.conv(x)
    np.testing.assert_allclose(layer(x), both[..., :3] / (1 + jnp.exp(-both[..., 3:])), rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_networks_have_their_shapes_and_every_leaf_is_trained(name, key):
    make, shape = CASES[name]
    network, x = make(key), jax.random.normal(key, (4, *shape))

    @eqx.filter_jit
    @eqx.filter_value_and_grad(has_aux=True)
    def loss(network, x):
        y = jax.vmap(network)(x)
        return jnp.sum(jnp.sin(y)), y

    (_, y), gradient = loss(network, x)
    assert y.shape == ((4, 5) if len(shape) == 3 else (4, 8, 12, 2))
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == len(jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array)))
    assert all(jnp.isfinite(leaf).all() and jnp.abs(leaf).max() > 0 for leaf in leaves)
    # What an image gives does not depend on the images beside it.
    np.testing.assert_allclose(eqx.filter_jit(network)(x[2]), y[2], atol=1e-5)

    again, gradient_again = loss(make(key, remat=True), x)
    np.testing.assert_allclose(again[1], y, atol=1e-5)
    for one, two in zip(leaves, jax.tree.leaves(gradient_again), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("kind", [ResNetDown, GatedConvDown])
def test_remat_keeps_less_for_the_backward_pass(kind, key):
    def kept(remat):
        network = kind((1, 32, 32), maps=(4, 4), strides=(1, 2), width=2, remat=remat, key=key)
        _, backward = jax.eval_shape(lambda x: jax.vjp(network, x), jnp.ones((32, 32, 1)))
        return sum(leaf.size for leaf in jax.tree.leaves(backward))

    assert kept(True) < 0.7 * kept(False)


@pytest.mark.parametrize("name", CASES)
def test_bfloat16_stays_near_float32_and_keeps_float32_parameters(name, key):
    make, shape = CASES[name]
    x = jax.random.normal(key, (6, *shape))
    full, low = (make(key, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    one, two = jax.vmap(full)(x), jax.vmap(low)(x)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(eqx.filter(low, eqx.is_inexact_array)))
    assert two.dtype == jnp.float32
    error = jnp.sqrt(jnp.mean((one - two) ** 2) / jnp.mean(one**2))
    assert 1e-5 < error < 0.05


def test_the_sizes_of_the_networks_are_those_of_their_layers(key):
    conv = 9 * 3 * 3 + 2 * 3
    assert size_of(ResidualBlock(3, 3, key=key)) == 2 * conv
    assert size_of(ResidualBlock(2, 3, key=key)) == (9 * 2 * 3 + 6) + conv + (2 * 3 + 6)
    assert size_of(GatedConv(2, 3, 5, weight_norm=False, key=key)) == 25 * 2 * 6 + 6


BAD = {
    "sizes": (
        lambda key: ResNetDown((1, 28, 28), strides=(1, 2, 3), key=key),
        r"Expected strides \(1, 2, 3\), a factor of 6 in all, to divide .* of the images; got 28 x 28\.",
    ),
    "up": (
        lambda key: GatedConvUp(5, (1, 9, 8), maps=(2,), strides=(2,), key=key),
        r"Expected strides \(2,\), a factor of 2 in all, to divide .* of the images; got 9 x 8\.",
    ),
    "stages": (
        lambda key: ResNetUp(5, (1, 8, 8), maps=(2, 3), strides=(2,), key=key),
        r"Expected at least one stage and a stride for the maps of each; got maps \(2, 3\), strides \(2,\)",
    ),
    "none": (
        lambda key: GatedConvDown((1, 8, 8), maps=(), strides=(), key=key),
        r"Expected at least one stage .*; got maps \(\), strides \(\)\.",
    ),
    "maps": (
        lambda key: ResNetDown((1, 8, 8), maps=(0,), strides=(2,), key=key),
        r"Expected maps to be positive; got 0\.",
    ),
    "blocks": (
        lambda key: ResNetDown((1, 8, 8), maps=(2,), strides=(2,), num_blocks=0, key=key),
        r"Expected num_blocks to be positive; got 0\.",
    ),
    "upsample": (
        lambda key: ResNetUp(5, (1, 8, 8), maps=(2,), strides=(2,), upsample="resise", key=key),
        r"Expected upsample to be one of resize, transposed; got 'resise' \(near: resize\)\.",
    ),
    "kernel": (lambda key: Conv(1, 1, 0, key=key), r"Expected kernel_size to be positive; got 0\."),
    "padding": (
        lambda key: Conv(1, 1, padding="sane", key=key),
        r"Expected padding to be one of same, valid; got 'sane' \(near: same\)\.",
    ),
    "dtype": (
        lambda key: Conv(1, 1, dtype=jnp.float16, key=key),
        r"Expected dtype to be one of bfloat16, float32; got 'float16'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name, key):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call(key)
