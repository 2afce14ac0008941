"""What the page asks of a run's model, as arrays and numbers; nothing here knows of the web."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxvae._checks import expect_in_range, expect_positive, expect_shape, expected
from jaxvae.build import build_evaluator, make_key
from jaxvae.data import Dataset
from jaxvae.latents import LatentUse
from jaxvae.runs import View

# Latents are padded to one of these counts, so that nothing is compiled while a picture moves.
BATCH_SIZES = (1, 16)

# Test images that say which latents are active, how far they reach, and where the points of the plane are.
_NUM_ENCODED = 2000

# Beyond this no latent is meant, and its image is not a number.
_FARTHEST = 1e6


class Explorer:
    """Answers about one run's model.

    Images that come from it are bytes `(H, W, C)`, as a browser has them; those that go to it are bytes
    `(C, H, W)` as they are stored, which `stored` and `from_drawing` give. What moves with the mouse is
    compiled when this is made.

    Args:
        view: of the model.
        dataset: whose test images are shown and encoded.
        num_samples: importance samples of a log p(x).

    Raises:
        ValueError: if `num_samples` is not positive.
    """

    def __init__(self, view: View, dataset: Dataset, num_samples: int = 1000):
        expect_positive("the number of samples", num_samples)
        run = view.run
        self._view, self._num_samples = view, num_samples
        self._random = np.random.default_rng(view.seed)
        self._images, self._classes_of_images = dataset.test
        self._labels = run.labels(dataset, "test")
        self._use = view.encode(np.asarray(self._images[:_NUM_ENCODED]), _first(self._labels))
        options = {"estimator": "importance", "num_samples": num_samples}
        config = dataclasses.replace(run.config, evaluate=dataclasses.replace(run.config.evaluate, **options))
        self._evaluator = build_evaluator(config, num_classes=run.num_classes)
        self._key = make_key(config, "evaluate")
        self._warm()

    def _warm(self) -> None:
        label = 0 if self.num_classes else None
        z = self.draw(label)
        for count in BATCH_SIZES:
            self.decode(np.tile(z, (count, 1)), label)
        self.encode(self.stored(0)[0], label)

    @property
    def num_classes(self) -> int:
        """Y, of a conditional model; 0 of others."""
        return self._view.run.num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(H, W, C)`."""
        channels, height, width = self._view.run.image_shape
        return height, width, channels

    def describe(self) -> dict[str, Any]:
        """What the page has to know before anything is asked."""
        run, activity = self._view.run, self._activity()
        order = np.argsort(-activity, kind="stable")
        return {
            "run": str(run.directory),
            "preset": run.preset,
            "data": run.config.data.name,
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "num_images": len(self._images),
            "num_encoded": len(self._use.mean),
            "num_active": self._use.num_active,
            "num_samples": self._num_samples,
            "is_density": run.config.likelihood.name != "grey-bernoulli",
            "is_drawn": run.config.pixelcnn.model != "none",
            "order": order.tolist(),
            "activity": _rounded(activity),
            "priors": self._priors(),
            "plane": self._plane(order[:2]) if len(order) > 1 else None,
        }

    def _activity(self) -> np.ndarray:
        activity = self._use.activity
        return np.zeros(self._view.latent_dim) if activity is None else activity

    def _priors(self) -> list[dict[str, list[float]]]:
        """Of each class, or of no class, where each latent is and how far it goes, as a slider has it."""
        mean, labels = self._use.mean, _first(self._labels)
        priors = []
        for y, (center, scale) in enumerate(zip(*self._centers_and_scales(), strict=True)):
            means = mean if labels is None else mean[labels == y]
            # The prior's bulk, and every posterior mean.
            reach = np.maximum(3 * scale, np.max(np.abs(means - center), axis=0, initial=0))
            columns = {"center": center, "scale": scale, "low": center - reach, "high": center + reach}
            priors.append({name: np.asarray(column, np.float64).tolist() for name, column in columns.items()})
        return priors

    def _centers_and_scales(self) -> tuple[np.ndarray, np.ndarray]:
        """The priors' means and standard deviations, `(Y, D)` each; of no class, `(1, D)`."""
        if self._view.run.config.prior.flow == "none":
            center = self._from_noise(np.zeros(self._view.latent_dim))
            return center, self._from_noise(np.ones(self._view.latent_dim)) - center
        # A flow's are not known; those of all the posteriors together come near them.
        mean, variance = self._use.mean, self._use.statistics.variance
        scale = np.sqrt(np.var(mean, axis=0) + np.mean(variance, axis=0))
        shape = (max(1, self.num_classes), self._view.latent_dim)
        return np.broadcast_to(np.mean(mean, axis=0), shape), np.broadcast_to(scale, shape)

    def _plane(self, latents: np.ndarray) -> dict[str, Any]:
        """Two latents, and where the encoded test images are in them."""
        latents = np.sort(latents)
        classes = self._classes_of_images
        return {
            "latents": latents.tolist(),
            "points": _rounded(self._use.mean[:, latents]),
            "classes": None if classes is None else classes[:_NUM_ENCODED].tolist(),
        }

    def decode(self, z: np.ndarray, label: int | None) -> np.ndarray:
        """Images of latents `(N, D)`, N at most 16: their means, or a draw of each with a PixelCNN.

        Raises:
            ValueError: if there are more or none, or of another size or far out; or on a wrong class.
        """
        expect_in_range("the number of latents", len(z), 1, BATCH_SIZES[-1] + 1)
        expect_shape("the latents", z.shape, (len(z), self._view.latent_dim))
        if not np.all(np.abs(z) <= _FARTHEST):
            worst = z[~(np.abs(z) <= _FARTHEST)][0]
            raise expected("every latent", f"to be a number from {-_FARTHEST:g} to {_FARTHEST:g}", worst)
        count = min(size for size in BATCH_SIZES if size >= len(z))
        padded = np.concatenate([z, np.repeat(z[-1:], count - len(z), axis=0)])
        return _as_bytes(self._view.decode(padded, self._classes(label, count))[: len(z)])

    def draw(self, label: int | None) -> np.ndarray:
        """A latent `(D,)` of the prior, another one each time."""
        self._classes(label, 1)
        return self._from_noise(self._random.standard_normal(self._view.latent_dim))[label or 0]

    def _from_noise(self, noise: np.ndarray) -> np.ndarray:
        """Of noise `(D,)` the latent of each class, `(Y, D)`; of no class, `(1, D)`."""
        classes = np.arange(self.num_classes) if self.num_classes else None
        return self._view.from_noise(np.tile(noise, (max(1, self.num_classes), 1)), classes)

    def stored(self, number: int) -> tuple[np.ndarray, int | None]:
        """A test image as it is stored, and its class where the model takes one.

        Raises:
            ValueError: if there is no such image.
        """
        expect_in_range("the number of a test image", number, 0, len(self._images))
        label = None if self._labels is None else int(self._labels[number])
        return np.asarray(self._images[[number]])[0], label

    def from_drawing(self, pixels: np.ndarray) -> np.ndarray:
        """An image as the test images are stored, of pixels `(H, W, C)` from 0 to 255.

        Raises:
            ValueError: if they are of another shape, or a value is out of range.
        """
        expect_shape("the pixels", pixels.shape, self.image_shape)
        if not np.all((pixels >= 0) & (pixels <= 255)):
            raise expected("the pixels", "to be from 0 to 255", pixels[~((pixels >= 0) & (pixels <= 255))][0])
        is_grey = self._view.run.config.data.binarization == "none"
        stored = np.round(pixels) if is_grey else pixels >= 128
        return stored.astype(np.uint8).transpose(2, 0, 1)

    def encode(self, image: np.ndarray, label: int | None) -> dict[str, Any]:
        """The moments of an image's posterior, and the image of its mean.

        Returns:
            `mean` and `scale` `(D,)`; `kl` in nats; `pixels`, the image as the model sees it, and
            `reconstruction`, both `(H W C,)`.

        Raises:
            ValueError: on a wrong class.
        """
        statistics = self._encoded(image, label).statistics
        pixels = _as_bytes(self._view.seen(image[None]))
        return {
            "mean": statistics.mean[0].tolist(),
            "scale": np.sqrt(statistics.variance[0]).tolist(),
            "kl": float(statistics.kl[0]),
            "pixels": pixels.ravel().tolist(),
            "reconstruction": self.decode(np.asarray(statistics.mean), label).ravel().tolist(),
        }

    def _encoded(self, image: np.ndarray, label: int | None) -> LatentUse:
        return self._view.encode(image[None], self._classes(label, 1))

    def score(self, image: np.ndarray, label: int | None) -> Mapping[str, float | bool]:
        """An image's log p(x), or log p(x | y), in nats, with what says how far to trust it.

        Raises:
            ValueError: on a wrong class.
        """
        scored = self._evaluator(self._view.model, self._key, image[None], self._classes(label, 1))
        names = ("log_p", "standard_error", "effective_sample_size", "pareto_k", "elbo", "reliable")
        return {name: getattr(scored, name)[0].item() for name in names}

    def _classes(self, label: int | None, count: int) -> np.ndarray | None:
        """A class as often as there are images, as the model takes it."""
        if label is None and self.num_classes:
            raise expected("a class", "as the model is conditional", "none")
        if label is not None and not self.num_classes:
            raise expected("no class", "as the model is not conditional", label)
        if label is None:
            return None
        expect_in_range("the class", label, 0, self.num_classes)
        return np.full(count, label)


def _first(labels: np.ndarray | None) -> np.ndarray | None:
    return None if labels is None else labels[:_NUM_ENCODED]


def _rounded(values: ArrayLike) -> list:
    return np.round(np.asarray(values, np.float64), 4).tolist()


def _as_bytes(images: np.ndarray) -> np.ndarray:
    """Images `(N, C, H, W)` in [0, 1] as bytes `(N, H, W, C)`."""
    whole = np.round(255 * np.clip(np.nan_to_num(images), 0, 1))
    return whole.astype(np.uint8).transpose(0, 2, 3, 1)
