"""The tutorial runs as it is, and what it tells holds in its own numbers."""

import contextlib
import io
import itertools
import runpy

import numpy as np
import pytest
from matplotlib.image import imread

from tests.helpers import assert_within_standard_errors

FIGURES = ["data", "kl-per-latent", "log-p-x", "reconstructions", "samples", "training", "tsne"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tour")


@pytest.fixture(scope="module")
def names(folder):
    """What the script leaves behind, and `output`, what it prints."""
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output):
        return {**runpy.run_module("jaxvae.tutorial", run_name="__main__"), "output": output.getvalue()}


def test_the_log_weight_by_hand_is_the_library_s(names):
    np.testing.assert_allclose(names["by_hand"], names["log_w"], rtol=1e-5)


def test_both_models_learn(names):
    for scores in (names["mean_field_scores"], names["iaf_scores"]):
        assert -115 < np.mean(scores.elbo) < np.mean(scores.log_p) < -95


def test_the_bounds_rise_with_their_draws(names):
    bounds = list(names["bounds"].values())
    rises = [names["mean_and_error"](later - earlier) for earlier, later in itertools.pairwise(bounds)]
    assert len(rises) == 3
    assert all(rise > 3 * error for rise, error in rises)
    # The first is the ELBO, the last the evaluator's log p(x), from other draws of the same images.
    scores, count = names["mean_field_scores"], names["NUM_BOUNDED"]
    for values, others in ((bounds[0], scores.elbo), (bounds[-1], scores.log_p)):
        difference, error = names["mean_and_error"](values - others[:count])
        assert_within_standard_errors(difference, 0, error)


def test_the_flow_s_log_det_is_its_jacobian_s(names):
    assert names["jacobian_error"] < 1e-4
    # Of a flow that does something.
    assert np.abs(names["of_jacobian"]).min() > 1


def test_the_gains_are_of_the_same_images(names):
    for gain, error in (names["elbo_gain"], names["log_p_gain"], names["walked"], names["sampled"]):
        assert abs(gain) < 10
        # The images differ by tens of nats: unpaired, the error would be above 1.
        assert 0 < error < 1


def test_annealing_is_not_below_importance_sampling_and_its_gap_is_small(names):
    for difference, error in names["shortfall"].values():
        assert difference > -3 * error
        assert error < 0.5
    gap, error = names["two_sides"]["gap"], names["two_sides"]["gap_standard_error"]
    assert abs(gap) < 0.5
    assert 0 < error < 0.3


def test_it_prints_what_it_measures(names):
    for wanted in ("1,000   ", "IAF - mean field, ELBO:", "importance sampling is", "a gap of"):
        assert wanted in names["output"]
    assert "nan" not in names["output"]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_shows_something(names, folder, name):
    pixels = imread(folder / "tutorial" / f"{name}.png")
    assert pixels.std() > 0.05


def test_there_is_no_other_figure(names, folder):
    assert sorted(path.stem for path in (folder / "tutorial").iterdir()) == FIGURES
