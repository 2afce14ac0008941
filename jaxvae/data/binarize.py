"""From grey pixels to what a model is trained on."""

from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice
from jaxvae._typing import Bytes, Key
from jaxvae.data.augment import random_affine
from jaxvae.data.on_disk import in_blocks

# How pixels become what the model sees:
#   static     one draw of every pixel as Bernoulli(grey / 255), frozen for ever
#   dynamic    a fresh draw at every visit to a training image; validation and test as in static
#   threshold  1 where grey >= 128
#   none       grey / 255, which is no binary data
BINARIZATIONS = ("static", "dynamic", "threshold", "none")

# The frozen draw's seed. Changing it makes new data sets and every published number incomparable.
_STATIC_SEED = 20160101


def freeze_blocks(blocks: Iterable[np.ndarray], binarization: str) -> Iterator[np.ndarray]:
    """What never changes of a binarisation: a threshold, or one frozen draw of each pixel.

    The draw is Bernoulli(grey / 255) by numpy's legacy `RandomState`, whose stream never changes between
    versions, and is the same in blocks of any size.

    Args:
        blocks: grey images, uint8, in blocks: all splits of a data set in their published order.
        binarization: `threshold`; `static` or `dynamic` for the draw.

    Yields:
        Each block as 0 and 1, uint8.
    """
    random = np.random.RandomState(_STATIC_SEED)
    for block in blocks:
        if binarization == "threshold":
            yield (block >= 128).astype(np.uint8)
        else:
            yield (random.random_sample(block.shape) < block / 255.0).astype(np.uint8)


def freeze(images: np.ndarray, binarization: str) -> np.ndarray:
    """The same of images in memory, `(N, ...)`."""
    frozen, start = np.empty_like(images), 0
    for block in freeze_blocks(in_blocks(images), binarization):
        frozen[start : start + len(block)] = block
        start += len(block)
    return frozen


def make_prepare(binarization: str, *, training: bool) -> Callable[[Key, Bytes], Float[Array, "B C H W"]]:
    """The function, to be jitted, from the bytes that a `Dataset` keeps to what the model sees.

    Args:
        binarization: one of `BINARIZATIONS`.
        training: whether these are training images, which `dynamic` draws afresh.

    Returns:
        `prepare(key, images)`, float32 in [0, 1].

    Raises:
        ValueError: if `binarization` is unknown.
    """
    expect_choice("binarization", binarization, BINARIZATIONS)

    def prepare(key: Key, images: Bytes) -> Float[Array, "B C H W"]:
        if binarization == "none":
            return images.astype(jnp.float32) / 255
        if binarization == "dynamic" and training:
            return jax.random.bernoulli(key, images.astype(jnp.float32) / 255).astype(jnp.float32)
        return images.astype(jnp.float32)

    return prepare


def make_prepare_pair(binarization: str) -> Callable[[Key, Bytes], tuple[Array, Array]]:
    """The same for training images, of which each comes with its random affine augmentation.

    The two are augmented first and binarised then, each with a draw of its own.

    Args:
        binarization: one of `BINARIZATIONS`.

    Returns:
        `prepare(key, images)`, the images and their augmentations, both as from `make_prepare`.

    Raises:
        ValueError: if `binarization` is unknown.
    """
    prepare_one = make_prepare(binarization, training=True)

    def prepare(key: Key, images: Bytes) -> tuple[Array, Array]:
        key, affine_key, augmented_key = jax.random.split(key, 3)
        augmented = random_affine(affine_key, images)
        return prepare_one(key, images), prepare_one(augmented_key, augmented)

    return prepare
