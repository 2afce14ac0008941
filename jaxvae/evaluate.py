"""A whole split: every image once, with the mean and both of its errors."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import expect_positive
from jaxvae._compilation import AheadOfTime
from jaxvae._typing import Key
from jaxvae.estimators import Estimate

# estimate_fn(model, key, image, y) -> Estimate, for one image.
EstimateFn = Callable[[Any, Key, Any, Any], Estimate]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluator returns; everything in nats.

    Args:
        log_p: estimate of log p(x) of each image, `(N,)`.
        standard_error: Monte Carlo standard error of each, `(N,)`.
        effective_sample_size: of each, `(N,)`.
        elbo: of each, `(N,)`.
        estimator: name of the method.
        num_samples: draws per image.
        seconds: wall-clock time, without compilation.
        compile_seconds: time of the compilation.
    """

    log_p: np.ndarray
    standard_error: np.ndarray
    effective_sample_size: np.ndarray
    elbo: np.ndarray
    estimator: str
    num_samples: int
    seconds: float
    compile_seconds: float

    def summary(self) -> dict[str, float | int | str]:
        """Means over the split, as written to `results.json`; an error that one draw cannot show is NaN.

        `log_p_x_standard_error` is the error of the mean over images drawn like these (it contains the
        Monte Carlo part); `log_p_x_monte_carlo_error` is the error for exactly these images.
        """
        n = len(self.log_p)
        return {
            "elbo": float(np.mean(self.elbo, dtype=np.float64)),
            "log_p_x": float(np.mean(self.log_p, dtype=np.float64)),
            "log_p_x_standard_error": float(np.std(self.log_p, ddof=1) / np.sqrt(n)) if n > 1 else np.nan,
            "log_p_x_monte_carlo_error": float(np.sqrt(np.sum(self.standard_error**2)) / n),
            "effective_sample_size": float(np.mean(self.effective_sample_size)),
            "estimator": self.estimator,
            "num_samples": self.num_samples,
            "num_images": n,
            "seconds": self.seconds,
        }


def make_evaluator(estimate_fn: EstimateFn, *, batch_size: int = 100) -> Callable[..., Evaluation]:
    """Turns an estimate for one image into one for a split, vmapped and jitted.

    Image i uses `fold_in(key, i)`, and no layer sees two images: a result depends neither on the batch
    size nor on the images beside it.

    Args:
        estimate_fn: `(model, key, image, y) -> Estimate` for one image as it is stored, such as uint8.
        batch_size: images in memory at a time; the last batch is padded and the padding dropped.

    Returns:
        `evaluator(model, key, images, labels=None, on_batch=None)`, an `Evaluation` of `images`
        `(N, C, H, W)` and `labels` `(N, Y)`; `on_batch(num_done)` is called after each batch.

    Raises:
        ValueError: if `batch_size` is not positive, or there is no image.
    """
    expect_positive("batch_size", batch_size)

    def estimate_batch(model, key, index, images, labels):
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
        return eqx.filter_vmap(estimate_fn, in_axes=(None, 0, 0, 0))(model, keys, images, labels)

    compiled = AheadOfTime(estimate_batch)

    def evaluator(model, key: Key, images, labels=None, on_batch: Callable[[int], None] | None = None):
        num_images = len(images)
        expect_positive("the number of images", num_images)
        start, compiled_before, parts = time.perf_counter(), compiled.compile_seconds, []
        for first in range(0, num_images, batch_size):
            # Rows past the end repeat the last image, so that every batch has one shape.
            index = np.arange(first, first + batch_size)
            rows = np.minimum(index, num_images - 1)
            y = None if labels is None else jnp.asarray(labels[rows])
            parts.append(compiled(model, key, jnp.asarray(index), jnp.asarray(images[rows]), y))
            if on_batch is not None:
                jax.block_until_ready(parts[-1].log_p)
                on_batch(min(first + batch_size, num_images))
        arrays = _gather(parts, num_images)
        compile_seconds = compiled.compile_seconds - compiled_before
        return Evaluation(
            **arrays,
            estimator=parts[0].estimator,
            num_samples=parts[0].num_samples,
            seconds=time.perf_counter() - start - compile_seconds,
            compile_seconds=compile_seconds,
        )

    return evaluator


def _gather(parts: list[Estimate], num_images: int) -> dict[str, np.ndarray]:
    names = ("log_p", "standard_error", "effective_sample_size", "elbo")
    return {
        name: np.concatenate([np.asarray(getattr(part, name)) for part in parts])[:num_images]
        for name in names
    }
