"""The command line on data sets other than MNIST, and what it says of them."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from jaxvae import load_run
from jaxvae.data import CATALOG
from jaxvae.presets import load_preset
from jaxvae.writers import load_records
from tests.test_cli import SMALL, run_main

QUICK = [word for word in SMALL if word not in ("--data.num-validation", "20")]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def results(run_dir):
    return json.loads((run_dir / "results.json").read_text())["test"]


def train(capsys, run_dir, *arguments, steps=6):
    code, _, err = run_main(capsys, "train", *arguments, *QUICK, "--steps", steps, "--run-dir", run_dir)
    assert code == 0, err
    return results(run_dir)


def test_datasets_says_what_is_there_and_what_it_needs(capsys, cache):
    (cache / "tfds" / "kmnist").mkdir(parents=True)
    (cache / "tfds" / "cifar10.part").mkdir()
    code, out, _ = run_main(capsys, "datasets")
    assert code == 0
    for name, entry in CATALOG.items():
        assert f"{name}: " in out
        assert entry.protocol in out
        assert f"licence: {entry.licence}; {entry.url}" in out
    assert "mnist: here" in out
    assert "omniglot: needs --data-dir" in out
    assert "1 x 28 x 20, 256 levels; train / validation / test 1,565 / 200 / 200" in out
    assert "prepared: tfds:kmnist (in " in out
    about = json.loads(run_main(capsys, "datasets", "--json")[1])
    assert about["names"]["mnist"]["is_there"]
    assert about["prepared"] == ["tfds:kmnist"]


def test_inspect_counts_and_draws_the_images(capsys, idx_directory, tmp_path):
    picture = tmp_path / "grid.png"
    arguments = ["data", "inspect", idx_directory, "--output", picture]
    code, out, err = run_main(capsys, *arguments)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"{idx_directory}: images of 1 x 6 x 5, 256 levels, 0.0 MB"
    assert lines[1].split()[:3] == ["train", "120", "images,"]
    assert "10 classes" in lines[1]
    assert lines[2].split()[:2] == ["test", "37"]
    assert lines[-1] == str(picture)
    # Half of the images are 250 in their upper half.
    assert lines[-2].split()[:3] == ["240", "to", "255"]
    assert 25 < float(lines[-2].split()[3].rstrip("%")) < 40
    with Image.open(picture) as image:
        assert image.size == (2 * (8 * 7 + 2), 2 * (8 * 8 + 2))
    found = json.loads(run_main(capsys, *arguments, "--json")[1])
    assert sum(found["histogram"]) == 157 * 30
    assert found["splits"]["train"]["num_images"] == 120
    assert sum(found["splits"]["train"]["label_counts"]) == 120


@pytest.mark.parametrize("placement", ["resident", "host", "stream"])
def test_every_placement_trains_the_same_model(capsys, idx_directory, tmp_path, placement):
    own = train(capsys, tmp_path / "auto", "--data-dir", idx_directory)
    given = train(capsys, tmp_path / placement, "--data-dir", idx_directory, "--data.placement", placement)
    assert given["log_p_x"] == pytest.approx(own["log_p_x"], rel=1e-5)
    assert own["data"] == str(idx_directory)


def test_a_streamed_run_is_resumed_bit_for_bit(capsys, idx_directory, tmp_path):
    options = ["--data-dir", idx_directory, "--data.placement", "stream"]
    train(capsys, tmp_path / "whole", *options, steps=20)
    arguments = ["train", *options, *QUICK, "--run-dir", tmp_path / "parts", "--steps", 20]
    code, out, _ = run_main(capsys, *arguments, "--max-minutes", 1e-9)
    assert code == 0
    assert "go on with" in out
    code, _, err = run_main(capsys, *arguments, "--resume")
    assert code == 0, err
    assert [record["train_elbo"] for record in load_records(tmp_path / "parts" / "metrics.jsonl")] == [
        record["train_elbo"] for record in load_records(tmp_path / "whole" / "metrics.jsonl")
    ]
    assert results(tmp_path / "parts")["log_p_x"] == results(tmp_path / "whole")["log_p_x"]


def test_a_path_is_found_again_from_anywhere(capsys, tmp_path, monkeypatch):
    random = np.random.RandomState(0)
    np.save(tmp_path / "mine.npy", random.randint(0, 256, (60, 6, 5)).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    own = train(capsys, tmp_path / "run", "--data.name", "mine.npy")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_run(tmp_path / "run").config.data.name == str(tmp_path / "mine.npy")
    code, out, err = run_main(capsys, "evaluate", tmp_path / "run", "--json")
    assert code == 0, err
    assert json.loads(out)["log_p_x"] == pytest.approx(own["log_p_x"], rel=1e-5)
    np.save("other.npy", random.randint(0, 256, (40, 6, 5)).astype(np.uint8))
    _, out, _ = run_main(capsys, "evaluate", tmp_path / "run", "--data-name", "other.npy", "--json")
    assert json.loads(out)["num_images"] == 4


def omniglot(folder):
    random = np.random.RandomState(1)
    data = {name: random.uniform(size=(36, count)) for name, count in (("data", 60), ("testdata", 12))}
    savemat(folder / "chardata.mat", data)


def silhouettes(folder):
    random = np.random.RandomState(2)
    counts = {"train": 60, "val": 20, "test": 12}
    data = {f"{name}_data": random.randint(0, 2, (n, 36)).astype(np.uint8) for name, n in counts.items()}
    labels = {f"{name}_labels": random.randint(1, 6, (n, 1)) for name, n in counts.items()}
    savemat(folder / "caltech101_silhouettes_28_split1.mat", {**data, **labels})


def frey(folder):
    faces = np.random.RandomState(3).randint(0, 256, (560, 1965)).astype(np.uint8)
    savemat(folder / "frey_rawface.mat", {"ff": faces})


@pytest.mark.parametrize(
    ("preset", "make", "splits"),
    [
        ("omniglot", omniglot, (50, 12)),
        ("caltech101-silhouettes", silhouettes, (60, 12)),
        ("frey-faces", frey, (1565, 200)),
    ],
)
def test_presets_of_files_train_on_their_protocol(capsys, tmp_path, preset, make, splits):
    make(tmp_path)
    test = train(capsys, tmp_path / "run", preset, "--data-dir", tmp_path)
    assert (test["training_images"], test["num_images"]) == splits
    is_grey = preset == "frey-faces"
    assert (test["binarization"] == "none") == is_grey
    assert np.isfinite(test["bits_per_dim"])
    assert not is_grey or 5 < test["bits_per_dim"] < 12  # 8 for uniform noise


def test_fashion_mnist_is_read_from_its_directory(capsys, tmp_path, idx_directory):
    shutil.copytree(idx_directory, tmp_path / "fashion")
    test = train(capsys, tmp_path / "run", "fashion-mnist-grey", "--data-dir", tmp_path / "fashion")
    assert test["binarization"] == "none"
    assert np.isfinite(test["bits_per_dim"])


def test_presets_name_data_sets_that_there_are():
    for name in ("fashion-mnist", "fashion-mnist-grey", "omniglot", "caltech101-silhouettes", "frey-faces"):
        config = load_preset(name)
        config.check()
        assert config.data.name in CATALOG


BAD = {
    "no such name": (
        ["train", "--data.name", "omnigolt"],
        r"Expected the data set to be one of .*near: omniglot",
    ),
    "no directory": (
        ["train", "omniglot"],
        r"Expected --data-dir to hold chardata.mat of omniglot \(https://.*\); got no directory\.",
    ),
    "nothing to inspect": (
        ["data", "inspect", "{tmp}/none"],
        r"Expected a file or directory at .*; got nothing\.",
    ),
    "no labels": (
        ["train", "--data.name", "{npy}", "--model.labels", "one-hot"],
        r"Expected a data set with labels for a conditional model; got one without\.",
    ),
    "floats of 0 to 255": (
        ["data", "inspect", "{floats}"],
        r"Expected the floats of .* to be in \[0, 1\]; got 0 to 255\.",
    ),
    "an unknown placement": (
        ["train", "--data.placement", "disk"],
        r".*invalid choice",
    ),
    "an unknown action": (["data", "look", "mnist"], r".*invalid choice"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    images = np.tile(np.array([0, 255], np.uint8), (30, 6, 3))
    np.save(tmp_path / "npy.npy", images)
    np.save(tmp_path / "floats.npy", images.astype(np.float32))
    arguments, message = BAD[name]
    places = {"tmp": tmp_path, "npy": tmp_path / "npy.npy", "floats": tmp_path / "floats.npy"}
    code, _, err = run_main(capsys, *(argument.format(**places) for argument in arguments))
    assert code == 2
    assert len(err.splitlines()) == 1
    assert re.search("^jaxvae: " + message, err, re.IGNORECASE), err
    assert not (tmp_path / "runs").exists()
