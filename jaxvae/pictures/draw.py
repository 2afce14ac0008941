"""Figures of a run: its model's arrays, handed to `jaxvae.plots`."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from jaxvae import plots
from jaxvae._checks import expected
from jaxvae.data import Dataset
from jaxvae.interrupts import StopRequest
from jaxvae.runs import View, evaluate_run
from jaxvae.writers import ProgressBar, load_records

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUM_SAMPLES, _NUM_PAIRS, _NUM_PATHS, _NUM_STEPS = 64, 32, 8, 8
# Of the manifold: of one panel, and of one for each class.
_QUANTILES, _QUANTILES_OF_CLASS = 20, 8


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is drawn: a run's model, and the test images that it is shown with.

    Args:
        view: of the model.
        dataset: of the run.
        max_points: of the scatter and of t-SNE, from the first test image.
    """

    view: View
    dataset: Dataset
    max_points: int = 10_000

    @property
    def images(self) -> np.ndarray:
        """The test images, as they are stored."""
        return self.dataset.test.images

    @property
    def classes(self) -> np.ndarray | None:
        """Of the test images, whether the model takes them or not."""
        return self.dataset.test.labels

    @property
    def labels(self) -> np.ndarray | None:
        """The classes where the model takes them."""
        return self.view.run.labels(self.dataset, "test")


def curves(subject: Subject) -> "Figure":
    """The bounds of the records."""
    return plots.curves(load_records(subject.view.run.directory / "metrics.jsonl"))


def samples(subject: Subject) -> "Figure":
    """Draws from the prior."""
    return plots.image_grid(subject.view.sample(_NUM_SAMPLES), title="samples")


def reconstructions(subject: Subject) -> "Figure":
    """The first images beside their reconstructions."""
    images, labels = subject.images[:_NUM_PAIRS], subject.labels
    outputs = subject.view.reconstruct(images, None if labels is None else labels[:_NUM_PAIRS])
    return plots.reconstructions(subject.view.seen(images), outputs)


def interpolations(subject: Subject) -> "Figure":
    """The line between the posterior means of two images, of one class where the model is conditional."""
    pairs = _pairs(subject.labels, len(subject.images))
    images = subject.images[pairs.ravel()]
    labels = None if subject.labels is None else subject.labels[pairs.ravel()]
    means = subject.view.encode(images, labels).mean.reshape(len(pairs), 2, 1, -1)
    share = np.linspace(0, 1, _NUM_STEPS)[:, None]
    z = (1 - share) * means[:, 0] + share * means[:, 1]
    of_steps = None if labels is None else np.repeat(labels[::2], _NUM_STEPS)
    decoded = subject.view.decode(z.reshape(-1, z.shape[-1]), of_steps)
    seen = subject.view.seen(images)
    return plots.interpolations(seen[::2], decoded.reshape(*z.shape[:2], *decoded.shape[1:]), seen[1::2])


def _pairs(labels: np.ndarray | None, num_images: int) -> np.ndarray:
    """Numbers `(R, 2)` of images to walk between: neighbours, or the first two of a class."""
    if labels is None:
        num_pairs = min(_NUM_PATHS, num_images // 2)
        pairs = np.arange(2 * num_pairs).reshape(num_pairs, 2)
    else:
        found = (np.flatnonzero(labels == label)[:2] for label in np.unique(labels))
        pairs = np.array([pair for pair in found if len(pair) == 2][:_NUM_PATHS])
    if len(pairs) == 0:
        raise expected("two images to walk between", "(of one class, where the model is conditional)", "none")
    return pairs


def classes(subject: Subject) -> "Figure":
    """Samples of each class."""
    num_classes = subject.view.run.num_classes
    labels = np.tile(np.arange(num_classes), 8)
    images = subject.view.sample_classes(labels)
    return plots.class_grid(images.reshape(-1, num_classes, *images.shape[1:]))


def kl_per_latent(subject: Subject) -> "Figure":
    """The parts of the KL term."""
    use = subject.view.encode(subject.images, subject.labels)
    return plots.kl_per_latent(use.kl_per_latent, use.num_active)


def manifold(subject: Subject) -> "Figure":
    """The plane of two latents, of each class where the model is conditional."""
    num_classes = subject.view.run.num_classes
    size = _QUANTILES_OF_CLASS if num_classes else _QUANTILES
    quantiles = (np.arange(size) + 0.5) / size
    second, first = np.meshgrid(ndtri(quantiles), ndtri(quantiles), indexing="ij")
    noise = np.stack([first.ravel(), second.ravel()], axis=1)
    panels = []
    for label in range(num_classes) if num_classes else [None]:
        labels = None if label is None else np.full(len(noise), label)
        images = subject.view.decode(subject.view.from_noise(noise, labels), labels)
        panels.append(images.reshape(size, size, *images.shape[1:]))
    titles = [f"class {label}" for label in range(num_classes)] or [""]
    return plots.manifold(np.stack(panels), titles)


def scatter(subject: Subject) -> "Figure":
    """The posterior means of a model with two latents."""
    means, classes = _encode(subject)
    return plots.scatter(means, classes, title="posterior means of the test images")


def tsne(subject: Subject) -> "Figure":
    """The posterior means, brought into the plane."""
    means, classes = _encode(subject)
    with ProgressBar(plots.TSNE_STEPS, "step of t-SNE") as bar:
        points = plots.tsne(means, max_points=subject.max_points, seed=subject.view.seed, on_step=bar.advance)
    title = f"t-SNE of the posterior means of {len(points):,} test images"
    names = ("first t-SNE dimension", "second t-SNE dimension")
    return plots.scatter(points, classes, axis_names=names, title=title)


def _encode(subject: Subject) -> tuple[np.ndarray, np.ndarray | None]:
    """The posterior means of as many images as are to be drawn, and their classes."""
    kept = slice(subject.max_points)
    use = subject.view.encode(subject.images[kept], None if subject.labels is None else subject.labels[kept])
    return use.mean, None if subject.classes is None else subject.classes[kept]


def log_p_x(subject: Subject) -> "Figure":
    """The scores of the run's evaluation: kept from its end, or measured now where they are not."""
    evaluation = evaluate_run(subject.view.run, subject.dataset, "test", stop=StopRequest())
    images = subject.view.seen(subject.images[: len(evaluation.log_p)])
    quantity = "log p(x | y)" if subject.view.run.num_classes else "log p(x)"
    return plots.log_p_histogram(evaluation.log_p, images, quantity=quantity)
