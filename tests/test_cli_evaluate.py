"""`jaxvae evaluate` by each estimator, on a run of 20 steps on small images."""

import dataclasses
import json
import re
import shlex

import jax
import numpy as np
import pytest

from jaxvae.config import LikelihoodConfig
from jaxvae.runs import load_run
from tests.test_cli import SMALL, run_main

CHAINS = ["--num-chains", 4, "--num-temperatures", 6, "--num-leapfrog", 2]
PROTOCOL = {"training_images": 100, "seed": 0, "precision": "float32", "device": "cpu"}


def train(directory, idx_directory, *arguments):
    from jaxvae.cli import main

    given = ["train", "--data-dir", idx_directory, "--steps", 20, *SMALL, "--run-dir", directory, "--json"]
    main([str(argument) for argument in (*given, *arguments)])
    return directory


@pytest.fixture(scope="module", autouse=True)
def _compile_fast():
    """Everything here compiles more than it runs."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def run(tmp_path_factory, idx_directory):
    return train(tmp_path_factory.mktemp("runs") / "a run", idx_directory)


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory, idx_directory):
    options = ["--posterior.flow", "iaf", "--posterior.num-flows", 1, "--posterior.widths", 8]
    return train(tmp_path_factory.mktemp("runs") / "flow", idx_directory, *options)


def evaluate(capsys, *arguments):
    code, out, err = run_main(capsys, "evaluate", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_results_name_their_protocol(run):
    test = json.loads((run / "results.json").read_text())["test"]
    wanted = {**PROTOCOL, "split": "test", "binarization": "static", "estimator": "importance"}
    wanted |= {"num_samples": 7, "num_images": 37}
    assert {name: test[name] for name in wanted} == wanted
    for name in ("upper", "gap", "acceptance"):
        assert test[name] is None
    assert test["bits_per_dim"] == pytest.approx(-test["log_p_x"] / (30 * np.log(2)))


def test_grey_pixels_have_bits_where_they_have_probabilities(tmp_path, idx_directory, capsys):
    options = ["--data.binarization", "none", "--likelihood.name", "discretized-logistic"]
    directory = train(tmp_path / "run", idx_directory, *options)
    test = json.loads((directory / "results.json").read_text())["test"]
    assert test["bits_per_dim"] == pytest.approx(-test["log_p_x"] / (30 * np.log(2)))
    capsys.readouterr()
    _, out, _ = run_main(capsys, "evaluate", directory)
    assert out.splitlines()[1].endswith(f" ({test['bits_per_dim']:.3f} bits/dim)")


def test_a_density_has_no_bits_and_its_learned_scale_is_trained(tmp_path, idx_directory, capsys):
    options = [
        "--data.binarization",
        "none",
        "--likelihood.name",
        "gaussian",
        "--likelihood.spread",
        "learned",
    ]
    directory = train(tmp_path / "run", idx_directory, *options, "--likelihood.scale", 0.5)
    assert json.loads((directory / "results.json").read_text())["test"]["bits_per_dim"] is None
    run = load_run(directory)
    scale = np.exp(run.load_model().likelihood.distribution.log_scale)
    assert 0.3 < scale < 0.499
    capsys.readouterr()
    assert "bits/dim" not in run_main(capsys, "evaluate", directory)[1]
    again = ["--run-dir", directory, "--resume", "--steps", 25]
    assert run_main(capsys, "train", *again)[0] == 0
    assert np.exp(run.load_state()[0].model.likelihood.distribution.log_scale) < scale


@pytest.mark.parametrize("start", ["posterior", "encoder", "prior"])
def test_ais_scores_stored_images_from_every_start(run, capsys, start):
    values = evaluate(capsys, run, "--estimator", "ais", "--num-images", 9, *CHAINS, "--start", start)
    wanted = {**PROTOCOL, "split": "test", "binarization": "static", "estimator": "ais", "num_images": 9}
    wanted |= {"num_chains": 4, "num_temperatures": 6, "num_leapfrog": 2, "start": start}
    wanted |= {"schedule": "sigmoid", "upper": None, "gap": None, "pareto_k": None}
    assert {name: values[name] for name in wanted} == wanted
    assert "num_samples" not in values
    assert values["lower"] == values["log_p_x"]
    if start == "prior":
        assert values["elbo"] is None
    else:
        assert values["elbo"] < values["log_p_x"]
    assert 0.2 < values["acceptance"] < 1


def test_ais_and_importance_sampling_agree(run, capsys):
    options = ["--num-images", 20]
    sampled = evaluate(capsys, run, *options, "--num-samples", 2000)
    annealed = evaluate(capsys, run, *options, "--estimator", "ais", "--num-chains", 100)
    error = sampled["log_p_x_monte_carlo_error"] + annealed["log_p_x_monte_carlo_error"]
    assert error < 0.1
    assert abs(sampled["log_p_x"] - annealed["log_p_x"]) < 4 * error
    assert annealed["pareto_k"] is not None


LATENT_USE = {"kl", "reconstruction", "kl_per_latent", "active_units", "num_latents"}


def test_every_evaluation_of_stored_images_has_the_terms_of_its_elbo(run, capsys):
    stored = json.loads((run / "results.json").read_text())["test"]
    sampled = evaluate(capsys, run, "--split", "train", "--num-images", 9)
    annealed = evaluate(capsys, run, "--estimator", "ais", "--num-images", 9, "--split", "train", *CHAINS)
    for values in (stored, sampled, annealed):
        assert values["kl"] == pytest.approx(sum(values["kl_per_latent"]), rel=1e-5)
        assert values["kl"] > 0
        assert values["reconstruction"] - values["kl"] == pytest.approx(values["elbo"])
        assert (len(values["kl_per_latent"]), values["num_latents"]) == (3, 3)
        assert 0 <= values["active_units"] <= 3
    assert [annealed[name] for name in ("kl", "kl_per_latent", "active_units")] == [
        sampled[name] for name in ("kl", "kl_per_latent", "active_units")
    ]
    assert sampled["kl"] != stored["kl"]
    again = evaluate(capsys, run, "--batch-size", 10)
    assert again["kl_per_latent"] == pytest.approx(stored["kl_per_latent"], rel=1e-4)


def test_chains_from_the_prior_know_no_reconstruction(run, capsys):
    options = ["--estimator", "ais", "--num-images", 9, *CHAINS, "--start", "prior"]
    values = evaluate(capsys, run, *options)
    assert values["reconstruction"] is None
    assert values["kl"] > 0
    _, out, _ = run_main(capsys, "evaluate", run, *options)
    assert re.fullmatch(r"test terms     KL \d+\.\d{3} nats; \d of 3 latents active", out.splitlines()[1])


def test_the_divergence_of_a_flow_posterior_has_no_parts(flow_run, capsys):
    values = evaluate(capsys, flow_run)
    assert values["kl_per_latent"] is None
    assert values["reconstruction"] - values["kl"] == pytest.approx(values["elbo"])
    assert 0 <= values["active_units"] <= values["num_latents"] == 3


@pytest.mark.parametrize("schedule", ["sigmoid", "linear"])
def test_bdmc_bounds_simulated_images(run, capsys, schedule):
    values = evaluate(capsys, run, "--estimator", "bdmc", "--num-images", 30, *CHAINS, "--schedule", schedule)
    assert (values["split"], values["estimator"], values["schedule"]) == ("simulated", "bdmc", schedule)
    assert not {"binarization", *LATENT_USE} & set(values)
    assert values["lower"] == values["log_p_x"]
    assert values["gap"] == pytest.approx(values["upper"] - values["lower"], abs=1e-4)
    assert 0 < values["gap"] < 5
    assert values["gap_standard_error"] > 0


def test_bdmc_bounds_a_model_with_a_flow(flow_run, capsys):
    values = evaluate(capsys, flow_run, "--estimator", "bdmc", "--num-images", 10, *CHAINS)
    assert values["start"] == "posterior"
    assert values["gap"] < 5


def test_the_lines_say_what_was_done(run, capsys):
    options = ["--num-images", 5, *CHAINS]
    _, out, _ = run_main(capsys, "evaluate", run, "--num-images", 5)
    terms = r"test terms     reconstruction -\d+\.\d{3}, KL \d+\.\d{3} nats; \d of 3 latents active"
    assert re.fullmatch(terms, out.splitlines()[2])
    _, out, _ = run_main(capsys, "evaluate", run, "--num-images", 1)
    assert re.fullmatch(r"test terms     reconstruction .*, KL \d+\.\d{3} nats", out.splitlines()[2])
    _, out, _ = run_main(capsys, "evaluate", run, "--estimator", "bdmc", *options)
    lines = out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("simulated ELBO ")
    how = r"\(4 chains x 6 temperatures x 2 leapfrog steps from the posterior of 5 images"
    assert re.search(how, lines[1])
    assert re.fullmatch(r"simulated bounds +-[\d.]+ to -[\d.]+: a gap of [\d.]+ \+- [\d.]+ nats", lines[2])


def warning(err):
    return next(line for line in err.splitlines() if line.startswith("Warning"))


def test_an_unreliable_estimate_is_warned_of_with_a_better_command(run, capsys):
    # With so few samples there is no k-hat, but there is an error.
    _, _, err = run_main(capsys, "evaluate", run, "--num-samples", 2, "--split", "validation")
    how = r"for \d+% of the images \(effective sample size \d\.\d\)\. Better: (.*)$"
    found = re.search(r"log p\(x\) is unreliable, and likely too low, " + how, warning(err))
    better = shlex.split(found[1])
    wanted = ["jaxvae", "evaluate", str(run), "--estimator", "ais", "--split", "validation"]
    assert better == [*wanted, "--num-images", "20"]
    # The command runs; crude chains of it are unreliable too, and want more temperatures.
    crude = ["--num-chains", 2, "--num-temperatures", 2, "--num-leapfrog", 1]
    code, _, err = run_main(capsys, *better[1:], *crude)
    assert code == 0
    assert warning(err).endswith("--num-images 20 --num-temperatures 20")


def test_the_median_of_the_shapes_is_named_where_there_are_enough_samples(run, capsys, idx_directory):
    options = ["--num-samples", 100, "--data-dir", idx_directory, "--batch-size", 40]
    _, _, err = run_main(capsys, "evaluate", run, *options)
    assert re.search(r"\(median Pareto k \d\.\d\d\)", warning(err))
    assert f"--data-dir {idx_directory}" in warning(err)


def test_a_reliable_estimate_is_not_warned_of(run, capsys):
    _, _, err = run_main(capsys, "evaluate", run, "--num-samples", 3000, "--num-images", 10)
    assert "Warning" not in err


def test_a_run_can_be_scored_by_ais_at_its_end(tmp_path, idx_directory):
    options = ["--evaluate.estimator", "ais", "--evaluate.num-chains", 3, "--evaluate.num-images", 5]
    options += ["--evaluate.num-temperatures", 4, "--evaluate.num-leapfrog", 2]
    test = json.loads((train(tmp_path / "run", idx_directory, *options) / "results.json").read_text())["test"]
    assert (test["estimator"], test["num_chains"], test["num_images"]) == ("ais", 3, 5)


def test_a_run_from_before_the_protocol_still_loads(run, tmp_path):
    content = json.loads((run / "config.json").read_text())
    assert content.pop("num_training_images") == 100
    for name in (
        "estimator",
        "num_images",
        "num_chains",
        "num_temperatures",
        "num_leapfrog",
        "start",
        "schedule",
    ):
        del content["config"]["evaluate"][name]
    del content["config"]["likelihood"]
    content["config"]["model"]["likelihood"] = "grey-bernoulli"
    (tmp_path / "config.json").write_text(json.dumps(content))
    old = load_run(tmp_path)
    assert old.num_training_images is None
    assert old.config.likelihood == LikelihoodConfig(name="grey-bernoulli")
    assert dataclasses.replace(old.config, likelihood=LikelihoodConfig()) == load_run(run).config


BAD = {
    "no chains": (
        ["--estimator", "ais", "--num-chains", 0],
        r"Expected --num-chains to be positive; got 0\.",
    ),
    "no temperatures": (
        ["--estimator", "bdmc", "--num-temperatures", 0],
        r"Expected --num-temperatures to be positive; got 0\.",
    ),
    "no images": (["--num-images", 0], r"Expected --num-images to be positive; got 0\."),
    "too many images": (
        ["--num-images", 38],
        r"Expected --num-images to be at least 1 and below 38; got 38\.",
    ),
    "samples of chains": (
        ["--estimator", "ais", "--num-samples", 3],
        r"Expected the estimator that --num-samples is for to be one of importance; got 'ais'\.",
    ),
    "chains of samples": (
        ["--num-chains", 3],
        r"Expected the estimator that --num-chains is for to be one of ais, bdmc; got 'importance'\.",
    ),
    "a split of simulated images": (
        ["--estimator", "bdmc", "--split", "train"],
        r"Expected the estimator that --split is for to be one of ais, importance; got 'bdmc'\.",
    ),
    "an unknown start": (["--estimator", "ais", "--start", "noise"], r".*'noise'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(run, capsys, name):
    arguments, message = BAD[name]
    code, out, err = run_main(capsys, "evaluate", run, *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert re.match(f"jaxvae: {message}", err), err


@pytest.mark.parametrize("estimator", ["ais", "bdmc"])
def test_the_encoder_s_gaussian_is_no_start_of_a_flow_posterior(flow_run, capsys, estimator):
    code, _, err = run_main(capsys, "evaluate", flow_run, "--estimator", estimator, "--start", "encoder")
    assert code == 2
    wanted = "the start of a model with a flow posterior to be one of posterior, prior; got 'encoder'."
    assert err == f"jaxvae: Expected {wanted}\n"


def test_a_start_that_is_not_there_stops_a_run_before_it_trains(tmp_path, idx_directory, capsys):
    arguments = ["--posterior.flow", "iaf", "--evaluate.estimator", "ais", "--evaluate.start", "encoder"]
    given = ["train", "--data-dir", idx_directory, *SMALL, "--run-dir", tmp_path / "run", *arguments]
    code, _, err = run_main(capsys, *given)
    assert (code, (tmp_path / "run").exists()) == (2, False)
    assert "Expected the start of a model with a flow posterior" in err
