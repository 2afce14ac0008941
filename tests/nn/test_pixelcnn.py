"""PixelCNN: its Jacobian is the receptive field, and its fast draws are those of the whole network."""

import itertools

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.likelihoods import Bernoulli
from jaxvae.nn import PixelCNN, initialize_from_data
from jaxvae.nn.pixelcnn import JointConv

pytestmark = pytest.mark.usefixtures("compile_fast")

CONTEXT_MAPS = 2
SMALL = {"num_layers": 2, "maps": 4, "first_kernel_size": 3, "kernel_size": 3}
# name -> image shape, options, and how far a pixel sees
CASES = {
    "channels": ((3, 4, 6), SMALL, 2),
    "first window alone": ((1, 4, 6), {"first_kernel_size": 5, "kernel_size": 1}, 2),
    "wide": ((1, 5, 8), {"kernel_size": 5}, 3),
    "one row": ((2, 1, 6), {"num_layers": 3}, 3),
    "one column": ((1, 5, 1), {"num_layers": 1}, 1),
}


def make(shape, **options):
    """A network with random weights, gains and biases, and without compiling what would draw them."""
    random = np.random.RandomState(7)
    shapes = eqx.filter_eval_shape(
        lambda key: PixelCNN(shape, CONTEXT_MAPS, key=key, **{**SMALL, **options}), jax.random.key(0)
    )
    return jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), jnp.float32), shapes)


def draw_inputs(network, count):
    random, (channels, height, width) = np.random.RandomState(5), network.image_shape
    images = random.randint(0, 2, (count, channels, height, width))
    contexts = random.normal(size=(count, CONTEXT_MAPS, height, width))
    return jnp.asarray(images, jnp.float32), jnp.asarray(contexts, jnp.float32)


# Compiled once for each network and batch size.
batched = eqx.filter_jit(eqx.filter_vmap(lambda n, x, c: n(x, c), in_axes=(None, 0, 0)))


def receptive_field(height, width, reach):
    """True where the pixel of the first two axes sees that of the last two."""
    row, column, other_row, other_column = np.ix_(*(range(size) for size in (height, width) * 2))
    down, right = row - other_row, column - other_column
    above = (down > 0) & (down <= reach) & (np.abs(right) <= reach)
    return above | ((down == 0) & (right > 0) & (right <= reach))


@pytest.mark.parametrize("name", CASES)
def test_a_pixel_sees_every_pixel_before_it_within_reach_and_no_other(name):
    shape, options, reach = CASES[name]
    network = make(shape, **options)
    (x,), (context,) = draw_inputs(network, 1)
    jacobian = eqx.filter_jit(jax.jacfwd(lambda x: network(x, context)))(x)
    chex.assert_shape(jacobian, (*shape, *shape))
    seen = receptive_field(*shape[1:], reach)[None, :, :, None]
    np.testing.assert_array_equal(jacobian != 0, np.broadcast_to(seen, jacobian.shape))


def test_every_logit_depends_on_all_of_the_context_at_its_place():
    network = make((1, 2, 3))
    (x,), (context,) = draw_inputs(network, 1)
    jacobian = eqx.filter_jit(jax.jacfwd(lambda context: network(x, context)))(context)
    for row, column in itertools.product(range(2), range(3)):
        assert jnp.all(jacobian[:, row, column, :, row, column] != 0)


def test_the_probabilities_of_all_images_sum_to_one():
    network = make((2, 2, 2))
    images = jnp.array(list(itertools.product([0.0, 1.0], repeat=8))).reshape(-1, 2, 2, 2)
    context = draw_inputs(network, 1)[1]
    logits = batched(network, images, jnp.broadcast_to(context, (len(images), *context.shape[1:])))
    log_probs = jax.vmap(lambda logits, x: Bernoulli(logits).log_prob(x))(logits, images)
    assert jnp.std(log_probs) > 0.3
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_probs)), 1, atol=1e-5)


@eqx.filter_jit
def draw_slowly(network, keys, contexts):
    """The whole network for every pixel."""
    channels, height, width = network.image_shape
    uniforms = jax.vmap(lambda k: jax.random.uniform(k, (height, width, channels)))(keys)
    uniforms = jnp.moveaxis(uniforms, -1, 1)

    def draw_pixel(i, images):
        row, column = jnp.divmod(i, width)
        drawn = uniforms < jax.nn.sigmoid(jax.vmap(network)(images, contexts))
        return images.at[:, :, row, column].set(drawn[:, :, row, column])

    return jax.lax.fori_loop(0, height * width, draw_pixel, jnp.zeros((len(keys), *network.image_shape)))


@pytest.mark.parametrize("name", CASES)
def test_draws_are_those_of_the_whole_network_called_for_every_pixel(key, name):
    shape, options, _ = CASES[name]
    # Far enough from flat, and draws enough, for each kept row and column to change some of them.
    network = jax.tree.map(lambda leaf: 2 * leaf, make(shape, **options))
    keys, (_, contexts) = jax.random.split(key, 128), draw_inputs(network, 128)
    draw = eqx.filter_jit(eqx.filter_vmap(lambda n, k, c: n.sample(k, c), in_axes=(None, 0, 0)))
    fast = draw(network, keys, contexts)
    assert 0.1 < jnp.mean(fast) < 0.9
    np.testing.assert_array_equal(fast, draw_slowly(network, keys, contexts))


def test_after_initialisation_every_layer_has_mean_zero_and_deviation_one(monkeypatch):
    network = make((2, 5, 6))
    examples = draw_inputs(network, 8)
    network = initialize_from_data(network, eqx.filter_jit(lambda n, x, c: n(x, c)), *examples)
    call = JointConv.__call__

    @jax.jit
    @jax.vmap
    def layer_outputs(x, context):
        outputs = []

        def record(layer, *inputs):
            outputs.append(call(layer, *inputs))
            return outputs[-1]

        with monkeypatch.context() as patch:
            patch.setattr(JointConv, "__call__", record)
            network(x, context)
        return outputs

    outputs = layer_outputs(*examples)
    assert len(outputs) == 3 * SMALL["num_layers"] + 2
    for output in outputs:
        np.testing.assert_allclose(jnp.mean(output, axis=(0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(jnp.std(output, axis=(0, 1, 2)), 1, atol=1e-3)


def test_the_length_of_the_weights_does_not_matter():
    network = make((1, 4, 5))
    longer = jax.tree.map(lambda leaf: 3 * leaf if leaf.ndim == 4 else leaf, network)
    inputs = draw_inputs(network, 2)
    np.testing.assert_allclose(batched(longer, *inputs), batched(network, *inputs), atol=1e-4)


def test_a_layer_is_the_normalised_sum_of_its_convolutions(key):
    fresh = JointConv([(1, 2, 3), (1, 1, 5)], 4, dtype=jnp.float32, key=key)
    left, beside = jax.random.normal(key, (3, 6, 3)), jnp.ones((3, 5, 5))
    taps = jnp.stack([left[:, :-1], left[:, 1:]])
    first, second = fresh.weights
    total = jnp.einsum("khwi,kio->hwo", taps, first[0]) + beside @ second[0, 0]
    np.testing.assert_allclose(fresh(left, beside), total, atol=1e-5)
    gain, bias = jnp.array([1.0, -2.0, 0.5, 3.0]), jnp.arange(4.0)
    moved = eqx.tree_at(lambda layer: (layer.norm.gain, layer.norm.bias), fresh, (gain, bias))
    norms = jnp.sqrt(jnp.sum(first**2, axis=(0, 1, 2)) + jnp.sum(second**2, axis=(0, 1, 2)))
    np.testing.assert_allclose(moved(left, beside), gain * total / norms + bias, atol=1e-5)


def test_every_parameter_has_a_finite_gradient_that_is_not_zero():
    network = make((2, 4, 5))
    images, contexts = draw_inputs(network, 3)

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient_of(network):
        return jnp.sum(jax.vmap(lambda x, c: Bernoulli(network(x, c)).log_prob(x))(images, contexts))

    leaves = jax.tree_util.tree_leaves_with_path(gradient_of(network))
    # Of both layers 2 + 3 + 1 kernels, of the head 2; a gain and a bias for each of 8 convolutions.
    assert len(leaves) == 2 * 6 + 2 + 2 * 8
    for path, leaf in leaves:
        assert leaf.dtype == jnp.float32
        assert jnp.isfinite(leaf).all(), path
        assert jnp.abs(leaf).max() > 0, path


def test_low_precision_is_near_and_its_parameters_and_logits_are_float32(key):
    exact, low = (make((3, 5, 4), dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    inputs = draw_inputs(exact, 4)
    one, two = batched(exact, *inputs), batched(low, *inputs)
    assert two.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(low, eqx.is_array))} == {jnp.dtype("float32")}
    difference = jnp.max(jnp.abs(one - two))
    assert 0 < difference < 0.05 * jnp.max(jnp.abs(one))
    drawn = eqx.filter_jit(lambda n: n.sample(key, inputs[1][0]))(low)
    assert (drawn.shape, drawn.dtype) == ((3, 5, 4), jnp.float32)


def test_an_image_has_the_same_logits_whatever_is_beside_it():
    network = make((1, 4, 5))
    images, contexts = draw_inputs(network, 3)
    together = batched(network, images, contexts)
    beside = batched(network, images.at[1:].set(1.0), contexts.at[1:].set(7.0))
    np.testing.assert_array_equal(together[0], beside[0])
    np.testing.assert_allclose(together[0], eqx.filter_jit(network)(images[0], contexts[0]), atol=1e-5)


BAD = {
    "channels": ({"image_shape": (0, 4, 4)}, r"Expected channels to be positive; got 0\."),
    "height": ({"image_shape": (1, 0, 4)}, r"Expected height to be positive; got 0\."),
    "width": ({"image_shape": (1, 4, -1)}, r"Expected width to be positive; got -1\."),
    "context": ({"context_maps": 0}, r"Expected context_maps to be positive; got 0\."),
    "layers": ({"num_layers": 0}, r"Expected num_layers to be positive; got 0\."),
    "maps": ({"maps": 0}, r"Expected maps to be positive; got 0\."),
    "dtype": ({"dtype": jnp.float16}, r"Expected dtype to be one of bfloat16, float32; got 'float16'"),
    "first kernel": (
        {"first_kernel_size": 1},
        r"Expected first_kernel_size to be odd and at least 3; got 1\.",
    ),
    "even": ({"kernel_size": 4}, r"Expected kernel_size to be odd and at least 1; got 4\."),
    "no kernel": ({"kernel_size": -1}, r"Expected kernel_size to be odd and at least 1; got -1\."),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_network_that_cannot_be_is_refused(key, name):
    options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        PixelCNN(**{"image_shape": (1, 4, 4), "context_maps": 2, "key": key, **options})


def test_an_image_or_a_context_of_another_shape_is_refused(key):
    network = make((1, 3, 4))
    (x,), (context,) = draw_inputs(network, 1)
    message = r"Expected the context to have shape \(2, 3, 4\); got \(1, 3, 4\)\."
    for call in (lambda: network(x, context[:1]), lambda: network.sample(key, context[:1])):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(AssertionError):
        network(x[:, :2], context)
