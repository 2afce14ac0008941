"""Random affine maps of images, on the device."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxvae._typing import Bytes, Key

# The strongest map: rotation (radians), translation (as a share of the image), and change of size.
_ROTATION, _TRANSLATION, _SCALING = np.pi / 12, 0.1, 0.1


def random_affine(key: Key, images: Bytes) -> Bytes:
    """Rotates each image by up to 15 degrees, moves and rescales it by up to a tenth.

    The augmentation of consistency regularisation (Sinha & Dieng 2021, arXiv:2105.14859). Each pixel takes
    the value of the nearest one, so that binary images stay binary; what comes from beyond the edge is 0.

    Args:
        key: for the draws.
        images: uint8 `(B, C, H, W)`.
    """
    return jax.vmap(_affine_one)(jax.random.split(key, len(images)), images)


def _affine_one(key: Key, image: UInt8[Array, "C H W"]) -> UInt8[Array, "C H W"]:
    _, height, width = image.shape
    angle, size, down, right = jax.random.uniform(key, (4,), minval=-1.0, maxval=1.0)
    middle = jnp.array([height - 1, width - 1]) / 2
    move = _TRANSLATION * jnp.array([down * height, right * width])
    places = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), axis=-1)
    sources = (places - middle - move) @ _rotation(_ROTATION * angle) / (1 + _SCALING * size) + middle
    rows, columns = jnp.moveaxis(jnp.round(sources).astype(jnp.int32), -1, 0)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return jnp.where(inside, image[:, rows, columns], 0)


def _rotation(angle: Float[Array, ""]) -> Float[Array, "2 2"]:
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    return jnp.array([[cosine, -sine], [sine, cosine]])
