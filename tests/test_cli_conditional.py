"""Conditional models on the command line: trained, scored, classified with and drawn from."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxvae.cli import main
from jaxvae.runs import load_run
from tests.conftest import write_idx
from tests.test_cli import SMALL, run_main

CLASSES = 3
LABELS = ["--model.labels", "one-hot", "--model.learned-prior"]


@pytest.fixture(scope="module", autouse=True)
def _compile_fast():
    """Everything here compiles more than it runs."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def write_bands(directory, *, shift: int = 0, num_classes: int = CLASSES):
    """Images of 6 x 5, of which class c is bright in the rows 2c and 2c + 1; class 0 is the most frequent."""
    directory.mkdir()
    random = np.random.RandomState(1)
    for name, count in (("train", 120), ("t10k", 40)):
        labels = np.maximum(random.randint(-1, num_classes, count), 0).astype(np.uint8)
        images = random.randint(0, 60, (count, 6, 5)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * (label % 3) : 2 * (label % 3) + 2] = 240
        write_idx(directory / f"{name}-images-idx3-ubyte", images)
        write_idx(directory / f"{name}-labels-idx1-ubyte", ((labels + shift) % num_classes).astype(np.uint8))
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_bands(tmp_path_factory.mktemp("bands") / "right")


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("runs") / "conditional"
    rate = ["--optimizer.learning-rate", 0.02, "--evaluate.every", 100]
    given = ["train", "--data-dir", data, *SMALL, *LABELS, "--steps", 100, *rate]
    main([str(argument) for argument in (*given, "--run-dir", directory, "--per-class", "--json")])
    return directory


def test_a_run_remembers_how_many_images_each_class_has(run, data):
    counts = load_run(run).label_counts
    assert len(counts) == CLASSES
    assert sum(counts) == 100
    assert counts[0] > counts[1]


def test_every_epoch_leaves_a_row_with_an_image_of_each_class(run):
    pictures = sorted(path.name for path in (run / "plots").glob("per-class-*.png"))
    assert pictures == [f"per-class-{epoch:04d}.png" for epoch in range(1, 11)]
    with Image.open(run / "plots" / pictures[-1]) as picture:
        assert picture.size == (2 * (CLASSES * 7 + 2), 2 * (8 + 2))


def test_bayes_rule_finds_the_class(run, tmp_path, capsys):
    code, out, err = run_main(capsys, "evaluate", run, "--classify", "--num-samples", 20, "--json")
    assert code == 0, err
    values = json.loads(out)
    assert values["accuracy"] > 0.9
    assert values["accuracy_standard_error"] < 0.05
    assert (values["num_images"], values["labels"]) == (40, "one-hot")
    # log p(x) = log p(x, y) - log p(y | x), and the label is all but certain.
    frequencies = np.array(load_run(run).label_counts) / 100
    assert values["log_p_x_without_label"] < values["log_p_x"] + np.log(frequencies.max()) + 0.1
    assert values["log_p_x_without_label"] > values["log_p_x"] + np.log(frequencies.min()) - 0.1
    # It is the image that it goes by, and not the label beside it.
    wrong = write_bands(tmp_path / "wrong", shift=1)
    given = ["--classify", "--num-samples", 20, "--num-images", 30, "--data-dir", wrong, "--json"]
    code, out, _ = run_main(capsys, "evaluate", run, *given)
    assert json.loads(out)["accuracy"] < 0.1
    assert json.loads(out)["log_p_x"] < values["log_p_x"] - 1


def test_accuracy_is_printed_for_people(run, capsys):
    code, out, _ = run_main(capsys, "evaluate", run, "--classify", "--num-samples", 2, "--num-images", 9)
    assert code == 0
    assert "test accuracy  " in out
    assert "test log p(x|y) " in out
    assert "whatever the label" in out


def test_a_sample_of_a_class_is_of_that_class(run, tmp_path, capsys):
    for label in range(CLASSES):
        given = ["--label", label, "--num-samples", 12, "--output", tmp_path / "x.npy"]
        assert run_main(capsys, "sample", run, *given)[0] == 0
        rows = np.load(tmp_path / "x.npy").mean(axis=(0, 1, 3))
        assert set(np.argsort(rows)[-2:]) == {2 * label, 2 * label + 1}


def test_a_grid_of_the_classes(run, tmp_path, capsys):
    given = ["--per-class", "--num-samples", 4, "--output", tmp_path / "x.npy"]
    assert run_main(capsys, "sample", run, *given)[0] == 0
    images = np.load(tmp_path / "x.npy").reshape(4, CLASSES, 6, 5).mean(axis=(0, 3))
    assert [set(np.argsort(rows)[-2:]) for rows in images] == [{0, 1}, {2, 3}, {4, 5}]


def test_samples_without_a_label_are_of_classes_as_in_training(run, tmp_path, capsys):
    assert run_main(capsys, "sample", run, "--num-samples", 300, "--output", tmp_path / "x.npy")[0] == 0
    rows = np.load(tmp_path / "x.npy").mean(axis=(1, 3)).reshape(300, CLASSES, 2).sum(axis=2)
    counts = np.bincount(np.argmax(rows, axis=1), minlength=CLASSES)
    expected = 3 * np.array(load_run(run).label_counts)
    assert np.all(np.abs(counts - expected) < 40)


def test_a_conditional_run_is_plotted_and_bounded(run, capsys):
    assert run_main(capsys, "plot", run)[0] == 0
    options = ["--num-chains", 2, "--num-temperatures", 3, "--num-leapfrog", 1, "--num-images", 4, "--json"]
    code, out, _ = run_main(capsys, "evaluate", run, "--estimator", "bdmc", *options)
    assert code == 0
    assert np.isfinite(json.loads(out)["gap"])


def test_another_objective_trains_with_its_records(data, tmp_path, capsys):
    objective = ["--objective.name", "dreg", "--objective.num-samples", 3]
    given = ["--data-dir", data, *SMALL, *LABELS, *objective, "--steps", 10, "--run-dir", tmp_path / "run"]
    code, out, err = run_main(capsys, "train", *given)
    assert code == 0, err
    assert "step  train iwae  validation elbo" in out
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert record["train_elbo"] < record["train_iwae"]
    assert record["train_kl"] > 0
    assert run_main(capsys, "plot", tmp_path / "run")[0] == 0


@pytest.mark.parametrize(("beta", "chooses"), [(1, True), (0.5, False)])
def test_the_validation_images_choose_where_they_are_scored_by_what_is_maximised(
    data, tmp_path, capsys, beta, chooses
):
    given = [
        "--data-dir",
        data,
        *SMALL,
        "--objective.beta",
        beta,
        "--steps",
        10,
        "--run-dir",
        tmp_path / "run",
    ]
    code, _, err = run_main(capsys, "train", *given)
    assert code == 0, err
    assert (tmp_path / "run" / "checkpoints" / "best").exists() == chooses


@pytest.fixture(scope="module")
def plain(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("runs") / "plain"
    given = ["train", "--data-dir", data, *SMALL, "--steps", 10, "--run-dir", directory, "--json"]
    main([str(argument) for argument in given])
    return directory


BAD = {
    "a label out of range": (
        lambda run, plain: ["sample", run, "--label", 3],
        r"Expected --label to be at least 0 and below 3; got 3.",
    ),
    "a label for a model without": (
        lambda run, plain: ["sample", plain, "--label", 1],
        r"Expected a conditional model for --label (--model.labels one-hot); got ",
    ),
    "the classes of a model without": (
        lambda run, plain: ["sample", plain, "--per-class"],
        r"Expected a conditional model for --per-class (--model.labels one-hot); got ",
    ),
    "both": (
        lambda run, plain: ["sample", run, "--per-class", "--label", 1],
        r"Expected --label or --per-class; got both.",
    ),
    "no samples": (
        lambda run, plain: ["sample", run, "--num-samples", 0],
        r"Expected --num-samples to be positive; got 0.",
    ),
    "classifying with a model without": (
        lambda run, plain: ["evaluate", plain, "--classify"],
        r"Expected a conditional model for --classify (--model.labels one-hot); got ",
    ),
    "classifying simulated images": (
        lambda run, plain: ["evaluate", run, "--classify", "--estimator", "bdmc"],
        r"Expected the estimator that --classify is for to be one of ais, importance; got 'bdmc'",
    ),
    "the classes of a training without": (
        lambda run, plain: ["train", "--per-class", "--run-dir", "x"],
        r"Expected the labels that --per-class is for to be one of embedded, one-hot; got 'none'.",
    ),
    "no density": (
        lambda run, plain: ["train", "mnist-iaf", "--objective.name", "stl"],
        r"Expected --posterior.flow none for the objective stl (its gradient needs q(z | x) at a given z, ",
    ),
    "K": (
        lambda run, plain: ["train", "--objective.name", "iwae", "--objective.num-samples", 0],
        r"Expected --objective.num-samples to be positive; got 0.",
    ),
    "beta": (
        lambda run, plain: ["train", "--objective.beta", -1],
        r"Expected --objective.beta to be at least 0 and below inf; got -1.0.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(name, run, plain, capsys):
    arguments, message = BAD[name]
    code, out, err = run_main(capsys, *arguments(run, plain))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_test_labels_that_training_has_not_are_refused(run, tmp_path, capsys):
    other = write_bands(tmp_path / "other", num_classes=5)
    code, _, err = run_main(capsys, "evaluate", run, "--data-dir", other)
    assert code == 2
    assert "Expected the test labels to be at least 0 and below 3; got " in err
