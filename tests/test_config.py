import dataclasses
import json
from pathlib import Path

import pytest

from jaxvae.config import Config, DataConfig, EncoderConfig, from_dict, to_dict
from jaxvae.presets import PRESETS, load_preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_comes_back_from_json(name):
    config = load_preset(name)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, dir=Path("some/where")))
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_the_presets_have_the_sizes_of_what_they_reproduce():
    mean_field, tutorial, plane = (load_preset(name) for name in PRESETS)
    assert (mean_field.model.latent_dim, mean_field.encoder.widths) == (128, (512, 512))
    assert (mean_field.steps, mean_field.batch_size, mean_field.data.binarization) == (30_000, 128, "static")
    assert (tutorial.model.latent_dim, tutorial.encoder.widths, tutorial.encoder.scale) == (50, (400,), "exp")
    assert (tutorial.batch_size, tutorial.data.num_validation) == (256, 0)
    assert (plane.model.latent_dim, plane.encoder.widths, plane.steps) == (2, (512, 512, 512), 5_000)


def test_an_unknown_preset_names_the_near_ones():
    with pytest.raises(
        ValueError, match=r"to be one of mnist-2d, .*; got 'mnist-meanfield' \(near: mnist-mean"
    ):
        load_preset("mnist-meanfield")


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match=r"Expected a field of EncoderConfig .*; got 'width' \(near"):
        from_dict({"encoder": {"width": [3]}})


BAD = {
    "steps": (lambda: Config(steps=0), r"Expected --steps to be positive; got 0\."),
    "batch": (lambda: Config(batch_size=-3), r"Expected --batch-size to be positive; got -3\."),
    "seed": (lambda: Config(seed=-1), r"Expected --seed to be at least 0 and below 4294967296; got -1\."),
    "widths": (
        lambda: Config(encoder=EncoderConfig(widths=(5, 0))),
        r"Expected --encoder.widths to be positive; got 0\.",
    ),
    "validation": (
        lambda: Config(data=DataConfig(num_validation=-1)),
        r"Expected --data.num-validation to be at least 0 and below inf; got -1\.",
    ),
    "activation": (
        lambda: Config(encoder=EncoderConfig(activation="rleu")),
        r"Expected activation to be one of .*; got 'rleu' \(near: relu\)\.",
    ),
    "grey pixels for a Bernoulli": (
        lambda: Config(data=DataConfig(binarization="none")),
        r"Expected binary pixels for the likelihood bernoulli .*; got --data.binarization none\.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call().check()
