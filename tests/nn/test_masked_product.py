import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.nn import MADE, MaskedLinear
from jaxvae.nn.masked import _row_blocks
from jaxvae.nn.product import bfloat16_product

KEY = jax.random.key(0)
SORTED = np.sort(np.random.default_rng(0).integers(0, 48, 64))
MASKS = {
    "a staircase": np.arange(64)[:, None] >= np.arange(48),
    "random degrees": SORTED[:, None] >= np.arange(48),
    "rows that see nothing": np.arange(64)[:, None] - 30 > np.arange(48),
    "nothing at all": np.zeros((64, 48), bool),
    "everything": np.ones((64, 48), bool),
    "any": np.random.default_rng(1).random((64, 48)) < 0.5,
    "inputs in another order": np.arange(64)[:, None] >= np.random.default_rng(2).permutation(48),
    "fewer rows than blocks": np.arange(3)[:, None] >= np.arange(48),
}


def whole_product(layer, x):
    """What the layer is to compute, with one product."""
    weight = jnp.where(layer.mask, layer.weight, 0)
    product = bfloat16_product(weight, x) if layer.dtype == jnp.bfloat16 else weight @ x
    return product + layer.bias


def values(function, layer, xs):
    """Outputs of a batch of batches, and the gradients by the weights and the examples."""

    def loss(weight, xs):
        changed = jax.tree.map(lambda leaf: weight if leaf is layer.weight else leaf, layer)
        outputs = jax.vmap(jax.vmap(lambda x: function(changed, x)))(xs)
        return jnp.mean(jnp.sin(outputs)), outputs

    gradients, outputs = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(layer.weight, xs)
    return outputs, *gradients


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("repeats", [1, 2])
@pytest.mark.parametrize("name", MASKS)
def test_in_blocks_it_is_the_whole_masked_product(name, repeats, dtype):
    layer = MaskedLinear(MASKS[name], repeats=repeats, dtype=dtype, key=KEY)
    noise = jax.random.normal(jax.random.key(1), layer.weight.shape)
    layer = jax.tree.map(lambda leaf: leaf + noise if leaf is layer.weight else leaf, layer)
    xs = jax.random.normal(jax.random.key(2), (4, 8, 48))
    blocked, whole = (values(f, layer, xs) for f in (MaskedLinear.__call__, whole_product))
    for one, other in zip(blocked, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * max(1, np.abs(other).max()))


def test_made_s_layers_are_made_in_blocks_that_skip_their_zeros():
    made = MADE(16, (64, 64), key=KEY)
    for layer in made.layers:
        rows = len(layer.mask) // layer.repeats
        work = sum((stop - start) * used for start, stop, used in layer.blocks)
        assert work < 0.7 * rows * layer.mask.shape[1]


def test_a_mask_without_zeros_to_skip_is_one_block():
    assert _row_blocks(MASKS["any"]) == ((0, 64, 48),)
    assert _row_blocks(MASKS["everything"]) == ((0, 64, 48),)
