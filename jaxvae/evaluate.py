"""A whole split: every image once, with the mean and both of its errors."""

import dataclasses
import os
import pathlib
import time
import zipfile
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

_PER_IMAGE = ("log_p", "standard_error", "effective_sample_size", "elbo")

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

    def plus(self, later: "Evaluation") -> "Evaluation":
        """This evaluation and, after its images, those of another."""
        arrays = {name: np.concatenate([getattr(self, name), getattr(later, name)]) for name in _PER_IMAGE}
        return dataclasses.replace(
            self,
            **arrays,
            seconds=self.seconds + later.seconds,
            compile_seconds=self.compile_seconds + later.compile_seconds,
        )

    def save(self, path: str | os.PathLike, made_from: str) -> None:
        """Replaces the `.npz` at `path` in one move; `made_from` says what `load_evaluation` must ask for."""
        path = pathlib.Path(path)
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            np.savez(file, made_from=made_from, **dataclasses.asdict(self))
        part.replace(path)


def load_evaluation(path: str | os.PathLike, made_from: str) -> Evaluation | None:
    """What `Evaluation.save` wrote; None where that cannot be read, or was made from something else."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            values = {name: array if array.ndim else array.item() for name, array in arrays.items()}
        return Evaluation(**values) if values.pop("made_from") == made_from else None
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, KeyError, TypeError):
        return None


def make_evaluator(estimate_fn: EstimateFn, *, batch_size: int = 100) -> Callable[..., Evaluation]:
    """Turns an estimate for one image into one for a split, vmapped and jitted.

    Image i uses `fold_in(key, i)`, and no layer sees two images: a result depends neither on the batch
    size nor on the images beside it.

    Args:
        estimate_fn: `(model, key, image, y) -> Estimate` for one image as it is stored, such as uint8.
        batch_size: images in memory at a time; the last batch is padded and the padding dropped.

    Returns:
        `evaluator(model, key, images, labels=None, begun=None, on_batch=None)`, an `Evaluation` of `images`
        `(N, C, H, W)` and `labels` `(N, Y)`. `on_batch(evaluation)` is called after each batch with that of
        the images done; given back as `begun`, it is gone on with.

    Raises:
        ValueError: if `batch_size` is not positive, or there is no image.
    """
    expect_positive("batch_size", batch_size)

    def estimate_batch(model, key, index, images, labels):
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
        return eqx.filter_vmap(estimate_fn, in_axes=(None, 0, 0, 0))(model, keys, images, labels)

    compiled = AheadOfTime(estimate_batch)

    def evaluate_batch(model, key, first: int, images, labels) -> Evaluation:
        start, compiled_before = time.perf_counter(), compiled.compile_seconds
        # Rows past the end repeat the last image, so that every batch has one shape.
        index = np.arange(first, first + batch_size)
        rows = np.minimum(index, len(images) - 1)
        y = None if labels is None else jnp.asarray(labels[rows])
        estimate = compiled(model, key, jnp.asarray(index), jnp.asarray(images[rows]), y)
        arrays = {name: np.asarray(getattr(estimate, name))[: len(images) - first] for name in _PER_IMAGE}
        compile_seconds = compiled.compile_seconds - compiled_before
        return Evaluation(
            **arrays,
            estimator=estimate.estimator,
            num_samples=estimate.num_samples,
            seconds=time.perf_counter() - start - compile_seconds,
            compile_seconds=compile_seconds,
        )

    def evaluator(
        model,
        key: Key,
        images,
        labels=None,
        begun: Evaluation | None = None,
        on_batch: Callable[[Evaluation], None] = lambda done: None,
    ) -> Evaluation:
        expect_positive("the number of images", len(images))
        done = begun
        for first in range(0 if begun is None else len(begun.log_p), len(images), batch_size):
            batch = evaluate_batch(model, key, first, images, labels)
            done = batch if done is None else done.plus(batch)
            on_batch(done)
        assert done is not None
        return done

    return evaluator
