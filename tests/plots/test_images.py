import numpy as np
import pytest
from PIL import Image

from jaxvae import plots


def test_tiles_stand_in_rows_on_grey():
    images = np.stack([np.full((1, 2, 3), value) for value in (0.0, 0.25, 1.0)])
    canvas = plots.tile(images, 2, gap=1)
    assert canvas.shape == (7, 9, 1)
    np.testing.assert_array_equal(canvas[1:3, 1:4], 0.0)
    np.testing.assert_array_equal(canvas[1:3, 5:8], 0.25)
    np.testing.assert_array_equal(canvas[4:6, 1:4], 1.0)
    np.testing.assert_array_equal(canvas[4:6, 5:8], 0.5)


def test_a_picture_has_the_pixels_of_its_images(tmp_path):
    images = np.linspace(0, 1, 2 * 4 * 5).reshape(2, 1, 4, 5)
    plots.save_images(tmp_path / "new" / "grid.png", images, num_columns=2, scale=3)
    picture = np.asarray(Image.open(tmp_path / "new" / "grid.png"))
    assert picture.shape == (3 * 8, 3 * 16)
    np.testing.assert_array_equal(picture[6:18:3, 6:21:3], np.round(255 * images[0, 0]))


def test_colour_images_stay_coloured(tmp_path):
    images = np.zeros((1, 3, 2, 2))
    images[0, 1] = 1
    plots.save_images(tmp_path / "green.png", images)
    assert np.asarray(Image.open(tmp_path / "green.png"))[4, 4].tolist() == [0, 255, 0]


def drawn(axes):
    return np.asarray(axes.images[0].get_array())


def test_reconstructions_stand_beside_their_inputs():
    inputs, outputs = np.zeros((3, 1, 2, 2)), np.ones((3, 1, 2, 2))
    (axes,) = plots.reconstructions(inputs, outputs).axes
    assert [drawn(axes)[2, 2 + 4 * i] for i in range(6)] == [0, 1] * 3


def test_an_interpolation_lies_between_its_images():
    starts, ends = np.zeros((2, 1, 2, 2)), np.ones((2, 1, 2, 2))
    paths = np.broadcast_to(np.array([0.25, 0.75]).reshape(1, 2, 1, 1, 1), (2, 2, 1, 2, 2))
    (axes,) = plots.interpolations(starts, paths, ends).axes
    for row in (2, 6):
        assert [drawn(axes)[row, 2 + 4 * i] for i in range(4)] == [0, 0.25, 0.75, 1]


def test_classes_stand_above_their_names():
    images = np.arange(6.0).reshape(2, 3, 1, 1, 1) * np.ones((2, 3, 1, 2, 2)) / 6
    (axes,) = plots.class_grid(images).axes
    assert [drawn(axes)[6, 2 + 4 * i] for i in range(3)] == [3 / 6, 4 / 6, 5 / 6]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]
    np.testing.assert_allclose(axes.get_xticks(), [2.5, 6.5, 10.5])  # between the two pixels of each


def test_latent_0_of_a_manifold_rises_to_the_right_and_latent_1_upwards():
    values = np.array([[0.0, 0.2], [0.4, 0.6]])
    panel = values.reshape(1, 2, 2, 1, 1, 1) * np.ones((1, 2, 2, 1, 3, 3))
    (axes,) = plots.manifold(panel).axes
    np.testing.assert_array_equal(drawn(axes)[[5, 5, 0, 0], [0, 5, 0, 5]], [0.0, 0.2, 0.4, 0.6])
    assert axes.images[0].get_extent() == [0, 1, 0, 1]
    titles = [f"class {i}" for i in range(7)]
    many = plots.manifold(np.repeat(panel, 7, axis=0), titles)
    assert [axes.get_title() for axes in many.axes[:7]] == titles


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_figure_is_written_in_the_format_of_its_suffix(tmp_path, suffix):
    path = tmp_path / "new" / f"x.{suffix}"
    plots.save_figure(path, plots.image_grid(np.ones((2, 1, 2, 2)), title="two"))
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert path.read_bytes().startswith(start[suffix])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plots.tile(np.zeros((0, 1, 2, 2)), 2),
            r"Expected the number of images to be positive; got 0\.",
        ),
        (
            lambda: plots.tile(np.zeros((1, 2, 2, 2)), 2),
            r"Expected the number of channels to be 1 or 3; got 2\.",
        ),
        (
            lambda: plots.reconstructions(np.zeros((2, 1, 2, 2)), np.zeros((3, 1, 2, 2))),
            r"Expected the reconstructions to have shape \(2, 1, 2, 2\)",
        ),
        (
            lambda: plots.interpolations(np.zeros((1, 1, 2, 2)), np.zeros((2, 3, 1, 2, 2)), None),
            r"Expected the first images to have shape \(2, 1, 2, 2\); got \(1, 1, 2, 2\)\.",
        ),
        (
            lambda: plots.manifold(np.zeros((2, 3, 3, 1, 2, 2))),
            r"Expected the titles to have shape \(2,\); got \(1,\)\.",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
