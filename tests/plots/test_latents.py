import numpy as np
import pytest

from jaxvae import plots
from jaxvae.plots.figures import class_colours


def test_tsne_keeps_clusters_together_and_says_how_far_it_is():
    random = np.random.RandomState(0)
    centres = np.repeat(20 * np.eye(3, 7), 20, axis=0)
    points = (centres + random.normal(size=(60, 7))).astype(np.float32)
    steps = []
    placed = plots.tsne(points, max_points=50, on_step=steps.append)
    assert placed.shape == (50, 2)
    assert steps == sorted(steps)
    assert 250 < steps[-1] <= plots.TSNE_STEPS  # it ends early where nothing moves any more
    distances = np.linalg.norm(placed[:, None] - placed, axis=-1) + np.diag(np.full(50, np.inf))
    assert np.array_equal(np.argmin(distances, axis=1) // 20, np.arange(50) // 20)


@pytest.mark.parametrize("points", [np.arange(20.0)[:, None], np.ones((20, 3))], ids=["a line", "one place"])
def test_tsne_places_points_that_have_no_two_principal_components(points):
    assert np.all(np.isfinite(plots.tsne(points)))


def test_a_scatter_names_each_class_among_its_own_points():
    points = np.array([[0.0, 0.0], [0.1, 0.1], [5.0, 5.0], [5.1, 5.1], [5.2, 5.2]])
    (axes,) = plots.scatter(points, np.array([0, 0, 3, 3, 3]), axis_names=("a", "b"), title="c").axes
    assert {text.get_text(): text.xy for text in axes.texts} == {"0": (0.0, 0.0), "3": (5.1, 5.1)}
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("a", "b", "c")
    colours = axes.collections[0].get_facecolors()[:, :3]
    assert len(np.unique(colours, axis=0)) == 2
    assert len(plots.scatter(points).axes[0].texts) == 0


@pytest.mark.parametrize("num_classes", [2, 10, 11, 50])
def test_every_class_has_a_colour_of_its_own(num_classes):
    assert len({tuple(np.ravel([colour])) for colour in class_colours(num_classes)}) == num_classes


def test_kl_per_latent_falls_from_left_to_right():
    figure = plots.kl_per_latent(np.array([0.5, 3.0, 1.5]), active_units=2)
    (axes,) = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [3.0, 1.5, 0.5]
    assert axes.get_title() == "5.0 nats in 3 latents, 2 of them active"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.scatter(np.zeros((0, 2))), r"Expected the number of points to be positive; got 0\."),
        (
            lambda: plots.scatter(np.zeros((4, 3))),
            r"Expected the points to have shape \(N, 2\); got \(4, 3\)\.",
        ),
        (
            lambda: plots.scatter(np.zeros((4, 2)), np.zeros(3, int)),
            r"Expected the classes to have shape \(4,\); got \(3,\)\.",
        ),
        (lambda: plots.kl_per_latent(np.zeros(0)), r"Expected the number of latents to be positive; got 0\."),
        (
            lambda: plots.kl_per_latent(np.array([1.0, np.nan])),
            r"Expected the KL term to have a part for each latent, which that of a flow has not; got NaN\.",
        ),
        (
            lambda: plots.tsne(np.full((4, 2), np.nan)),
            r"Expected the points for t-SNE to be finite numbers; got nan\.",
        ),
        (lambda: plots.tsne(np.zeros((2, 4))), r"Expected the number of points for t-SNE to be at least 3"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
