"""Whole models of convolutional, weight-normalised and autoregressive networks, as the presets have them."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.build import build_model, build_prepare, build_training, make_key
from jaxvae.config import (
    Config,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    LikelihoodConfig,
    ModelConfig,
    ObjectiveConfig,
    PixelCNNConfig,
    PosteriorConfig,
)
from jaxvae.model import log_weight
from jaxvae.nn import Conv, Linear, MaskedLinear
from jaxvae.presets import PRESETS, load_preset
from tests.helpers import assert_trees_equal

pytestmark = pytest.mark.usefixtures("compile_fast")

IMAGES = np.random.RandomState(5).randint(0, 256, (48, 1, 28, 28)).astype(np.uint8)
# The fast one has the networks of the other ResNet and the prior of the PixelCNN.
TINY = [name for name in PRESETS if name.endswith("-tiny") and "fast" not in name]


def count(part) -> int:
    leaves = jax.tree.leaves(part)
    return sum(math.prod(leaf.shape) for leaf in leaves if getattr(leaf, "dtype", None) == jnp.float32)


def test_the_resnet_has_the_parameters_of_what_it_reproduces():
    config = load_preset("mnist-resnet-iaf")
    model = eqx.filter_eval_shape(lambda key: build_model(config, (1, 28, 28), key), jax.random.key(0))
    encoder, decoder = model.posterior.encoder, model.likelihood.decoder.network
    conv, made = 64 * 64 * 9 + 2 * 64, 64 * 1920 + 1920 * 1920 + 1920 * 128
    assert [count(block) for block in (*encoder.network.blocks, *decoder.blocks)] == 12 * [2 * conv]
    assert (count(encoder.network.stem), count(decoder.head)) == (9 * 64 + 2 * 64, 64 * 9 + 2)
    assert count(encoder.network.dense) == 7 * 7 * 64 * 450 + 2 * 450
    assert count(encoder.dense) == 450 * (2 * 64 + 1920) + 2 * (2 * 64 + 1920)
    assert count(decoder.dense) == 64 * 7 * 7 * 64 + 2 * 7 * 7 * 64
    steps = model.posterior.flow.flows[::2]
    assert [count(step) for step in steps] == 8 * [made + 2 * (1920 + 1920 + 128)]
    assert 8 * made == 32_440_320
    assert count(model) == 35_937_670
    assert [block.first.stride for block in encoder.network.blocks] == [1, 1, 2, 1, 2, 1]


def record_outputs(monkeypatch) -> list[list[np.ndarray]]:
    """What every layer gives for each example, over its initial scale, in the order of the first calls."""
    outputs = {}

    def watch(kind):
        original = kind.__call__

        def call(self, *arguments):
            y = original(self, *arguments)
            kept = outputs.setdefault((kind, len(outputs)), [])
            jax.debug.callback(lambda y: kept.append(np.asarray(y)), y / self.norm.init_scale)
            return y

        monkeypatch.setattr(kind, "__call__", call)

    for kind in (Conv, Linear, MaskedLinear):
        watch(kind)
    return outputs


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_preset_starts_normalised_and_trains(name, monkeypatch):
    config = dataclasses.replace(load_preset(name), batch_size=16)
    state, step = build_training(config, (1, 28, 28), IMAGES)
    if "dense" in name:
        again, _ = build_training(config, (1, 28, 28), IMAGES)
        assert_trees_equal(*(eqx.filter(s.model, eqx.is_array) for s in (state, again)))

    with monkeypatch.context() as patch:
        outputs = record_outputs(patch)
        prepare_key, draws_key = jax.random.split(make_key(config, "initialize"))
        x = build_prepare(config)(prepare_key, jnp.asarray(IMAGES[:16]))
        keys = jax.random.split(draws_key, 16)
        jax.block_until_ready(jax.jit(jax.vmap(lambda k, x: log_weight(state.model, k, x)))(keys, x))
        jax.effects_barrier()
    assert len(outputs) >= 10
    for values in outputs.values():
        values = np.stack(values)
        axes = tuple(range(values.ndim - 1))
        means, deviations = values.mean(axis=axes), values.std(axis=axes)
        varies = deviations > 1e-3  # the first of a MADE's outputs is the same for all without a context
        assert varies.mean() > 0.9
        np.testing.assert_allclose(means[varies], 0, atol=0.05)
        np.testing.assert_allclose(deviations[varies] ** 2, 1, atol=0.05)

    before = jax.tree.map(lambda leaf: np.asarray(leaf), eqx.filter(state.model, eqx.is_inexact_array))
    x = build_prepare(config)(jax.random.key(3), jnp.asarray(IMAGES[16:32]))
    for _ in range(3):
        state, terms = step(state, x)
    assert jnp.isfinite(terms["elbo"])
    assert terms["kl"] > 0
    after = jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))
    moved = [np.any(one != two) for one, two in zip(jax.tree.leaves(before), after, strict=True)]
    assert all(moved)


@pytest.mark.parametrize("flow", ["none", "iaf"])
def test_consistency_adds_the_divergence_from_an_augmentation(flow):
    config = Config(
        batch_size=8,
        model=ModelConfig(latent_dim=3),
        encoder=EncoderConfig(widths=(16,)),
        decoder=DecoderConfig(widths=(16,)),
        posterior=PosteriorConfig(flow=flow),
        objective=ObjectiveConfig(consistency=0.1),
        data=DataConfig(binarization="dynamic"),
    )
    state, step = build_training(config, (1, 28, 28), IMAGES)
    pair = build_prepare(config)(jax.random.key(3), jnp.asarray(IMAGES[:8]))
    _, terms = step(state, pair)
    assert set(terms) == {"elbo", "kl", "consistency"}
    assert jnp.isfinite(terms["consistency"])
    if flow == "none":
        assert terms["consistency"] > 0
    state, _ = build_training(config, (1, 28, 28), IMAGES)
    _, same = step(state, (pair[0], pair[0]))
    np.testing.assert_allclose(same["consistency"], 0, atol=1e-3)


BAD = {
    "strides": (
        Config(encoder=EncoderConfig(network="resnet")),
        r"Expected strides \(1, 2, 2\), a factor of 4 in all, to divide .* of the images; got 6 x 5\.",
    ),
    "grey pixels in a PixelCNN": (
        Config(
            likelihood=LikelihoodConfig(name="grey-bernoulli"),
            data=DataConfig(binarization="none"),
            pixelcnn=PixelCNNConfig(model="gated"),
        ),
        r"Expected the likelihood of a PixelCNN to be one of bernoulli; got 'grey-bernoulli'",
    ),
    "an added context of another size": (
        Config(posterior=PosteriorConfig(flow="iaf", widths=(9,), context_dim=7, context_layers="add")),
        r"Expected a context that is added to the first hidden layer to have its size, 9; got 7\.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_built_is_refused(name):
    config, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        build_model(config, (1, 6, 5), jax.random.key(0))


def test_a_device_without_bfloat16_is_named(monkeypatch):
    def refuse(*arrays):
        raise jax.errors.JaxRuntimeError("UNIMPLEMENTED: bf16")

    monkeypatch.setattr(jnp, "dot", refuse)
    message = r"Expected a device that multiplies in bfloat16 \(or --precision float32\); got "
    with pytest.raises(ValueError, match=message):
        build_model(Config(precision="bfloat16"), (1, 4, 4), jax.random.key(0))
