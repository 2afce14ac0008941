import numpy as np
import pytest
from PIL import Image

from jaxvae import plots


def frames(num_points=(6, 6)):
    random = np.random.RandomState(0)
    return [
        plots.LatentFrame(10 * (i + 1), random.normal(size=(n, 2)), np.full((4, 1, 3, 3), i / 2))
        for i, n in enumerate(num_points)
    ]


def test_every_frame_is_shown_and_the_last_one_longest(tmp_path):
    done = []
    plots.save_animation(tmp_path / "new" / "x.gif", frames(), np.arange(6) % 3, on_frame=done.append)
    assert done == [1, 2]
    with Image.open(tmp_path / "new" / "x.gif") as gif:
        assert (gif.n_frames, gif.info["loop"]) == (2, 0)
        first, short = np.asarray(gif.convert("L"), float), gif.info["duration"]
        gif.seek(1)
        assert gif.info["duration"] > short
        # The right half holds the samples, black and then grey.
        changed = np.asarray(gif.convert("L"), float) - first
        assert changed[:, changed.shape[1] // 2 :].mean() > 20


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Expected the number of frames to be positive; got 0\."):
        plots.save_animation(tmp_path / "x.gif", [])
    with pytest.raises(
        ValueError, match=r"Expected the points of a frame to have shape \(6, 2\); got \(5, 2\)"
    ):
        plots.save_animation(tmp_path / "x.gif", frames((6, 5)))
    assert not list(tmp_path.iterdir())
