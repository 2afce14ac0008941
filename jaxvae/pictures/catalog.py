"""The pictures of a run by name: which runs have them, and how they are drawn."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from jaxvae._checks import expect_choice, expect_positive, expected
from jaxvae.pictures import draw
from jaxvae.runs import Run, expect_conditional
from jaxvae.writers import load_records

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a run.

    Args:
        draw: `(subject) -> Figure`.
        what: in a few words.
        expect: raises `ValueError` where a run has no such picture.
        shows_images: whether images are on it, which are then to be grey or in colour.
    """

    draw: "Callable[[draw.Subject], Figure]"
    what: str
    expect: Callable[[Run, str], None] = lambda run, name: None
    shows_images: bool = True

    def check(self, run: Run, name: str) -> None:
        """Raises `ValueError` where a run has no such picture."""
        self.expect(run, name)
        if self.shows_images and run.image_shape[0] not in (1, 3):
            rule = "to be 1 or 3"
            raise expected(f"the channels of images for the picture {name}", rule, run.image_shape[0])


def _expect_plane(run: Run, name: str) -> None:
    if run.config.model.latent_dim != 2:
        instead = "interpolations and tsne are for any number"
        raise expected(
            f"a model with 2 latents for the picture {name}", f"({instead})", run.config.model.latent_dim
        )


def _expect_parts(run: Run, name: str) -> None:
    for part in ("posterior", "prior"):
        flow = getattr(run.config, part).flow
        if flow != "none":
            rule = "(tsne and log-p-x are for any)"
            raise expected(f"a Gaussian {part} for the picture {name}", rule, f"one with the flow {flow}")


def _expect_records(run: Run, name: str) -> None:
    path = run.directory / "metrics.jsonl"
    if not path.exists() or not load_records(path):
        raise expected(f"records for the picture {name}", "(one every --log-every steps)", "none")


# In the order of the time they take.
PICTURES = {
    "curves": Picture(
        draw.curves, "bounds and log p(x) during training", _expect_records, shows_images=False
    ),
    "samples": Picture(draw.samples, "images of draws from the prior"),
    "reconstructions": Picture(draw.reconstructions, "test images beside their reconstructions"),
    "interpolations": Picture(draw.interpolations, "the way from one test image to another"),
    "classes": Picture(
        draw.classes,
        "of a conditional model: samples of each class",
        lambda run, name: expect_conditional(run, f"the picture {name}"),
    ),
    "kl-per-latent": Picture(
        draw.kl_per_latent, "how much each latent says of an image; not of a flow", _expect_parts, False
    ),
    "manifold": Picture(
        draw.manifold, "of 2 latents: decoded images through the prior's quantiles", _expect_plane
    ),
    "scatter": Picture(draw.scatter, "of 2 latents: where the test images are", _expect_plane, False),
    "tsne": Picture(draw.tsne, "where the test images are, in the plane by t-SNE", shows_images=False),
    "log-p-x": Picture(draw.log_p_x, "the histogram of log p(x), and the best and worst test images"),
}


def choose_pictures(run: Run, names: Iterable[str] | None) -> list[str]:
    """The pictures that were asked for, or all that the run has.

    Raises:
        ValueError: if a name is unknown, or the run has no such picture.
    """
    if names is None:
        return [name for name, picture in PICTURES.items() if _has(run, name, picture)]
    names = list(dict.fromkeys(names))
    expect_positive("the number of pictures", len(names))
    for name in names:
        expect_choice("the picture", name, PICTURES)
        PICTURES[name].check(run, name)
    return names


def _has(run: Run, name: str, picture: Picture) -> bool:
    try:
        picture.check(run, name)
    except ValueError:
        return False
    return True
