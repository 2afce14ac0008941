"""Pixels of a few levels, such as 256, as probabilities that sum to 1 over the levels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.likelihoods.base import PixelDistribution
from jaxvae.nn.activations import log_sigmoid


class DiscretizedLogistic(PixelDistribution):
    """Independent pixels of n levels k / (n - 1): a logistic variable, rounded to the nearest level.

    P(k) = sigmoid(a) - sigmoid(b) with a = (k + 1/2 - (n - 1) loc) / ((n - 1) scale) and b the same with
    -1/2; what lies beyond the first and the last level belongs to them. Salimans et al. 2017, eq. 2,
    arXiv:1701.05517; Kingma et al. 2016, arXiv:1606.04934.

    Args:
        loc: centre of each pixel, where 0 is the first level and 1 the last; the whole array is the event.
        scale: of each pixel in the same units, above 0.
        num_levels: n.
    """

    def __init__(self, loc: Float[Array, "..."], scale: Float[Array, "..."], num_levels: int = 256):
        super().__init__(loc.shape)
        # In levels their edges are exact numbers: neighbours agree on them, and the sum is 1 at any scale.
        self._loc, self._scale = (num_levels - 1) * loc, (num_levels - 1) * scale
        self._num_levels = num_levels

    def log_prob_of_pixels(self, value: Float[Array, "..."]) -> Float[Array, "..."]:
        """The log-probability of each pixel's level, the nearest to its value, in nats.

        For an inner level it is log sigmoid(a) + log sigmoid(-b) + log(1 - e^(b - a)), which holds far out
        in both tails, where a difference of sigmoids is 0.
        """
        level = _to_level(value, self._num_levels)
        is_first, is_last = level == 0, level == self._num_levels - 1
        below_upper = log_sigmoid((level + 0.5 - self._loc) / self._scale)
        above_lower = log_sigmoid((self._loc - (level - 0.5)) / self._scale)
        width = jnp.log(-jnp.expm1(-1 / self._scale))
        return (
            jnp.where(is_last, 0.0, below_upper)
            + jnp.where(is_first, 0.0, above_lower)
            + jnp.where(is_first | is_last, 0.0, width)
        )

    def _sample_n(self, key, n: int) -> Float[Array, "n ..."]:
        drawn = self._loc + self._scale * jax.random.logistic(key, (n, *self.event_shape))
        last = self._num_levels - 1
        return jnp.clip(jnp.round(drawn), 0, last) / last

    def mean(self) -> Float[Array, "..."]:
        """Mean of each pixel, from E[k] = P(k >= 1) + ... + P(k >= n - 1)."""
        last = self._num_levels - 1
        edges = (jnp.arange(last) + 0.5).reshape(-1, *(1 for _ in self.event_shape))
        return jnp.mean(jax.nn.sigmoid((self._loc - edges) / self._scale), axis=0)


class LogisticMixture(PixelDistribution):
    """Independent pixels of n levels k / (n - 1), each from a mixture of M discretised logistics.

    P(k) = sum_m softmax(logits)_m P_m(k). Salimans et al. 2017, section 2.1, arXiv:1701.05517. The channels
    of a pixel are independent too: the paper's conditioning of each channel on those before it is left out.

    Args:
        logits: of the components, `(M, C, H, W)`.
        loc: of each, likewise, as in `DiscretizedLogistic`.
        scale: of each, likewise.
        num_levels: n.
    """

    def __init__(
        self,
        logits: Float[Array, "M C H W"],
        loc: Float[Array, "M C H W"],
        scale: Float[Array, "M C H W"],
        num_levels: int = 256,
    ):
        super().__init__(logits.shape[1:])
        self._log_weights = jax.nn.log_softmax(logits, axis=0)
        self._loc, self._scale, self._num_levels = loc, scale, num_levels

    def log_prob_of_pixels(self, value: Float[Array, "... C H W"]) -> Float[Array, "... C H W"]:
        """The log-probability of each pixel's level, the nearest to its value, in nats."""
        axis = -1 - len(self.event_shape)
        of_components = self._components().log_prob_of_pixels(jnp.expand_dims(value, axis))
        return jax.nn.logsumexp(self._log_weights + of_components, axis=axis)

    def _components(self) -> DiscretizedLogistic:
        return DiscretizedLogistic(self._loc, self._scale, self._num_levels)

    def _sample_n(self, key, n: int) -> Float[Array, "n C H W"]:
        choice_key, key = jax.random.split(key)
        chosen = jax.random.categorical(choice_key, self._log_weights, axis=0, shape=(n, *self.event_shape))
        loc, scale = (
            jnp.take_along_axis(of_all[None], chosen[:, None], axis=1)[:, 0]
            for of_all in (self._loc, self._scale)
        )
        return DiscretizedLogistic(loc, scale, self._num_levels).sample(seed=key)

    def mean(self) -> Float[Array, "C H W"]:
        """Mean of each pixel."""
        return jnp.sum(jnp.exp(self._log_weights) * self._components().mean(), axis=0)


class Categorical(PixelDistribution):
    """Independent pixels of n levels k / (n - 1), each with a probability of its own.

    P(k) = softmax(logits)_k. van den Oord et al. 2016, section 3.3, arXiv:1601.06759.

    Args:
        logits: of the levels, `(n, C, H, W)`.
    """

    def __init__(self, logits: Float[Array, "n C H W"]):
        super().__init__(logits.shape[1:])
        # Shifted before anything is summed: at logits of 1e4 a float32 is only good to 1e-3.
        self._log_probs = jax.nn.log_softmax(logits, axis=0)

    def log_prob_of_pixels(self, value: Float[Array, "... C H W"]) -> Float[Array, "... C H W"]:
        """The log-probability of each pixel's level, the nearest to its value, in nats."""
        axis = -1 - len(self.event_shape)
        level = jnp.expand_dims(_to_level(value, len(self._log_probs)).astype(jnp.int32), axis)
        log_probs = self._log_probs.reshape(
            (1,) * (level.ndim - self._log_probs.ndim) + self._log_probs.shape
        )
        return jnp.squeeze(jnp.take_along_axis(log_probs, level, axis=axis), axis)

    def _sample_n(self, key, n: int) -> Float[Array, "n C H W"]:
        level = jax.random.categorical(key, self._log_probs, axis=0, shape=(n, *self.event_shape))
        return level.astype(self._log_probs.dtype) / (len(self._log_probs) - 1)

    def mean(self) -> Float[Array, "C H W"]:
        """Mean of each pixel."""
        return jnp.tensordot(jnp.linspace(0, 1, len(self._log_probs)), jnp.exp(self._log_probs), axes=1)

    def mode(self) -> Float[Array, "C H W"]:
        """The most probable image."""
        level = jnp.argmax(self._log_probs, axis=0)
        return level.astype(self._log_probs.dtype) / (len(self._log_probs) - 1)


def _to_level(value: Float[Array, "..."], num_levels: int) -> Float[Array, "..."]:
    return jnp.round(value * (num_levels - 1))
