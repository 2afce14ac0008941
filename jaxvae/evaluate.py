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
from jaxtyping import Array

from jaxvae._checks import expect_positive, expected
from jaxvae._compilation import AheadOfTime
from jaxvae._typing import Key
from jaxvae.estimators import Estimate

_PER_IMAGE = (
    "log_p",
    "standard_error",
    "effective_sample_size",
    "pareto_k",
    "elbo",
    "upper",
    "acceptance",
    "reliable",
    "nan_at",
)
_SETTINGS = ("estimator", "num_samples", "num_temperatures", "num_leapfrog")

# estimate_fn(model, key, image, y) -> Estimate, for one image.
EstimateFn = Callable[[Any, Key, Any, Any], Estimate]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluator returns; everything in nats.

    Args:
        log_p: estimate of log p(x) of each image, `(N,)`.
        standard_error: Monte Carlo standard error of each, `(N,)`.
        effective_sample_size: of each, `(N,)`.
        pareto_k: k-hat of the weights of each, `(N,)`; NaN where there are too few.
        elbo: of each, `(N,)`.
        upper: estimate of log p(x) from above, `(N,)`; NaN where there is none.
        acceptance: of Hamiltonian moves, `(N,)`; NaN where there are none.
        reliable: whether `log_p` and its error can be trusted, `(N,)`.
        nan_at: the first temperature at which a log density was NaN, `(N,)`; -1 for none.
        estimator: name of the method.
        num_samples: draws or chains per image.
        num_temperatures: of a chain.
        num_leapfrog: leapfrog steps at each temperature.
        seconds: wall-clock time, without compilation.
        compile_seconds: time of the compilation.
    """

    log_p: np.ndarray
    standard_error: np.ndarray
    effective_sample_size: np.ndarray
    pareto_k: np.ndarray
    elbo: np.ndarray
    upper: np.ndarray
    acceptance: np.ndarray
    reliable: np.ndarray
    nan_at: np.ndarray
    estimator: str
    num_samples: int
    num_temperatures: int
    num_leapfrog: int
    seconds: float
    compile_seconds: float

    def summary(self) -> dict[str, float | int | str]:
        """Means over the split, as written to `results.json`; NaN where there is nothing to report.

        `elbo_standard_error` and `log_p_x_standard_error` are the errors of the means over images drawn like
        these (they contain the Monte Carlo part); `log_p_x_monte_carlo_error` is the error for exactly these
        images, without the bias, which is downward and does not average out. `lower` and `upper` are bounds
        in expectation.
        `pareto_k` is the median over images, `reliable` the share of those that are.
        """
        n, gap = len(self.log_p), self.upper - self.log_p
        log_p_x = _mean(self.log_p)
        return {
            "elbo": _mean(self.elbo),
            "elbo_standard_error": _standard_error(self.elbo),
            "log_p_x": log_p_x,
            "log_p_x_standard_error": _standard_error(self.log_p),
            "log_p_x_monte_carlo_error": float(np.sqrt(np.sum(self.standard_error**2)) / n),
            "lower": log_p_x,
            "upper": _mean(self.upper),
            "gap": _mean(gap),
            "gap_standard_error": _standard_error(gap),
            "effective_sample_size": _mean(self.effective_sample_size),
            "pareto_k": float(np.median(self.pareto_k)),
            "reliable": _mean(self.reliable),
            "acceptance": _mean(self.acceptance),
            "estimator": self.estimator,
            **self._counts(),
            "num_images": n,
            "seconds": self.seconds,
        }

    def _counts(self) -> dict[str, int]:
        if not self.num_leapfrog:
            return {"num_samples": self.num_samples}
        return {
            "num_chains": self.num_samples,
            "num_temperatures": self.num_temperatures,
            "num_leapfrog": self.num_leapfrog,
        }

    def expect_numbers(self) -> None:
        """Raises `ValueError` where a log density was NaN; says of which image, and at which temperature."""
        if np.any(self.nan_at >= 0):
            image = int(np.argmax(self.nan_at >= 0))
            place = f" at temperature {self.nan_at[image]} of {self.num_temperatures}" * bool(
                self.num_leapfrog
            )
            raise expected("every log density", "to be a number", f"NaN for image {image}{place}")

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


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=np.float64))


def _standard_error(values: np.ndarray) -> float:
    n = len(values)
    return float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else np.nan


def over_images(fn: Callable[[Any, Key, Any, Any], Any]) -> Callable[..., Any]:
    """A function `(model, key, image, y)` of one image as one of a batch; image i uses `fold_in(key, i)`.

    Returns:
        `of_batch(model, key, index, images, labels)`, for what `padded_batch` returns.
    """

    def of_batch(model, key: Key, index, images, labels):
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
        return eqx.filter_vmap(fn, in_axes=(None, 0, 0, 0))(model, keys, images, labels)

    return of_batch


def padded_batch(first: int, batch_size: int, images, labels) -> tuple[Array, Array, Array | None]:
    """The numbers, images and labels of a batch; those past the end repeat the last image.

    Every batch of a split so has one shape.

    Args:
        first: number of the batch's first image.
        batch_size: images in a batch, or all where there are fewer.
        images: all, with a leading axis.
        labels: of all, or None.
    """
    index = np.arange(first, first + min(batch_size, len(images)))
    rows = np.minimum(index, len(images) - 1)
    y = None if labels is None else jnp.asarray(labels[rows])
    return jnp.asarray(index), jnp.asarray(images[rows]), y


class Evaluator:
    """See `make_evaluator`."""

    def __init__(self, estimate_fn: EstimateFn, batch_size: int):
        self._batch_size = batch_size
        self._compiled = AheadOfTime(over_images(estimate_fn))

    def __call__(
        self,
        model,
        key: Key,
        images,
        labels=None,
        begun: Evaluation | None = None,
        on_batch: Callable[[Evaluation], None] = lambda done: None,
    ) -> Evaluation:
        """Scores every image.

        Args:
            model: what `estimate_fn` takes.
            key: image i uses `fold_in(key, i)`.
            images: `(N, C, H, W)`, or anything else with a leading axis that `estimate_fn` takes.
            labels: `(N, Y)` or None.
            begun: an evaluation of the first of the images, to go on with.
            on_batch: called after each batch with the evaluation of the images done.

        Raises:
            ValueError: if there is no image.
        """
        expect_positive("the number of images", len(images))
        done = begun
        for first in range(0 if begun is None else len(begun.log_p), len(images), self._batch_size):
            batch = self._evaluate_batch(model, key, first, images, labels)
            done = batch if done is None else done.plus(batch)
            on_batch(done)
        assert done is not None
        return done

    def _evaluate_batch(self, model, key: Key, first: int, images, labels) -> Evaluation:
        start, compiled_before = time.perf_counter(), self._compiled.compile_seconds
        estimate = self._compiled(model, key, *padded_batch(first, self._batch_size, images, labels))
        compile_seconds = self._compiled.compile_seconds - compiled_before
        return Evaluation(
            **{name: np.asarray(getattr(estimate, name))[: len(images) - first] for name in _PER_IMAGE},
            **{name: getattr(estimate, name) for name in _SETTINGS},
            seconds=time.perf_counter() - start - compile_seconds,
            compile_seconds=compile_seconds,
        )


def make_evaluator(estimate_fn: EstimateFn, *, batch_size: int = 100) -> Evaluator:
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
        ValueError: if `batch_size` is not positive.
    """
    expect_positive("batch_size", batch_size)
    return Evaluator(estimate_fn, batch_size)
