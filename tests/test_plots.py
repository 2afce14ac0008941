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


def test_reconstructions_stand_beside_their_inputs(tmp_path):
    inputs, outputs = np.zeros((3, 1, 2, 2)), np.ones((3, 1, 2, 2))
    plots.save_reconstructions(tmp_path / "pairs.png", inputs, outputs)
    row = np.asarray(Image.open(tmp_path / "pairs.png"))[4]
    assert [row[4 + 8 * i] for i in range(6)] == [0, 255] * 3


def test_colour_images_stay_coloured(tmp_path):
    images = np.zeros((1, 3, 2, 2))
    images[0, 1] = 1
    plots.save_images(tmp_path / "green.png", images)
    assert np.asarray(Image.open(tmp_path / "green.png"))[4, 4].tolist() == [0, 255, 0]


def test_curves_are_drawn(tmp_path):
    records = [{"step": step, "train_elbo": -100.0 + step, "epoch": 1.0} for step in range(1, 40)]
    records[-1] |= {"validation_elbo": -70.0, "validation_log_p_x": -68.0}
    plots.save_curves(tmp_path / "curves.png", records)
    assert np.asarray(Image.open(tmp_path / "curves.png")).std() > 1


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected the number of images to be positive; got 0\."):
        plots.tile(np.zeros((0, 1, 2, 2)), 2)
    with pytest.raises(ValueError, match=r"Expected the number of channels to be 1 or 3; got 2\."):
        plots.tile(np.zeros((1, 2, 2, 2)), 2)
    with pytest.raises(
        ValueError, match=r"Expected the records of a run to hold an ELBO .*; got 1 records\."
    ):
        plots.save_curves(tmp_path / "curves.png", [{"step": 1}])
