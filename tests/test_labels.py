"""Labels: as one-hot vectors and embedded, in every part of a model, and where they should not be."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import log_weight
from jaxvae.build import build_model, build_training
from jaxvae.config import (
    Config,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    ObjectiveConfig,
    PixelCNNConfig,
    PosteriorConfig,
    PriorConfig,
)
from jaxvae.encoders import LabelEncoder
from jaxvae.labels import WithEmbedding, expect_classes, one_hot
from jaxvae.priors import FlowPrior, GaussianPrior

SHAPE, CLASSES = (1, 8, 8), 3
Y = np.eye(CLASSES, dtype=np.float32)


def small(**parts) -> Config:
    model = parts.pop("model", ModelConfig(latent_dim=4, labels="one-hot", learned_prior=True))
    parts = {"encoder": EncoderConfig(widths=(8,)), "decoder": DecoderConfig(widths=(8,)), **parts}
    return Config(model=model, batch_size=6, **parts)


CONV = {"network": "gated-conv", "maps": (3,), "strides": (2,)}
CONDITIONAL = {
    "one-hot": small(),
    "embedded": small(model=ModelConfig(latent_dim=4, labels="embedded", label_dim=2, learned_prior=True)),
    "the same prior for all": small(model=ModelConfig(latent_dim=4, labels="one-hot")),
    "convolutions": small(encoder=EncoderConfig(**CONV, width=8), decoder=DecoderConfig(**CONV)),
    "flows": small(
        posterior=PosteriorConfig(flow="iaf", num_flows=1, widths=(6,)),
        prior=PriorConfig(flow="iaf", num_flows=1, widths=(6,)),
    ),
    "PixelCNN": small(pixelcnn=PixelCNNConfig(model="gated", num_layers=1, maps=4, context_maps=2)),
    "DReG": small(objective=ObjectiveConfig(name="dreg", num_samples=3)),
    "STL": small(objective=ObjectiveConfig(name="stl")),
    "consistency": small(objective=ObjectiveConfig(consistency=0.1, kl="closed-form")),
}


@pytest.mark.usefixtures("compile_fast")
@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_conditional_model_trains_and_every_parameter_gets_a_gradient(name, key):
    config = CONDITIONAL[name]
    images = np.asarray(jax.random.bernoulli(key, 0.4, (6, *SHAPE)), np.uint8)
    labels = np.arange(6, dtype=np.uint8) % CLASSES
    state, step = build_training(config, SHAPE, images, labels, num_classes=CLASSES)
    before = eqx.filter(state.model, eqx.is_inexact_array)
    before = jax.tree.map(np.asarray, before)
    x = jnp.asarray(images, jnp.float32)
    for _ in range(2):
        state, terms = step(state, (x, x) if config.objective.consistency else x, jnp.asarray(labels))
    assert all(jnp.isfinite(value) for value in terms.values())
    assert set(terms) >= {"elbo", "kl"}
    assert ("iwae" in terms) == (config.objective.bound == "iwae")
    after = eqx.filter(state.model, eqx.is_inexact_array)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != np.asarray(b))), before, after)
    still = [jax.tree_util.keystr(path) for path, leaf in jax.tree.leaves_with_path(moved) if not leaf]
    assert still == []


@pytest.mark.parametrize("name", ["one-hot", "embedded"])
def test_the_label_reaches_posterior_prior_and_likelihood(name, key):
    model = build_model(CONDITIONAL[name], SHAPE, key, CLASSES)
    x, z = jnp.ones(SHAPE), jnp.ones(4)
    for part in (lambda y: model.posterior(x, y), model.prior, lambda y: model.likelihood(z, y)):
        means = [part(y).mean() for y in Y]
        assert min(jnp.abs(means[0] - means[1]).max(), jnp.abs(means[1] - means[2]).max()) > 1e-3


def test_a_learned_prior_is_a_table_of_gaussians(key):
    encoder = LabelEncoder(CLASSES, 2, key=key)
    weight, bias = encoder.mlp.layers[0].weight, encoder.mlp.layers[0].bias
    for number, y in enumerate(Y):
        prior = GaussianPrior(encoder)(y)
        loc, log_scale = jnp.split(weight[:, number] + bias, 2)
        z = jnp.array([0.3, -0.7])
        exact = -0.5 * ((z - loc) / jnp.exp(log_scale)) ** 2 - log_scale - 0.5 * jnp.log(2 * jnp.pi)
        np.testing.assert_allclose(prior.log_prob(z), exact.sum(), rtol=1e-5)


def test_a_flow_prior_scores_through_the_prior_under_it(key):
    model = build_model(CONDITIONAL["flows"], SHAPE, key, CLASSES)
    assert isinstance(model.prior, FlowPrior)
    z = jnp.array([0.3, -0.7, 1.1, 0.2])
    for y in Y:
        noise, log_det = model.prior.flow.forward_and_log_det(z, None)
        base = model.prior.base(y).log_prob(noise)
        np.testing.assert_allclose(model.prior(y).log_prob(z), base + log_det, rtol=1e-5)


def test_an_embedding_takes_the_label_s_place(key):
    part = WithEmbedding(lambda x, y: (x, y), CLASSES, 5, key=key)
    for number, y in enumerate(Y):
        x, embedded = part(7, y)
        assert x == 7
        np.testing.assert_array_equal(embedded, part.embedding[:, number])


def test_numbers_become_one_hot_labels():
    np.testing.assert_array_equal(one_hot(jnp.array([2, 0], jnp.uint8), CLASSES), Y[[2, 0]])
    assert one_hot(None, 0) is None


@pytest.mark.parametrize("name", ["one-hot", "embedded", "convolutions"])
def test_no_label_for_a_conditional_model_is_refused(name, key):
    model, x, z = build_model(CONDITIONAL[name], SHAPE, key, CLASSES), jnp.ones(SHAPE), jnp.ones(4)
    message = r"Expected a label of shape \(3,\), as the model is conditional; got none\."
    for call in (lambda: model.posterior(x), lambda: model.prior(), lambda: model.likelihood(z)):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=r"Expected the label to have shape \(3,\); got \(2,\)\."):
        log_weight(model, key, x, jnp.ones(2))


@pytest.mark.parametrize("network", [{"widths": (8,)}, CONV])
def test_a_label_for_an_unconditional_model_is_refused(network, key):
    config = small(encoder=EncoderConfig(**network), decoder=DecoderConfig(**network), model=ModelConfig())
    model = build_model(config, SHAPE, key)
    message = r"Expected no label as the model is not conditional; got one of shape \(3,\)\."
    for call in (
        lambda: model.posterior(jnp.ones(SHAPE), Y[0]),
        lambda: model.likelihood(jnp.ones(128), Y[0]),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_labels_that_are_no_classes_are_refused():
    expect_classes("the test labels", np.array([0, 2]), CLASSES)
    for wrong in (3, -1):
        with pytest.raises(
            ValueError, match=rf"Expected the test labels to be .*0 and below 3; got {wrong}\."
        ):
            expect_classes("the test labels", np.array([0, wrong]), CLASSES)


BAD = {
    "a data set without labels": (
        lambda: build_model(small(), SHAPE, jax.random.key(0)),
        r"Expected the number of classes of the data set to be positive; got 0\.",
    ),
    "the size of an embedding": (
        lambda: WithEmbedding(lambda y: y, CLASSES, 0, key=jax.random.key(0)),
        r"Expected embedding_dim to be positive; got 0\.",
    ),
    "a learned prior without labels": (
        lambda: Config(model=ModelConfig(learned_prior=True)).check(),
        r"Expected the labels that --model.learned-prior is for to be one of embedded, one-hot; got 'none'",
    ),
    "an embedding's size of one-hot labels": (
        lambda: Config(model=ModelConfig(labels="one-hot", label_dim=3)).check(),
        r"Expected the labels that --model.label-dim is for to be one of embedded; got 'one-hot'\.",
    ),
    "unknown labels": (
        lambda: Config(model=ModelConfig(labels="one-hto")).check(),
        r"Expected --model.labels to be one of embedded, none, one-hot; got 'one-hto' \(near: one-hot\)\.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()
