"""Runs of no steps on images of 6 x 5: of a conditional model, and of one of two latents on grey pixels."""

import jax
import pytest

from jaxvae.build import build_dataset, build_training
from jaxvae.config import (
    Config,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    EvaluateConfig,
    LikelihoodConfig,
    ModelConfig,
)
from jaxvae.explore.explorer import Explorer
from jaxvae.runs import View, create_run, new_tally


@pytest.fixture(scope="module", autouse=True)
def _compile_fast():
    """Everything here compiles more than it runs."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def make_run(directory, idx_directory, *, binarization="static", **parts):
    """(run, data set) with a checkpoint of the model as it starts."""
    config = Config(
        batch_size=10,
        encoder=EncoderConfig(widths=(9,)),
        decoder=DecoderConfig(widths=(8,)),
        data=DataConfig(dir=idx_directory, num_validation=20, binarization=binarization),
        evaluate=EvaluateConfig(num_samples=7),
        **parts,
    )
    dataset = build_dataset(config)
    run = create_run(directory, "mnist-mean-field", config, dataset, overwrite=False)
    state, _ = build_training(config, run.image_shape, num_classes=run.num_classes)
    run.checkpoints.save(1, (state, new_tally(config)))
    return run, dataset


def make_explorer(run, dataset):
    return Explorer(View(run, run.load_model()), dataset, num_samples=7)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory, idx_directory):
    model = ModelConfig(latent_dim=3, labels="one-hot", learned_prior=True)
    return make_run(tmp_path_factory.mktemp("runs") / "conditional", idx_directory, model=model)


@pytest.fixture(scope="module")
def grey(tmp_path_factory, idx_directory):
    parts = {"model": ModelConfig(latent_dim=2), "likelihood": LikelihoodConfig(name="grey-bernoulli")}
    return make_run(tmp_path_factory.mktemp("runs") / "grey", idx_directory, binarization="none", **parts)


@pytest.fixture(scope="module")
def explorer(conditional):
    return make_explorer(*conditional)


@pytest.fixture(scope="module")
def grey_explorer(grey):
    return make_explorer(*grey)
