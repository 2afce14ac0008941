"""A run's model for those who look: arrays in, arrays out, everything of many images at a time."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import expect_in_range, expect_shape
from jaxvae.build import build_latent_evaluator, make_key
from jaxvae.data import Dataset, make_prepare
from jaxvae.labels import one_hot
from jaxvae.latents import LatentEvaluator, LatentUse
from jaxvae.model import VAE, decode, generate, reconstruct
from jaxvae.posteriors import noise_bijector
from jaxvae.runs.directory import Run


@dataclasses.dataclass(frozen=True)
class View:
    """The model of a run and the images to look at with it.

    Images `(N, C, H, W)` are float32 in [0, 1] where they come from the model, and bytes as they are stored
    where they go to it. Classes are numbers `(N,)`, and None where the model takes none.

    Args:
        run: whose model it is.
        model: with its parameters as they are now.
        images: of a split, as they are stored.
        classes: of the images, whether the model takes them or not; None where they have none.
        seed: of the draws.
    """

    run: Run
    model: VAE
    images: np.ndarray
    classes: np.ndarray | None
    seed: int = 0

    @property
    def latent_dim(self) -> int:
        """D."""
        return self.run.config.model.latent_dim

    @property
    def labels(self) -> np.ndarray | None:
        """The classes as the model takes them: None where it is not conditional."""
        return self.classes if self.run.num_classes else None

    def seen(self, images: np.ndarray) -> np.ndarray:
        """Stored images as the model sees them."""
        prepare = make_prepare(self.run.config.data.binarization, training=False)
        return np.asarray(prepare(jax.random.key(self.seed), jnp.asarray(images)))

    def sample(self, num_samples: int) -> np.ndarray:
        """Images of draws from the prior; of a conditional model, of classes as frequent as in training."""
        key = jax.random.fold_in(jax.random.key(self.seed), num_samples)
        return self.sample_classes(self.run.draw_labels(key, num_samples), num_samples)

    def sample_classes(self, classes: np.ndarray | None, num_samples: int) -> np.ndarray:
        """Images of draws from the prior of each of the classes, or of no class."""
        keys = jax.random.split(jax.random.key(self.seed), num_samples)
        return np.asarray(_generate(self.model, keys, self._one_hot(classes)))

    def reconstruct(self, images: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """Images of one draw from each image's posterior."""
        keys = jax.random.split(jax.random.key(self.seed), len(images))
        return np.asarray(_reconstruct(self.model, keys, self.seen(images), self._one_hot(classes)))

    def encode(self, images: np.ndarray, classes: np.ndarray | None) -> LatentUse:
        """What the posteriors of images say of their latents."""
        return self._latent_evaluator(self.model, make_key(self.run.config, "evaluate"), images, classes)

    def decode(self, z: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """Images of latents `(N, D)`.

        Raises:
            ValueError: if the latents are not D each.
        """
        expect_shape("the latents", np.shape(z), (len(z), self.latent_dim))
        keys = jax.random.split(jax.random.key(self.seed), len(z))
        return np.asarray(_decode(self.model, keys, jnp.asarray(z, jnp.float32), self._one_hot(classes)))

    def from_noise(self, noise: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        """Latents `(N, D)` of the prior, made out of standard normal noise `(N, D)`.

        The prior's quantiles, where the noise is the normal distribution's.
        """
        return np.asarray(_from_noise(self.model, jnp.asarray(noise, jnp.float32), self._one_hot(classes)))

    @functools.cached_property
    def _latent_evaluator(self) -> LatentEvaluator:
        # One, which compiles once for images of so many.
        return build_latent_evaluator(self.run.config, num_classes=self.run.num_classes)

    def _one_hot(self, classes: np.ndarray | None) -> jax.Array | None:
        if classes is not None:
            for label in (np.min(classes), np.max(classes)):
                expect_in_range("the class", label, 0, self.run.num_classes)
        return one_hot(None if classes is None else jnp.asarray(classes), self.run.num_classes)


def view_run(
    run: Run, dataset: Dataset, *, split: str = "test", seed: int = 0, model: VAE | None = None
) -> View:
    """The view of a run's model, or of another model of its kind, and of the images of a split.

    Raises:
        ValueError: if there is no checkpoint, or the images are not what the model takes.
    """
    expect_shape("the images", dataset.image_shape, run.image_shape)
    run.labels(dataset, split)
    images, classes = dataset.split(split)
    return View(run, run.load_model() if model is None else model, images, classes, seed)


# Made once, so that what is looked at again and again is compiled once.
_generate = eqx.filter_jit(eqx.filter_vmap(generate, in_axes=(None, 0, 0)))
_reconstruct = eqx.filter_jit(eqx.filter_vmap(reconstruct, in_axes=(None, 0, 0, 0)))
_decode = eqx.filter_jit(eqx.filter_vmap(decode, in_axes=(None, 0, 0, 0)))


@eqx.filter_jit
def _from_noise(model: VAE, noise: jax.Array, y: jax.Array | None) -> jax.Array:
    def one(noise: jax.Array, y: jax.Array | None) -> jax.Array:
        return jnp.asarray(noise_bijector(model.prior(y)).forward(noise))

    return eqx.filter_vmap(one)(noise, y)
