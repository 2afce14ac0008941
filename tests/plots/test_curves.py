import numpy as np
import pytest

from jaxvae import plots


def records():
    found = [{"step": step, "train_elbo": -100.0 + step, "epoch": 1.0} for step in range(1, 40)]
    for record in found[::10]:
        record |= {"validation_log_p_x": -90.0 + record["step"], "validation_log_p_x_standard_error": 2.0}
    found[-1]["validation_elbo"] = None  # as a number that was not finite is written
    return found


def test_curves_have_a_line_for_each_bound_and_a_band_for_each_error():
    (axes,) = plots.curves(records()).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"train ELBO", "validation log p(x)"}
    assert lines["validation log p(x)"].get_xdata() == pytest.approx([1, 11, 21, 31])
    (band,) = axes.collections
    low, high = band.get_paths()[0].get_extents().get_points()
    assert (low.tolist(), high.tolist()) == ([1.0, -91.0], [31.0, -57.0])
    assert axes.get_ylabel() == "nats per image"
    assert "standard error" in axes.get_legend().get_title().get_text()


def test_runs_are_compared_by_one_number_each_under_its_name():
    other = [{**record, "step": 2 * record["step"]} for record in records()]
    figure = plots.compare_curves({"a": records(), "b": other, "none": [{"step": 1}]}, "validation_log_p_x")
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines] == ["a", "b"]
    assert axes.lines[1].get_xdata()[-1] == 2 * axes.lines[0].get_xdata()[-1]
    assert len(axes.collections) == 2
    assert axes.get_ylabel() == "validation log p(x), nats"


def test_the_histogram_counts_every_image_and_shows_the_extremes():
    log_p = np.array([-5.0, -1.0, -9.0, -3.0])
    images = np.arange(4.0).reshape(4, 1, 1, 1) * np.ones((4, 1, 2, 3)) / 4
    figure = plots.log_p_histogram(log_p, images, num_shown=2)
    top, best, worst = figure.axes
    assert sum(bar.get_height() for bar in top.patches) == 4
    assert top.get_xlabel() == "log p(x), nats"
    assert [tick.get_text() for tick in best.get_xticklabels()] == ["-1.0", "-3.0"]
    assert [tick.get_text() for tick in worst.get_xticklabels()] == ["-9.0", "-5.0"]
    shown = np.asarray(best.images[0].get_array())
    assert (shown[2, 2], shown[2, 7]) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: plots.curves([{"step": 1}]),
            r"Expected the records of a run to hold an ELBO or a log p\(x\); got 1 records\.",
        ),
        (
            lambda: plots.compare_curves({"a": records()}, "test_elbo"),
            r"Expected the records of a run to hold test_elbo; got none in 1 runs\.",
        ),
        (
            lambda: plots.log_p_histogram(np.zeros(3), np.zeros((2, 1, 2, 2))),
            r"Expected log p\(x\) to have shape \(2,\); got \(3,\)\.",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
