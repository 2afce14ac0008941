"""The command line, in subprocesses and from an empty directory."""

import dataclasses
import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import equinox as eqx
import jax
import numpy as np
import pytest

from jaxvae import load_run
from jaxvae.cli import main
from jaxvae.config import PosteriorConfig
from jaxvae.writers import load_records
from tests.helpers import assert_trees_equal

SMALL = [
    "--model.latent-dim", "3", "--encoder.widths", "9", "--decoder.widths", "8", "--batch-size", "10",
    "--data.num-validation", "20", "--log-every", "5", "--evaluate.every", "10",
    "--evaluate.num-samples", "7", "--evaluate.monitor-samples", "3",
]  # fmt: skip


def command(*arguments):
    return [sys.executable, "-m", "jaxvae", *map(str, arguments)]


def environment():
    # The package from wherever it is.
    return {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[1])}


def jaxvae(*arguments, cwd, **options):
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, **options
    )


def run_main(capsys, *arguments):
    """(exit code, standard output, standard error) of the command in this process."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as exit:
        code = exit.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory, idx_directory):
    """A run of 20 steps on small images."""
    directory = tmp_path_factory.mktemp("finished")
    result = jaxvae("train", "--data-dir", idx_directory, "--steps", 20, *SMALL, cwd=directory)
    assert result.returncode == 0, result.stderr
    return directory, result


def test_the_default_preset_trains_on_the_bundled_mnist_from_an_empty_directory(tmp_path):
    arguments = ["--steps", 30, "--evaluate.num-samples", 2, "--evaluate.monitor-samples", 1]
    result = jaxvae("train", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "runs" / "mnist-mean-field-1" / "results.json").read_text())
    assert results["test"]["num_images"] == 10_000
    assert -400 < results["test"]["elbo"] < results["test"]["log_p_x"] < -150


def test_train_says_as_it_goes_and_at_the_end_what_was_promised(finished):
    directory, result = finished
    lines = result.stdout.splitlines()
    header = next(i for i, line in enumerate(lines) if line.split()[:1] == ["step"])
    assert re.split(r"\s{2,}", lines[header].strip()) == [
        "step", "train elbo", "validation elbo", "validation log p x", "examples per second",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[header + 1 : header + 5]] == ["5", "10", "15", "20"]
    assert len(lines[header + 2].split()) == 5
    assert re.search(r"test ELBO +-\d+\.\d{3} nats", result.stdout)
    assert re.search(
        r"test log p\(x\) +-\d+\.\d{3} \+- \d+\.\d{3} nats \(7 importance samples of 37 images", result.stdout
    )
    assert re.search(r"compile [\d.]+ s, train [\d.]+ s, evaluate [\d.]+ s", result.stdout)
    assert result.stdout.rstrip().endswith(os.path.join("runs", "mnist-mean-field-1"))


def test_the_run_directory_has_what_it_should(finished):
    run = finished[0] / "runs" / "mnist-mean-field-1"
    assert {path.name.split(".")[0] for path in run.iterdir()} == {
        "config", "metrics", "results", "evaluation", "checkpoints", "events",
    }  # fmt: skip
    results = json.loads((run / "results.json").read_text())
    assert set(results) == {
        "preset", "steps", "seed", "test", "examples_per_second", "compile_seconds", "train_seconds",
        "evaluate_seconds", "run_dir",
    }  # fmt: skip
    assert results["examples_per_second"] * results["train_seconds"] == pytest.approx(20 * 10)
    assert results["test"]["split"] == "test"
    assert results["test"]["num_samples"] == 7


def test_evaluate_prints_one_json_object_and_repeats_the_run_s_own_figures(finished):
    directory, _ = finished
    result = jaxvae("evaluate", "runs/mnist-mean-field-1", "--json", "--chunk-size", 3, cwd=directory)
    values = json.loads(result.stdout)
    stored = json.loads((directory / "runs" / "mnist-mean-field-1" / "results.json").read_text())["test"]
    assert set(values) == set(stored)
    assert (values["seed"], values["split"], values["estimator"]) == (0, "test", "importance")
    for name in ("elbo", "log_p_x", "log_p_x_standard_error", "effective_sample_size"):
        assert values[name] == pytest.approx(stored[name], rel=1e-4)


def test_evaluate_takes_another_split_precision_and_sample_count(finished, capsys):
    run = finished[0] / "runs" / "mnist-mean-field-1"
    code, out, _ = run_main(
        capsys,
        "evaluate",
        run,
        "--split",
        "validation",
        "--num-samples",
        50,
        "--precision",
        "bfloat16",
        "--json",
    )
    values = json.loads(out)
    assert (code, values["split"], values["num_images"], values["num_samples"]) == (0, "validation", 20, 50)
    code, out, _ = run_main(capsys, "evaluate", run)
    assert out.startswith("test ELBO ")


def test_sample_writes_pictures_and_arrays(finished, capsys, tmp_path):
    run = finished[0] / "runs" / "mnist-mean-field-1"
    code, out, _ = run_main(capsys, "sample", run, "--num-samples", 5, "--output", tmp_path / "x.npy")
    images = np.load(tmp_path / "x.npy")
    assert (code, images.shape) == (0, (5, 1, 6, 5))
    assert 0 <= images.min() < images.max() <= 1
    assert run_main(capsys, "sample", run)[0] == 0


def test_presets_and_help_list_what_there_is(capsys):
    assert "mnist-tutorial" in run_main(capsys, "presets")[1]
    code, out, _ = run_main(capsys, "--help")
    assert code == 0
    assert all(name in out for name in ("train", "evaluate", "sample", "plot", "presets"))
    code, out, _ = run_main(capsys, "train", "mnist-2d", "--help")
    assert code == 0
    assert "--optimizer.learning-rate" in out


def test_train_json_prints_one_object_and_nothing_else(idx_directory, tmp_path, capsys):
    arguments = ["--data-dir", idx_directory, "--steps", 4, *SMALL, "--run-dir", tmp_path / "run", "--json"]
    _, out, _ = run_main(capsys, "train", *arguments)
    assert json.loads(out)["test"]["num_images"] == 37


def last_state(directory):
    return load_run(directory).load_state()[0]


def wait_for(condition, process):
    for _ in range(3000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("waited five minutes in vain")


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, idx_directory):
    """Makes a run that nothing stops, once for each set of options."""

    @functools.cache
    def make(*options):
        directory = tmp_path_factory.mktemp("whole")
        arguments = [*long_run(idx_directory), *options, "--run-dir", directory / "run"]
        main([str(argument) for argument in arguments])
        return directory / "run"

    return make


def long_run(idx_directory):
    arguments = ["train", "mnist-mean-field", "--data-dir", idx_directory, "--steps", 4500, *SMALL]
    return [*arguments, "--evaluate.every", 1500, "--log-every", 100]


STOPS = {
    signal.SIGKILL: ("checkpoints/1500", []),
    signal.SIGINT: ("metrics.jsonl", ["--data.binarization", "dynamic", "--optimizer.ema-decay", "0.9"]),
    signal.SIGTERM: (
        "metrics.jsonl",
        ["--posterior.flow", "iaf", "--posterior.widths", "8", "--posterior.weight-norm", "True"]
        + ["--prior.flow", "iaf", "--prior.widths", "8", "--steps", "2100", "--evaluate.every", "700"],
    ),
}


@pytest.mark.parametrize("signum", STOPS)
def test_a_run_that_is_stopped_and_resumed_is_the_whole_run_bit_for_bit(
    idx_directory, whole_run, tmp_path, signum
):
    started, options = STOPS[signum]
    process = subprocess.Popen(
        command(*long_run(idx_directory), *options, "--run-dir", "cut"), cwd=tmp_path, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    path = tmp_path / "cut" / started
    wait_for(lambda: path.exists() and (path.is_dir() or path.stat().st_size), process)
    process.send_signal(signum)
    _, err = process.communicate(timeout=120)
    if signum != signal.SIGKILL:
        assert process.returncode == 128 + signum
        assert "jaxvae train mnist-mean-field --run-dir cut --resume" in err
        stopped_at = last_state(tmp_path / "cut").step
    assert not (tmp_path / "cut" / "results.json").exists()

    resumed = jaxvae("train", "--resume", "--run-dir", "cut", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    cut, whole = tmp_path / "cut", whole_run(*options)
    assert_trees_equal(last_state(cut), last_state(whole))
    if signum != signal.SIGKILL:
        assert 0 < stopped_at < last_state(whole).step
    for best in (False, True):
        assert (
            load_run(cut).checkpoints.latest(best=best).name
            == load_run(whole).checkpoints.latest(best=best).name
        )
    records = [load_records(directory / "metrics.jsonl") for directory in (cut, whole)]
    assert [r["step"] for r in records[0]] == [r["step"] for r in records[1]]
    for one, other in zip(*records, strict=True):
        assert one.get("validation_elbo") == other.get("validation_elbo")
        assert one.get("validation_kl") == other.get("validation_kl")
        for name in ("train_elbo", "gradient_norm"):
            assert one[name] == pytest.approx(other[name], rel=1e-6)
    # The divergence of a flow has no parts.
    assert ("validation_kl_per_latent" in records[0][-1]) == ("--posterior.flow" not in options)
    if "--optimizer.ema-decay" in options:
        model = eqx.filter(load_run(cut).load_model(), eqx.is_inexact_array)
        assert_trees_equal(model, load_run(cut).load_state(best=True)[0].ema)
    tests = [json.loads((directory / "results.json").read_text())["test"] for directory in (cut, whole)]
    assert tests[0]["log_p_x"] == tests[1]["log_p_x"]


def test_a_stop_during_the_final_evaluation_is_resumed_into_it(idx_directory, tmp_path):
    arguments = ["train", "--data-dir", idx_directory, "--steps", 10, *SMALL, "--run-dir", "run"]
    arguments += ["--evaluate.num-samples", 1_000_000, "--evaluate.batch-size", 1]
    process = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    wait_for((tmp_path / "run" / "checkpoints" / "10" / "_CHECKPOINT_METADATA").exists, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "go on with" in err
    finished = jaxvae("train", "--run-dir", "run", "--resume", "--evaluate.num-samples", 5, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert json.loads((tmp_path / "run" / "results.json").read_text())["test"]["num_samples"] == 5
    with np.load(tmp_path / "run" / "evaluation.npz") as kept:  # of the whole split, for the pictures
        assert (kept["log_p"].shape, kept["num_samples"]) == ((37,), 5)


def test_a_run_in_pieces_of_limited_time_is_the_whole_run_bit_for_bit(
    idx_directory, tmp_path, capsys, monkeypatch
):
    # Blocks of 2 steps end between the records, batches of 16 inside the test images.
    arguments = ["train", "mnist-mean-field", "--data-dir", idx_directory, "--steps", 20, *SMALL]
    arguments += ["--block-size", 2, "--log-every", 10, "--evaluate.batch-size", 16]
    assert run_main(capsys, *arguments, "--run-dir", tmp_path / "whole")[0] == 0

    first = jaxvae(*arguments, "--run-dir", "cut", "--max-minutes", 1e-6, cwd=tmp_path)
    assert (first.returncode, last_state(tmp_path / "cut").step) == (0, 2), first.stderr
    hint = "Saved; go on with: jaxvae train mnist-mean-field --run-dir cut --resume"
    assert first.stdout.splitlines()[-1] == hint
    cut, pieces = tmp_path / "cut", []
    # Until the training is done; not for a single look at the clock; for as long as it takes.
    trained, kept = cut / "checkpoints" / "20", cut / "evaluation.npz"
    for seconds in (lambda: 60 * trained.exists(), itertools.count(0, 60).__next__, lambda: 0):
        monkeypatch.setattr("jaxvae.interrupts.time", SimpleNamespace(monotonic=seconds))
        resume = ["--run-dir", cut, "--resume", "--max-minutes", 0.5, "--json"]
        code, out, err = run_main(capsys, "train", *resume)
        assert code == 0, err
        pieces.append(json.loads(out))
        assert kept.exists() == (len(pieces) > 1)
        assert (cut / "results.json").exists() == (len(pieces) == 3)
    assert pieces[:2] == [{"finished": False, "step": 20, "run_dir": str(cut)}] * 2
    assert pieces[2].pop("finished")

    for best in (False, True):
        states = [load_run(tmp_path / name).load_state(best=best)[0] for name in ("cut", "whole")]
        assert_trees_equal(*states)
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("cut", "whole")]
    assert results[0] == pieces[2]
    untimed = [without_timings(result) for result in results]
    assert untimed[0] == untimed[1]
    assert {"elbo", "log_p_x", "effective_sample_size"} < set(untimed[0]["test"])


def without_timings(results):
    kept = {name: value for name, value in results.items() if not re.search("second|run_dir", name)}
    return {name: without_timings(v) if isinstance(v, dict) else v for name, v in kept.items()}


def test_a_full_disk_is_one_line_and_the_checkpoint_before_it_stays(idx_directory, tmp_path, capsys):
    arguments = ["train", "--data-dir", idx_directory, *SMALL, "--run-dir", tmp_path / "run"]
    assert run_main(capsys, *arguments, "--steps", 10)[0] == 0
    before = last_state(tmp_path / "run")

    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        "from jaxvae.cli import main; main(sys.argv[1:])"
    )
    result = subprocess.run(
        [sys.executable, "-c", limited, *map(str, arguments), "--resume", "--steps", "20"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 2
    last = result.stderr.splitlines()[-1]
    assert re.search(
        r"jaxvae: Expected [\d.]+ MB of space for a checkpoint in .*; got: File too large\.", last
    )
    assert "Traceback" not in result.stderr
    assert_trees_equal(before, last_state(tmp_path / "run"))


@pytest.mark.filterwarnings("default")
def test_a_half_written_checkpoint_is_passed_over_and_said_so(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished[0] / "runs" / "mnist-mean-field-1", run)
    shutil.rmtree(run / "checkpoints" / "best")
    for file in (run / "checkpoints" / "20").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    code, out, err = run_main(capsys, "evaluate", run)
    assert code == 0
    assert "test ELBO" in out
    assert re.search(r"Warning: Passed over the damaged checkpoint .*20:", err)
    assert run_main(capsys, "train", "--run-dir", run, "--resume", "--json")[0] == 0
    assert load_run(run).load_state()[0].step == 20
    for file in (run / "checkpoints").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    code, out, err = run_main(capsys, "evaluate", run)
    assert code == 2
    assert "Expected a readable checkpoint in" in err.splitlines()[-1]


def test_overwrite_replaces_a_run_and_bad_input_leaves_it_whole(idx_directory, tmp_path, capsys):
    arguments = ["train", "--data-dir", idx_directory, *SMALL, "--run-dir", tmp_path / "run", "--json"]
    assert run_main(capsys, *arguments, "--steps", 10)[0] == 0
    for bad in (["--optimizer.learning-rate", "0"], ["--optimizer.warmup-steps", "99"], ["--resume"]):
        before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*"))
        code, _, err = run_main(capsys, *arguments, "--steps", 10, "--overwrite", *bad)
        assert (code, len(err.splitlines())) == (2, 1)
        assert before == sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*"))
    assert run_main(capsys, *arguments, "--steps", 5, "--overwrite")[0] == 0
    assert load_run(tmp_path / "run").load_state()[0].step == 5
    code, _, err = run_main(capsys, "train", "--run-dir", tmp_path / "run", "--resume", "--steps", 3)
    assert code == 2
    assert "Expected --steps of a resumed run to be at least 5; got 3." in err
    assert load_run(tmp_path / "run").config.steps == 5


def test_the_preset_may_stand_anywhere_and_the_data_are_found_from_anywhere(
    idx_directory, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(idx_directory.parent)
    arguments = ["--steps", 2, *SMALL, "--data.num-validation", 0, "--run-dir", tmp_path / "run"]
    assert run_main(capsys, "train", *arguments, "mnist-2d", "--data-dir", idx_directory.name)[0] == 0
    run = load_run(tmp_path / "run")
    assert (run.preset, run.config.likelihood.name) == ("mnist-2d", "grey-bernoulli")
    monkeypatch.chdir(tmp_path)
    code, out, _ = run_main(capsys, "evaluate", "run", "--num-samples", 1, "--json")
    assert code == 0
    assert json.loads(out)["log_p_x_monte_carlo_error"] is None


def test_training_images_of_a_dynamic_run_are_scored_as_binary_ones(idx_directory, tmp_path, capsys):
    arguments = ["--steps", 5, *SMALL, "--data.binarization", "dynamic", "--run-dir", tmp_path / "run"]
    assert run_main(capsys, "train", "--data-dir", idx_directory, *arguments)[0] == 0
    elbos = [
        json.loads(run_main(capsys, "evaluate", tmp_path / "run", "--split", split, "--json")[1])["elbo"]
        for split in ("train", "validation")
    ]
    assert abs(elbos[0] - elbos[1]) < 3


def test_another_flow_than_the_preset_s_leaves_its_options_behind(idx_directory, tmp_path, capsys):
    arguments = ["mnist-iaf", "--data-dir", idx_directory, "--steps", 2, *SMALL]
    assert (
        run_main(capsys, "train", *arguments, "--posterior.flow", "none", "--run-dir", tmp_path / "a")[0] == 0
    )
    assert load_run(tmp_path / "a").config.posterior == PosteriorConfig()
    planar = ["--posterior.flow", "planar", "--posterior.num-flows", 3, "--run-dir", tmp_path / "b"]
    assert run_main(capsys, "train", *arguments, *planar)[0] == 0
    assert load_run(tmp_path / "b").config.posterior == PosteriorConfig(flow="planar", num_flows=3)


def test_a_run_with_random_degrees_is_scored_alike_from_any_seed_s_template(idx_directory, tmp_path, capsys):
    flow = ["--posterior.flow", "iaf", "--posterior.degrees", "random", "--posterior.widths", 40]
    arguments = ["--data-dir", idx_directory, "--steps", 2, *SMALL, *flow, "--run-dir", tmp_path / "run"]
    assert run_main(capsys, "train", *arguments)[0] == 0
    run = load_run(tmp_path / "run")
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, seed=1))
    one, two = (jax.tree.leaves(r.load_model(), is_leaf=eqx.is_array) for r in (run, other))
    assert [leaf.tolist() for leaf in one if eqx.is_array(leaf)] == [
        leaf.tolist() for leaf in two if eqx.is_array(leaf)
    ]
    assert jax.tree.structure(run.load_model()) == jax.tree.structure(other.load_model())


def test_a_config_from_before_there_were_flows_still_loads(finished, tmp_path):
    content = json.loads((finished[0] / "runs" / "mnist-mean-field-1" / "config.json").read_text())
    assert content["config"].pop("posterior")["flow"] == content["config"].pop("prior")["flow"] == "none"
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert load_run(tmp_path).config == load_run(finished[0] / "runs" / "mnist-mean-field-1").config


BAD = {
    "an unknown command": (["trian"], r"Expected command to be one of .*; got 'trian' \(near: train\)\."),
    "an unknown preset": (["train", "mnist-meanfield"], r"Expected preset .* \(near: mnist-mean-field"),
    "no steps": (["train", "--steps", "0"], r"Expected --steps to be positive; got 0\."),
    "no time": (["train", "--max-minutes", "0"], r"Expected --max-minutes to be positive; got 0\.0\."),
    "negative time": (["train", "--max-minutes", "-2"], r"Expected --max-minutes to be positive; got -2\.0"),
    "a negative batch": (["train", "--batch-size", "-1"], r"Expected --batch-size to be positive; got -1\."),
    "no samples": (
        ["evaluate", "{run}", "--num-samples", "0"],
        r"Expected --num-samples to be positive; got 0\.",
    ),
    "no images": (
        ["sample", "{run}", "--num-samples", "0"],
        r"Expected --num-samples to be positive; got 0\.",
    ),
    "a picture of another kind": (
        ["sample", "{run}", "--output", "x.jpeg"],
        r"Expected the suffix of --output to be one of .npy, .png; got '.jpeg'",
    ),
    "a batch of more than all": (
        ["train", *SMALL, "--data-dir", "{idx}", "--batch-size", "101", "--run-dir", "{tmp}/a"],
        r"Expected --batch-size to be at least 1 and below 101; got 101\.",
    ),
    "grey pixels for a Bernoulli": (["train", "--data.binarization", "none"], r"Expected binary pixels"),
    "no run": (["evaluate", "{tmp}"], r"Expected a run directory to hold config.json; got .*"),
    "a run without a checkpoint": (
        ["evaluate", "{empty}"],
        r"Expected a readable checkpoint in .*; got none\.",
    ),
    "a damaged config": (
        ["evaluate", "{damaged}"],
        r"Expected .*config.json to be the config of a run; got ",
    ),
    "a run that exists": (
        ["train", "--run-dir", "{run}"],
        r"Expected the run directory to be new .*; got .*",
    ),
    "a seed beyond all": (
        ["sample", "{run}", "--seed", "99999999999999999999"],
        r"Expected --seed to be at least 0",
    ),
    "a flow that is none": (["train", "--posterior.flow", "iff"], r".*'iff' for argument '--posterior.flow'"),
    "zero flows": (
        ["train", "--posterior.flow", "iaf", "--posterior.num-flows", "0"],
        r"Expected --posterior.num-flows to be positive; got 0\.",
    ),
    "an option of a flow that is not there": (
        ["train", "--prior.num-flows", "2"],
        r"Expected the flow that --prior.num-flows is for to be one of iaf, .*; got 'none'\.",
    ),
    "a flow too narrow, over a run that exists": (
        ["train", *SMALL, "--data-dir", "{idx}", "--run-dir", "{run}", "--overwrite"]
        + ["--posterior.flow", "iaf", "--posterior.widths", "1"],
        r"Expected widths \(1,\) and their degrees to leave every output .* an input; got none for place 1",
    ),
    "an option that is no number": (["train", "--steps", "abc"], r".*--steps.*abc"),
    "a split that is none": (["evaluate", "{run}", "--split", "tset"], r".*tset"),
    "resume and overwrite": (
        ["train", "--run-dir", "{run}", "--resume", "--overwrite"],
        r"Expected --resume or --overwrite; got both\.",
    ),
    "a directory that is no run": (
        ["train", "--run-dir", "{idx}", "--overwrite"],
        r"Expected a run directory to hold config.json; got .*",
    ),
    "resume without a run": (
        ["train", "--resume"],
        r"Expected --resume to come with --run-dir; got no run dir",
    ),
    "resume with another seed": (
        ["train", "--run-dir", "{run}", "--resume", "--seed", "4"],
        r"Expected --seed of a resumed run to stay 0; got 4\.",
    ),
    "resume with another width": (
        ["train", "--run-dir", "{run}", "--resume", "--encoder.widths", "400"],
        r"Expected --encoder.widths of a resumed run to stay \(9,\); got \(400,\)\.",
    ),
    "resume with another preset": (
        ["train", "mnist-2d", "--run-dir", "{run}", "--resume"],
        r"Expected the preset of a resumed run to be one of mnist-mean-field; got 'mnist-2d'",
    ),
    "no data": (
        ["train", "--data-dir", "{tmp}/none"],
        r"Expected --data-dir to hold the files of mnist .*; got nothing in ",
    ),
    "no files": (
        ["train", "--data-dir", "{tmp}"],
        r"Expected .* to hold the four IDX files under MNIST's names .*; got damaged, empty, file, \.\.\.",
    ),
    "images of another size": (
        ["evaluate", "{run}", "--data-dir", "{other}"],
        r"Expected the images to have shape \(1, 6, 5\); got \(1, 4, 4\)\.",
    ),
    "a run directory in a file": (
        ["train", *SMALL, "--data-dir", "{idx}", "--run-dir", "{file}/a"],
        r"Expected the run directory to be writable; got .*Not a directory",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_code_2(name, finished, idx_directory, tmp_path, capsys):
    from tests.conftest import write_idx

    run = finished[0] / "runs" / "mnist-mean-field-1"
    places = {n: tmp_path / n for n in ("empty", "damaged", "other", "file")}
    for place in ("empty", "damaged", "other"):
        places[place].mkdir()
    shutil.copy(run / "config.json", places["empty"])
    (places["damaged"] / "config.json").write_text('{"preset"')
    places["file"].write_text("")
    for part, count in (("train", 30), ("t10k", 10)):
        write_idx(
            places["other"] / f"{part}-images-idx3-ubyte", np.tile(np.eye(4, dtype=np.uint8), (count, 1, 1))
        )
        write_idx(places["other"] / f"{part}-labels-idx1-ubyte", np.zeros(count, np.uint8))
    values = {"run": run, "idx": idx_directory, "tmp": tmp_path, **places}
    before = sorted(run.rglob("*"))

    arguments, message = BAD[name]
    code, out, err = run_main(capsys, *(argument.format(**values) for argument in arguments))
    lines = [line for line in err.splitlines() if "step/s" not in line]
    assert code == 2
    assert len(lines) == 1
    assert re.search("^jaxvae: " + message, lines[0])
    assert sorted(run.rglob("*")) == before


def test_an_unknown_option_lists_the_near_ones_and_exits_with_2(capsys):
    code, _, err = run_main(capsys, "train", "--modle.latent-dim", "3")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert re.search(r"^jaxvae: .*Unrecognized options: --modle.latent-dim.*--model.latent-dim", err)


def test_a_loss_that_is_not_finite_is_one_line_and_exit_code_1(idx_directory, tmp_path, capsys):
    code, _, err = run_main(
        capsys, "train", "--data-dir", idx_directory, *SMALL, "--run-dir", tmp_path / "run", "--steps", 50,
        "--optimizer.name", "rmsprop", "--optimizer.learning-rate", "1e30",
    )  # fmt: skip
    assert code == 1
    assert re.search(
        r"jaxvae: Expected .* to be finite; got .* at step \d+\. The last good checkpoint is ", err
    )
