"""The event files of a run, read back by TensorBoard itself."""

import io
import math
import shutil
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image

from jaxvae.build import build_dataset
from jaxvae.cli import main
from jaxvae.runs import View, load_run
from jaxvae.writers import load_records
from tests.test_cli import SMALL

STEPS = 10


@pytest.fixture(scope="module", autouse=True)
def _compile_fast():
    """Everything here compiles more than it runs."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def directory(tmp_path_factory, idx_directory):
    """A run with two records and two evaluations."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    options = ["--steps", STEPS, *SMALL, "--evaluate.every", 5, "--run-dir", directory, "--json"]
    main([str(argument) for argument in ("train", "--data-dir", idx_directory, *options)])
    return directory


@pytest.fixture
def read(monkeypatch):
    """What TensorBoard shows of a run directory."""
    # Its own way to do without TensorFlow, which takes seconds to load.
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(directory):
        events = EventAccumulator(str(directory), size_guidance={"images": 0, "scalars": 0})
        return events.Reload()

    return read


def scalars(events, tag):
    return {event.step: event.value for event in events.Scalars(tag)}


def pixels(event):
    with Image.open(io.BytesIO(event.encoded_image_string)) as picture:
        assert picture.size == (event.width, event.height)
        return np.asarray(picture)


def test_every_number_of_the_records_is_a_scalar(directory, read):
    events, records = read(directory), load_records(directory / "metrics.jsonl")
    assert [record.pop("step") for record in records] == [5, 10]
    latents = [f"validation_kl_per_latent/{index:03d}" for index in range(3)]
    assert set(events.Tags()["scalars"]) == {
        "epoch", "train_elbo", "train_kl", "learning_rate", "gradient_norm", "examples_per_second",
        "validation_elbo", "validation_elbo_standard_error", "validation_log_p_x",
        "validation_log_p_x_standard_error", "validation_kl", "validation_active_units", *latents,
    }  # fmt: skip
    parts = [record.pop("validation_kl_per_latent") for record in records]
    for number, tag in enumerate(latents):
        assert scalars(events, tag) == pytest.approx({5: parts[0][number], 10: parts[1][number]})
    for name in records[0]:
        assert scalars(events, name) == pytest.approx({5: records[0][name], 10: records[1][name]})


def test_the_learning_rate_is_the_schedule_s_and_the_gradient_has_a_norm(directory, read):
    events, options = read(directory), load_run(directory).config.optimizer
    assert (options.schedule, options.warmup_steps) == ("cosine", 0)
    expected = {step: options.learning_rate * (1 + math.cos(math.pi * step / STEPS)) / 2 for step in (5, 10)}
    assert scalars(events, "learning_rate") == pytest.approx(expected)
    assert min(scalars(events, "gradient_norm").values()) > 0


def test_the_latents_are_those_of_the_validation_images(directory):
    run = load_run(directory)
    view = View(run, run.load_state()[0].eval_model)
    images = build_dataset(run.config).split("validation").images
    use, record = view.encode(images, None).summary(), load_records(directory / "metrics.jsonl")[-1]
    for name in ("kl", "kl_per_latent", "active_units"):
        assert record[f"validation_{name}"] == pytest.approx(use[name], rel=1e-4)


def test_samples_and_reconstructions_are_shown_at_every_evaluation(directory, read):
    events = read(directory)
    assert events.Tags()["images"] == ["samples", "reconstructions"]
    for name in ("samples", "reconstructions"):
        shown = events.Images(name)
        assert [event.step for event in shown] == [5, 10]
        for event in shown:
            # Four rows and eight columns of 6 x 5, and two pixels around each.
            assert pixels(event).shape == (4 * 8 + 2, 8 * 7 + 2)
            assert pixels(event)[2:8, 2:7].std() > 5
        assert not np.array_equal(*map(pixels, shown))
    run = load_run(directory)
    images = build_dataset(run.config).split("validation").images
    first = 255 * View(run, run.load_model()).seen(images[:1])[0, 0]
    np.testing.assert_array_equal(pixels(events.Images("reconstructions")[0])[2:8, 2:7], first)


def test_what_a_resumed_run_writes_again_is_shown_once(directory, read, tmp_path):
    cut = shutil.copytree(directory, tmp_path / "run")
    # As if it had been killed right after the last evaluation.
    shutil.rmtree(cut / "checkpoints" / "10")
    whole = read(directory)
    main(["train", "--run-dir", str(cut), "--resume", "--json"])
    assert len(list(cut.glob("events.*"))) == 2
    events = read(cut)
    for name in ("samples", "reconstructions"):
        assert [event.step for event in events.Images(name)] == [5, 10]
        for one, other in zip(events.Images(name), whole.Images(name), strict=True):
            np.testing.assert_array_equal(pixels(one), pixels(other))
    for name in ("train_elbo", "gradient_norm", "validation_elbo", "validation_kl_per_latent/002"):
        assert [event.step for event in events.Scalars(name)] == [5, 10]
        assert scalars(events, name) == pytest.approx(scalars(whole, name))
