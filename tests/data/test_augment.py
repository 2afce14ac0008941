"""Random affine maps."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data import random_affine
from jaxvae.data.augment import _affine_one
from jaxvae.data.binarize import make_prepare_pair

IMAGE = np.random.RandomState(1).randint(0, 256, (2, 9, 12)).astype(np.uint8)


def test_nothing_is_done_by_the_map_that_does_nothing(monkeypatch):
    for name in ("_ROTATION", "_TRANSLATION", "_SCALING"):
        monkeypatch.setattr(f"jaxvae.data.augment.{name}", 0.0)
    np.testing.assert_array_equal(_affine_one(jax.random.key(0), jnp.asarray(IMAGE)), IMAGE)


def test_images_turn_move_and_keep_their_values(key):
    images = jnp.zeros((300, 1, 28, 28), jnp.uint8).at[:, :, 4:24, 11:17].set(200)  # a bar that stands
    augmented = np.asarray(jax.jit(random_affine)(key, images))
    assert augmented.dtype == np.uint8
    assert set(np.unique(augmented)) == {0, 200}
    rows, columns = np.mgrid[:28, :28]
    mass = (augmented[:, 0] > 0) / (augmented[:, 0] > 0).sum(axis=(1, 2), keepdims=True)
    middle = np.stack([(mass * axis).sum(axis=(1, 2)) for axis in (rows, columns)], axis=1) - 13.5
    assert np.abs(middle).max() < 5  # 2.8 and what the edge cuts off and the rotation adds
    assert np.abs(middle).max() > 2
    assert np.abs(middle.mean(axis=0)).max() < 0.4
    centred = columns - 13.5 - middle[:, 1, None, None], rows - 13.5 - middle[:, 0, None, None]
    slope = (mass * centred[0] * centred[1]).sum(axis=(1, 2)) / (mass * centred[1] ** 2).sum(axis=(1, 2))
    angles = np.degrees(np.arctan(slope))
    assert 12 < np.abs(angles).max() < 19
    assert abs(angles.mean()) < 1.5
    area = (augmented > 0).sum(axis=(1, 2, 3)) / 120
    assert 0.65 < area.min() < 0.9
    assert 1.1 < area.max() < 1.3


def test_an_image_and_its_augmentation_are_binarised_with_draws_of_their_own(key):
    images = jnp.full((50, 1, 28, 28), 128, jnp.uint8)
    x, augmented = make_prepare_pair("dynamic")(key, images)
    assert x.dtype == augmented.dtype == jnp.float32
    middle = (slice(None), 0, slice(10, 18), slice(10, 18))
    agreement = jnp.mean(x[middle] == augmented[middle])
    assert 0.45 < agreement < 0.55
    x, augmented = make_prepare_pair("static")(key, jnp.asarray(IMAGE[None] // 128))
    np.testing.assert_array_equal(x[0], IMAGE // 128)
    assert set(np.unique(augmented)) == {0, 1}
