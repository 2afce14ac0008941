"""How a model uses its latents: KL divergences, in all and by latent, and the number of active units."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import expect_in_range, expect_positive
from jaxvae._compilation import AheadOfTime
from jaxvae._typing import Image, Key, Label, Latent, Scalar
from jaxvae.evaluate import over_images, padded_batch
from jaxvae.model import VAE

# The variance over images of a latent's posterior mean above which the latent is active: Burda et al. 2016.
ACTIVE_VARIANCE = 0.01


class LatentStatistics(NamedTuple):
    """What the posterior of one image says of its latents; of N images, with a leading axis.

    Args:
        mean: E_q[z], `(D,)`.
        variance: Var_q[z], `(D,)`.
        squared_error: variance of `mean` as an estimate, `(D,)`; 0 where it is exact.
        prior_mean: of a diagonal Gaussian prior, `(D,)`; 0 for any other.
        prior_scale: its standard deviation, `(D,)`; 1 for any other.
        kl: KL(q(z | x, y) || p(z | y)), in nats.
        kl_per_latent: its parts, `(D,)`; NaN where the divergence is no sum over latents.
    """

    mean: Latent
    variance: Latent
    squared_error: Latent
    prior_mean: Latent
    prior_scale: Latent
    kl: Scalar
    kl_per_latent: Latent


def latent_statistics(
    model: VAE, key: Key, x: Image, y: Label | None = None, *, num_draws: int
) -> LatentStatistics:
    """Moments of q(z | x, y) and its divergence from the prior, exact wherever Gaussians allow it.

    The moments are exact for a diagonal Gaussian posterior, the divergence between two diagonal Gaussians
    (those that are distrax's `Independent(Normal)`):
    KL = sum_d log(s'_d / s_d) + (s_d^2 + (m_d - m'_d)^2) / (2 s'_d^2) - 1/2 (Kingma & Welling 2014,
    appendix B, arXiv:1312.6114, for any m' and s'). Otherwise they are estimated without bias from draws,
    KL as the mean of log q - log p, for which a flow posterior needs no inverse. The divergence of a flow
    has no parts by latent.

    Args:
        model: a `VAE`, or any object with its three functions.
        key: for the draws.
        x: image `(C, H, W)`.
        y: label `(Y,)` or None.
        num_draws: z ~ q(z | x, y) where anything is estimated.

    Raises:
        ValueError: if `num_draws` is below 2.
    """
    expect_in_range("num_draws", num_draws, 2, float("inf"))
    posterior, prior = model.posterior(x, y), model.prior(y)
    # Types are known while this is traced: no draw is compiled where none is needed.
    q, p = _diagonal_normal(posterior), _diagonal_normal(prior)
    zeros = jnp.zeros(posterior.event_shape)
    of_prior = (zeros, zeros + 1) if p is None else (jnp.asarray(p.loc), jnp.asarray(p.scale))
    if q is not None and p is not None:
        kl_per_latent = jnp.asarray(q.kl_divergence(p))
        return LatentStatistics(*_exact(q), *of_prior, jnp.sum(kl_per_latent), kl_per_latent)
    draw = jax.vmap(lambda k: posterior.sample_and_log_prob(seed=k))
    z, log_q_z = draw(jax.random.split(key, num_draws))
    log_p_z = jax.vmap(prior.log_prob)(z)
    kl, no_parts = jnp.mean(jnp.subtract(log_q_z, log_p_z)), jnp.full(z.shape[1:], jnp.nan)
    if q is not None:
        return LatentStatistics(*_exact(q), *of_prior, kl, no_parts)
    mean, variance = jnp.mean(z, axis=0), jnp.var(z, axis=0, ddof=1)
    return LatentStatistics(mean, variance, variance / num_draws, *of_prior, kl, no_parts)


def _diagonal_normal(distribution: distrax.Distribution) -> distrax.Normal | None:
    """The independent normals `(D,)` that a distribution of one latent consists of; None for another."""
    if not isinstance(distribution, distrax.Independent):
        return None
    normal, shape = distribution.distribution, distribution.event_shape
    if not isinstance(normal, distrax.Normal):
        return None
    return distrax.Normal(jnp.broadcast_to(normal.loc, shape), jnp.broadcast_to(normal.scale, shape))


def _exact(q: distrax.Normal) -> tuple[Latent, Latent, Latent]:
    variance = jnp.square(q.scale)
    return jnp.asarray(q.loc), variance, jnp.zeros_like(variance)


@dataclasses.dataclass(frozen=True)
class LatentUse:
    """The use of the latents over a split.

    Args:
        statistics: of each image, numpy arrays of shape `(N,)` and `(N, D)`.
    """

    statistics: LatentStatistics

    @property
    def mean(self) -> np.ndarray:
        """E_q[z] of each image, `(N, D)`."""
        return np.asarray(self.statistics.mean)

    @property
    def kl(self) -> float:
        """KL(q(z | x, y) || p(z | y)), the mean over images, in nats."""
        return float(np.mean(self.statistics.kl, dtype=np.float64))

    @property
    def kl_per_latent(self) -> np.ndarray:
        """The mean over images of its parts, `(D,)`, in nats; NaN where it has none."""
        return np.asarray(np.mean(self.statistics.kl_per_latent, axis=0, dtype=np.float64))

    @property
    def activity(self) -> np.ndarray | None:
        """A_u = Var_x(E_q[z_u]) of each latent u, `(D,)`; None of a single image.

        Burda et al. 2016, section 5.2, arXiv:1509.00519. z_u is counted from the prior's mean in its standard
        deviations, so that what a conditional model knows of a latent from the label alone is no use of it.
        Means that are estimated vary more over images than the exact ones, by their own variance, which is
        subtracted.
        """
        part = self.statistics
        mean = (part.mean - part.prior_mean) / part.prior_scale
        if len(mean) == 1:
            return None
        noise = np.mean(part.squared_error / part.prior_scale**2, axis=0, dtype=np.float64)
        return np.asarray(np.var(mean, axis=0, ddof=1, dtype=np.float64) - noise)

    @property
    def num_active(self) -> int | None:
        """How many latents are active: those whose activity is above 0.01; None of a single image."""
        activity = self.activity
        return None if activity is None else int(np.sum(activity > ACTIVE_VARIANCE))

    def summary(self) -> dict[str, float | int | list[float] | None]:
        """As written to `results.json`; None where there is nothing to report."""
        parts = self.kl_per_latent
        return {
            "kl": self.kl,
            "kl_per_latent": None if np.isnan(parts).all() else parts.tolist(),
            "active_units": self.num_active,
            "num_latents": len(parts),
        }


# statistics_fn(model, key, image, y) -> LatentStatistics, for one image.
StatisticsFn = Callable[[Any, Key, Any, Any], LatentStatistics]


class LatentEvaluator:
    """See `make_latent_evaluator`."""

    def __init__(self, statistics_fn: StatisticsFn, batch_size: int):
        self._batch_size = batch_size
        self._compiled = AheadOfTime(over_images(statistics_fn))

    def __call__(self, model, key: Key, images, labels=None) -> LatentUse:
        """Measures every image.

        Args:
            model: what `statistics_fn` takes.
            key: image i uses `fold_in(key, i)`.
            images: `(N, C, H, W)`.
            labels: `(N, Y)`, or any array with a leading axis of N that `statistics_fn` takes, or None.

        Raises:
            ValueError: if there is no image.
        """
        expect_positive("the number of images", len(images))
        batches = []
        for first in range(0, len(images), self._batch_size):
            batch = padded_batch(first, self._batch_size, images, labels)
            statistics = self._compiled(model, key, *batch)
            kept = len(images) - first
            batches.append(jax.tree.map(lambda part, kept=kept: np.asarray(part)[:kept], statistics))
        return LatentUse(jax.tree.map(lambda *parts: np.concatenate(parts), *batches))


def make_latent_evaluator(statistics_fn: StatisticsFn, *, batch_size: int = 100) -> LatentEvaluator:
    """Turns the statistics of one image into the use of the latents over a split, vmapped and jitted.

    Args:
        statistics_fn: `(model, key, image, y) -> LatentStatistics` for one image as it is stored.
        batch_size: images in memory at a time; the last batch is padded and the padding dropped.

    Returns:
        `evaluator(model, key, images, labels=None)`, the `LatentUse` of `images` `(N, C, H, W)`.

    Raises:
        ValueError: if `batch_size` is not positive.
    """
    expect_positive("batch_size", batch_size)
    return LatentEvaluator(statistics_fn, batch_size)
