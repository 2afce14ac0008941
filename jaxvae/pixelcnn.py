"""p(x | z, y) of an autoregressive decoder, which needs x to score x and draws pixel by pixel."""

from collections.abc import Callable

import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._typing import Image, Key, Label, Latent, Scalar
from jaxvae.likelihoods import Bernoulli
from jaxvae.nn import PixelCNN


class AutoregressiveBernoulli(distrax.Distribution):
    """Binary pixels in raster order, as one event of shape `(C, H, W)`.

    log p(x) = sum_i log Bernoulli(x_i; logits_i(x_<i, context)). It has no mean in closed form.

    Args:
        pixelcnn: the logits of an image and a context.
        context: `(F, H, W)`.
    """

    def __init__(self, pixelcnn: PixelCNN, context: Float[Array, "F H W"]):
        super().__init__()
        self._pixelcnn = pixelcnn
        self._context = context

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self._pixelcnn.image_shape

    def log_prob(self, value: Float[Array, "... C H W"]) -> Float[Array, "..."]:
        """Log-probability of one image, or of each of several along leading axes, in nats: one pass."""
        return jnp.vectorize(self._log_prob_of_one, signature="(c,h,w)->()")(value)

    def _log_prob_of_one(self, x: Image) -> Scalar:
        return Bernoulli(self._pixelcnn(x, self._context)).log_prob(x)

    def _sample_n(self, key: Key, n: int) -> Float[Array, "n C H W"]:
        return jax.vmap(lambda k: self._pixelcnn.sample(k, self._context))(jax.random.split(key, n))


class PixelCNNLikelihood(eqx.Module):
    """z, y -> p(x | z, y) = prod_i p(x_i | x_<i, m(z, y)), with m(z, y) from a decoder.

    van den Oord et al. 2016, eq. 4-5, arXiv:1606.05328; as the decoder of a VAE, Gulrajani et al. 2017,
    arXiv:1611.05013, and Chen et al. 2017, arXiv:1611.02731.

    Args:
        decoder: maps a latent `(D,)` and a label `(Y,)` or None to maps `(F, H, W)`.
        pixelcnn: with F context maps.
    """

    decoder: Callable[[Latent, Label | None], Image]
    pixelcnn: PixelCNN

    def __call__(self, z: Latent, y: Label | None = None) -> distrax.Distribution:
        """The distribution of one image given one latent."""
        return AutoregressiveBernoulli(self.pixelcnn, self.decoder(z, y))
