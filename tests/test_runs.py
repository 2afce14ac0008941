"""A run directory: what may change when it is gone on with, and an evaluation that was stopped."""

import dataclasses
import shutil

import equinox as eqx
import numpy as np
import pytest

from jaxvae.build import build_dataset, build_training
from jaxvae.config import Config, DataConfig, DecoderConfig, EncoderConfig, EvaluateConfig, ModelConfig
from jaxvae.data import Split
from jaxvae.interrupts import OutOfTime, StopRequest
from jaxvae.runs import create_run, evaluate_run, expect_resumable, new_tally


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, idx_directory):
    """A run of no steps and its data, stopped after 20 of 37 test images, whose log p(x) is then put to 1."""
    config = Config(
        batch_size=10,
        model=ModelConfig(latent_dim=2),
        encoder=EncoderConfig(widths=(5,)),
        decoder=DecoderConfig(widths=(5,)),
        data=DataConfig(dir=idx_directory, num_validation=20),
        evaluate=EvaluateConfig(num_samples=3, batch_size=20),
    )
    dataset = build_dataset(config)
    directory = tmp_path_factory.mktemp("runs") / "run"
    run = create_run(directory, "mnist-mean-field", config, dataset, overwrite=False)
    run.checkpoints.save(1, (build_training(config, run.image_shape)[0], new_tally(config)))
    with pytest.raises(OutOfTime, match="Saved; go on with: jaxvae train mnist-mean-field --run-dir .*/run"):
        evaluate_run(run, dataset, "test", stop=StopRequest(0))
    with np.load(directory / "evaluation.npz") as file:
        content = dict(file)
    assert len(content["log_p"]) == 20
    np.savez(directory / "evaluation.npz", **{**content, "log_p": np.ones(20, np.float32)})
    return run, dataset


def with_seed(run, dataset):
    return dataclasses.replace(run, config=dataclasses.replace(run.config, seed=1)), dataset


def with_samples(run, dataset):
    evaluate = dataclasses.replace(run.config.evaluate, num_samples=4)
    return dataclasses.replace(run, config=dataclasses.replace(run.config, evaluate=evaluate)), dataset


def with_images(run, dataset):
    return run, dataset._replace(test=Split(1 - dataset.test.images, dataset.test.labels))


def with_checkpoint(run, dataset):
    state, tally = run.load_state()
    state = dataclasses.replace(state, step=state.step + 1)
    run.checkpoints.save(2, (state, tally))
    return run, dataset


@pytest.mark.parametrize("change", [None, with_seed, with_samples, with_images, with_checkpoint])
def test_what_a_stopped_evaluation_kept_is_for_the_same_one_alone(stopped, change, tmp_path):
    run, dataset = stopped
    run = dataclasses.replace(run, directory=shutil.copytree(run.directory, tmp_path / "run"))
    run, dataset = (run, dataset) if change is None else change(run, dataset)
    log_p = evaluate_run(run, dataset, "test", stop=StopRequest()).log_p
    assert len(log_p) == 37
    assert np.array_equal(log_p == 1, np.arange(37) < (20 if change is None else 0))


def test_an_evaluation_that_nothing_stops_leaves_the_directory_alone(stopped):
    run, dataset = stopped
    before = {path: path.read_bytes() for path in run.directory.glob("*.*")}
    assert evaluate_run(run, dataset, "test").log_p[0] != 1
    assert {path: path.read_bytes() for path in run.directory.glob("*.*")} == before


class OldTally(eqx.Module):
    """Without the norms of the gradients."""

    train_seconds: float = 1.5
    evaluate_seconds: float = 0.0
    compile_seconds: float = 0.0
    best_elbo: float = -99.0
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    num_summed: int = 0


@pytest.mark.parametrize("num_summed", [0, 2])
def test_a_checkpoint_from_before_the_gradient_was_measured_is_gone_on_with(stopped, tmp_path, num_summed):
    run, _ = stopped
    run = dataclasses.replace(run, directory=tmp_path)
    state = build_training(run.config, run.image_shape)[0]
    sums = {"elbo": -100.0 * num_summed, "kl": 3.0 * num_summed}
    run.checkpoints.save(3, (state, OldTally(sums=sums, num_summed=num_summed)))
    _, tally = run.load_state()
    assert (tally.train_seconds, tally.best_elbo, tally.num_summed) == (1.5, -99.0, num_summed)
    assert tally.sums == sums
    # Of the steps since the last record it is not known, and after a record there are none.
    assert np.isnan(tally.gradient_norms) if num_summed else tally.gradient_norms == 0


OTHER = {
    "encoder": (EncoderConfig(widths=(400,)), r"--encoder\.widths .* to stay \(5,\); got \(400,\)\."),
    "model": (ModelConfig(latent_dim=3), r"--model\.latent-dim .* to stay 2; got 3\."),
    "batch_size": (11, r"--batch-size .* to stay 10; got 11\."),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_run_is_gone_on_with_as_it_was_and_what_is_not_is_named(stopped, name):
    run, _ = stopped
    value, message = OTHER[name]
    with pytest.raises(ValueError, match="^Expected " + message):
        expect_resumable(run, run.preset, dataclasses.replace(run.config, **{name: value}))


def test_the_length_and_the_evaluations_of_a_run_may_change(stopped):
    run, _ = stopped
    config = dataclasses.replace(run.config, steps=9, log_every=7, evaluate=EvaluateConfig(every=3))
    expect_resumable(run, run.preset, config)
