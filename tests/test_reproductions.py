"""The presets at full length, against the figures that they are to reproduce: `pytest -m slow`."""

import pytest

from jaxvae.runs import load_run
from jaxvae.writers import load_records
from tests.test_cli import jaxvae, json

pytestmark = pytest.mark.slow

# -ELBO of the training and of the test images after these epochs, of the tutorial that is reproduced.
TUTORIAL = {
    5: (116.12, 113.79), 10: (108.91, 107.77), 15: (106.50, 105.98), 20: (105.26, 104.78),
    25: (104.46, 104.30), 30: (103.89, 103.59), 40: (103.11, 103.09), 50: (102.59, 102.58),
    60: (102.18, 102.12), 70: (101.81, 102.11), 80: (101.50, 101.63), 90: (101.26, 101.30),
    95: (101.10, 101.25),
}  # fmt: skip


def test_mean_field_on_static_mnist(tmp_path):
    result = jaxvae("train", "mnist-mean-field", "--run-dir", "run", "--json", cwd=tmp_path)
    test = json.loads(result.stdout)["test"]
    assert test["elbo"] > -98.0
    assert test["log_p_x"] > -93.5
    rounded = jaxvae("evaluate", "run", "--precision", "bfloat16", "--json", cwd=tmp_path)
    assert json.loads(rounded.stdout)["log_p_x"] == pytest.approx(test["log_p_x"], abs=0.05)
    expect_ais_above_importance_sampling(tmp_path)
    options = ["--num-temperatures", 500, "--num-leapfrog", 5]
    bounds = jaxvae("evaluate", "run", "--estimator", "bdmc", *options, "--json", cwd=tmp_path)
    assert json.loads(bounds.stdout)["gap"] < 0.1


def expect_ais_above_importance_sampling(directory):
    some = ["run", "--num-images", 500, "--json"]
    sampled = json.loads(jaxvae("evaluate", *some, "--num-samples", 10_000, cwd=directory).stdout)
    annealed = json.loads(jaxvae("evaluate", *some, "--estimator", "ais", cwd=directory).stdout)
    error = sampled["log_p_x_monte_carlo_error"] + annealed["log_p_x_monte_carlo_error"]
    assert annealed["log_p_x"] > sampled["log_p_x"] - 4 * error


@pytest.mark.parametrize(
    ("preset", "elbo", "log_p_x"), [("mnist-iaf", -95.0, -89.7), ("mnist-dense-best", -90.3, -86.8)]
)
def test_flows_on_static_mnist(tmp_path, preset, elbo, log_p_x):
    result = jaxvae("train", preset, "--run-dir", "run", "--json", cwd=tmp_path)
    test = json.loads(result.stdout)["test"]
    assert test["elbo"] > elbo
    assert test["log_p_x"] > log_p_x
    if preset == "mnist-iaf":
        expect_ais_above_importance_sampling(tmp_path)


def test_the_tutorial_s_losses_epoch_by_epoch(tmp_path):
    assert jaxvae("train", "mnist-tutorial", "--run-dir", "run", cwd=tmp_path).returncode == 0
    steps_per_epoch = load_run(tmp_path / "run").config.evaluate.every
    records = {record["step"]: record for record in load_records(tmp_path / "run" / "metrics.jsonl")}
    for epoch, (train, test) in TUTORIAL.items():
        # The tutorial counts epochs from zero and prints at their end.
        record = records[(epoch + 1) * steps_per_epoch]
        assert -record["train_elbo"] < train + 0.7, epoch
        assert -record["test_elbo"] < test + 0.7, epoch
