"""`jaxvae plot` and `jaxvae train --animate`."""

import dataclasses
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxvae.cli import main
from jaxvae.pictures import PICTURES, choose_pictures
from jaxvae.runs import load_run
from tests.test_cli import SMALL, run_main

PLANE = ["--model.latent-dim", 2]
CONDITIONAL = ["--model.labels", "one-hot"]


def names(out):
    return [pathlib.Path(line).stem for line in out.splitlines()]


def train(directory, *arguments):
    main([str(argument) for argument in ("train", *arguments, "--run-dir", directory, "--json")])
    return directory


@pytest.fixture(scope="module")
def arguments(idx_directory):
    return ["--data-dir", idx_directory, "--steps", 20, *SMALL]


@pytest.fixture(scope="module")
def plane(tmp_path_factory, arguments):
    """A run with two latents, and its animation."""
    return train(tmp_path_factory.mktemp("plane") / "run", *arguments, *PLANE, "--animate", 8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, arguments):
    return train(tmp_path_factory.mktemp("finished") / "run", *arguments)


def test_plot_draws_all_that_a_run_has(plane, capsys):
    code, out, err = run_main(capsys, "plot", plane)
    assert code == 0, err
    assert names(out) == [name for name in PICTURES if name != "classes"]
    for line in out.splitlines():
        picture = Image.open(line).convert("L")
        assert picture.width > 600
        assert np.asarray(picture).std() > 10


def test_plot_of_a_conditional_model_draws_its_classes(tmp_path, arguments, capsys):
    run = train(tmp_path / "run", *arguments, *PLANE, *CONDITIONAL, "--model.learned-prior")
    capsys.readouterr()
    code, out, err = run_main(
        capsys, "plot", run, "--pictures", "classes", "manifold", "interpolations", "--format", "svg"
    )
    assert code == 0, err
    assert names(out) == ["classes", "manifold", "interpolations"]
    assert all("<svg" in pathlib.Path(line).read_text() for line in out.splitlines())


def test_the_scores_of_a_run_are_not_measured_again(plane, capsys, monkeypatch):
    monkeypatch.setattr("jaxvae.evaluate.Evaluator._evaluate_batch", None)
    code, out, err = run_main(capsys, "plot", plane, "--pictures", "log-p-x", "--format", "pdf")
    assert code == 0, err
    assert pathlib.Path(out.strip()).read_bytes().startswith(b"%PDF")


def test_a_flow_has_no_parts_of_its_kl_and_a_manifold_all_the_same(tmp_path, arguments, capsys):
    flows = ["--prior.flow", "iaf", "--prior.num-flows", 1, "--prior.widths", 8]
    run = train(tmp_path / "run", *arguments, *PLANE, *flows)
    code, out, err = run_main(capsys, "plot", run, "--pictures", "manifold", "scatter")
    assert code == 0, err
    code, out, err = run_main(capsys, "plot", run, "--pictures", "kl-per-latent")
    assert (code, out) == (2, "")
    assert "Expected a Gaussian prior for the picture kl-per-latent (tsne and log-p-x are for any)" in err


def test_the_animation_has_a_frame_for_every_look_and_the_end(plane):
    steps = [int(path.stem) for path in sorted((plane / "plots" / "latents").iterdir())]
    assert steps == [8, 16, 20]
    with Image.open(plane / "plots" / "latents.gif") as gif:
        assert gif.n_frames == 3
        first = np.asarray(gif.convert("L"), float)
        gif.seek(1)
        assert np.abs(np.asarray(gif.convert("L"), float) - first).mean() > 0.5


def test_a_stopped_run_goes_on_with_its_animation(plane, tmp_path, arguments, capsys):
    options = [*arguments, *PLANE, "--run-dir", tmp_path / "run", "--animate", 8]
    assert run_main(capsys, "train", *options, "--max-minutes", 1e-6)[0] == 0
    assert not (tmp_path / "run" / "plots" / "latents.gif").exists()
    # As a killed run leaves it: a frame that is whole and one that is not, from after the checkpoint.
    (tmp_path / "run" / "plots" / "latents").mkdir(parents=True, exist_ok=True)
    (tmp_path / "run" / "plots" / "latents" / "00000019.npz").write_bytes(b"PK")
    assert run_main(capsys, "train", *options, "--resume")[0] == 0
    frames = [
        {path.name for path in (run / "plots" / "latents").iterdir()} for run in (plane, tmp_path / "run")
    ]
    assert frames[0] == frames[1]
    for path in (plane / "plots" / "latents").iterdir():
        with np.load(path) as whole, np.load(tmp_path / "run" / "plots" / "latents" / path.name) as resumed:
            assert all(np.array_equal(whole[name], resumed[name]) for name in ("means", "samples"))
    gif = (tmp_path / "run" / "plots" / "latents.gif").read_bytes()
    assert gif == (plane / "plots" / "latents.gif").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--pictures", "manifold"],
            r"Expected a model with 2 latents for the picture manifold "
            r"\(interpolations and tsne are for any number\); got 3\.",
        ),
        (["--pictures", "scatter"], r"Expected a model with 2 latents for the picture scatter"),
        (["--pictures", "classes"], r"Expected a conditional model for the picture classes"),
        (["--pictures", "tnse"], r"Expected the picture to be one of .*; got 'tnse' \(near: tsne\)\."),
        (["--max-points", "0"], r"Expected --max-points to be positive; got 0\."),
        (["--pictures", "tsne", "--max-points", "2"], r"Expected the number of points for t-SNE to be at "),
        (["--format", "gif"], r"--format"),
        (["--seed", "-1"], r"Expected --seed to be at least 0"),
    ],
)
def test_bad_input_to_plot_is_one_line(finished, capsys, options, message):
    code, out, err = run_main(capsys, "plot", finished, *options)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert re.search(message, err)


def test_a_run_that_was_stopped_before_its_first_record_has_its_other_pictures(plane, tmp_path, capsys):
    shutil.copytree(plane, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    run = load_run(tmp_path / "run")
    assert choose_pictures(run, None)[0] == "samples"
    code, _, err = run_main(capsys, "plot", tmp_path / "run", "--pictures", "curves")
    assert (code, err) == (
        2,
        "jaxvae: Expected records for the picture curves (one every --log-every steps); got none.\n",
    )


def test_images_that_are_neither_grey_nor_in_colour_are_not_shown(plane):
    run = dataclasses.replace(load_run(plane), image_shape=(2, 6, 5))
    assert choose_pictures(run, None) == ["curves", "kl-per-latent", "scatter", "tsne"]
    with pytest.raises(ValueError, match=r"channels of images for the picture samples to be 1 or 3; got 2\."):
        choose_pictures(run, ["samples"])


def test_images_that_no_longer_fit_the_model_are_refused(plane, capsys, tmp_path):
    shutil.copytree(plane, tmp_path / "run")
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    content["config"]["data"]["dir"] = None
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    for command in ("plot", "report", "explore"):
        code, _, err = run_main(capsys, command, tmp_path / "run")
        assert code == 2
        assert "Expected the images to have shape (1, 6, 5); got (1, 28, 28)." in err


def test_a_run_without_checkpoints_has_no_pictures(finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    code, out, err = run_main(capsys, "plot", tmp_path / "run")
    assert (code, out) == (2, "")
    assert "Expected a readable checkpoint in" in err
    assert not (load_run(tmp_path / "run").directory / "plots").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--animate", 21], "Expected --animate to be at least 1 and below 21; got 21."),
        (["--animate", 0], "Expected --animate to be at least 1 and below 21; got 0."),
        (
            ["--animate", 5, "--model.latent-dim", 1],
            "Expected --model.latent-dim with --animate to be at least 2 and below inf; got 1.",
        ),
    ],
)
def test_bad_input_to_animate_is_said_before_training(tmp_path, arguments, capsys, options, message):
    code, _, err = run_main(capsys, "train", *arguments, *options, "--run-dir", tmp_path / "run")
    assert (code, err) == (2, f"jaxvae: {message}\n")
    assert not (tmp_path / "run").exists()
