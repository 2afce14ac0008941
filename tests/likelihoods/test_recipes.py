"""From the names of the configuration to distributions, and to models that train."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.build import build_model
from jaxvae.build.models import LIKELIHOODS
from jaxvae.config import (
    PIXEL_LEVELS,
    Config,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    LikelihoodConfig,
    ModelConfig,
)
from jaxvae.likelihoods import make_gaussian, make_logistic_mixture
from jaxvae.model import log_weight
from tests.likelihoods.table import levels, masses

SHAPE = (2, 3, 3)
OPTIONS = {
    **{name: LikelihoodConfig(name=name) for name in LikelihoodConfig.choices if name != "grey-bernoulli"},
    "gaussian": LikelihoodConfig(name="gaussian", spread="fixed", scale=0.1),
    "gaussian learned": LikelihoodConfig(name="gaussian", spread="learned", scale=0.3),
    "gaussian per-pixel": LikelihoodConfig(name="gaussian", spread="per-pixel"),
    "logistic-mixture": LikelihoodConfig(name="logistic-mixture", num_components=3),
}
IMAGES = np.random.RandomState(5).randint(0, 256, (8, *SHAPE)).astype(np.uint8)
IMAGES[0, 0, 0], IMAGES[0, 0, 1] = 0, 255


def make_recipe(name):
    return LIKELIHOODS[OPTIONS[name].name](**OPTIONS[name].options())


def make_config(name) -> Config:
    grey = OPTIONS[name].name != "bernoulli"
    return Config(
        model=ModelConfig(latent_dim=2),
        encoder=EncoderConfig(widths=()),
        decoder=DecoderConfig(widths=(6,)),
        likelihood=OPTIONS[name],
        data=DataConfig(binarization="none" if grey else "threshold"),
    )


def make_images(name):
    return jnp.asarray(IMAGES > 127 if OPTIONS[name].name == "bernoulli" else IMAGES / 255, jnp.float32)


def build_random(name):
    """The model with any numbers for parameters, which takes no compilation."""
    model = eqx.filter_eval_shape(build_model, make_config(name), SHAPE, jax.random.key(0))
    random = np.random.RandomState(9)

    def fill(leaf):
        is_array = isinstance(leaf, jax.ShapeDtypeStruct)
        return jnp.asarray(random.normal(0, 0.5, leaf.shape), jnp.float32) if is_array else leaf

    return jax.tree.map(fill, model)


def test_every_name_has_a_recipe():
    assert set(LIKELIHOODS) == set(LikelihoodConfig.choices) >= set(PIXEL_LEVELS)


@pytest.mark.parametrize("name", OPTIONS)
def test_extreme_maps_give_finite_values_and_gradients(name):
    recipe = make_recipe(name)
    signs = np.random.RandomState(7).choice([-1e4, 1e4], (12, recipe.num_maps * SHAPE[0], *SHAPE[1:]))

    def log_prob(maps, x):
        return recipe.distribution(maps).log_prob(x)

    score = jax.jit(jax.vmap(jax.value_and_grad(log_prob), in_axes=(0, None)))
    for x in (make_images(name)[0], jnp.zeros(SHAPE), jnp.ones(SHAPE)):
        values, gradients = score(jnp.asarray(signs, jnp.float32), x)
        assert jnp.isfinite(values).all()
        assert jnp.isfinite(gradients).all()


@pytest.mark.parametrize("name", PIXEL_LEVELS)
@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_discrete_pixels_have_probabilities_that_sum_to_one(name, size):
    recipe = make_recipe(name)
    maps = size * np.random.RandomState(8).standard_normal((recipe.num_maps * SHAPE[0], *SHAPE[1:]))
    distribution = recipe.distribution(jnp.asarray(maps, jnp.float32))
    assert distribution.event_shape == SHAPE
    np.testing.assert_allclose(masses(distribution, levels(PIXEL_LEVELS[name])).sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_parameter_of_a_model_has_a_finite_gradient_that_is_not_zero(name, key):
    model = build_random(name)

    def loss(model):
        return jnp.mean(jax.vmap(lambda x: log_weight(model, key, x))(make_images(name)))

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(model)
    leaves = jax.tree_util.tree_leaves_with_path(gradient)
    assert len(leaves) == 6 + (name == "gaussian learned")
    for path, leaf in leaves:
        assert jnp.isfinite(leaf).all(), path
        assert jnp.abs(leaf).max() > 0, path


@pytest.mark.parametrize("name", OPTIONS)
def test_two_models_of_one_config_share_what_was_compiled(name):
    one, two = build_random(name), build_random(name)
    assert jax.tree.structure(one) == jax.tree.structure(two)


def test_per_pixel_scales_are_a_factor_within_bounds():
    recipe = make_gaussian("per-pixel", 0.5)
    maps = jnp.stack([jnp.zeros((1, 4)), jnp.array([[0.0, 1.0, 1e4, -1e4]])])
    distribution = recipe.distribution(maps)
    densities = distribution.log_prob_of_pixels(distribution.mean())
    wanted = -np.log(0.5) - np.array([0, 1, 7, -7]) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(densities[0, 0], wanted, rtol=1e-6)


BAD = {
    "a spread": (
        lambda: make_gaussian("pixel"),
        r"Expected spread to be one of .*; got 'pixel' \(near: per-",
    ),
    "a scale": (lambda: make_gaussian(scale=0.0), r"Expected scale to be positive; got 0\.0\."),
    "components": (lambda: make_logistic_mixture(0), r"Expected num_components to be positive; got 0\."),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()
