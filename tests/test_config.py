import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import pytest

from jaxvae.config import (
    Config,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    LikelihoodConfig,
    ObjectiveConfig,
    PixelCNNConfig,
    PosteriorConfig,
    PriorConfig,
    follow_choices,
    from_dict,
    to_dict,
)
from jaxvae.objectives import make_loss
from jaxvae.presets import PRESETS, load_preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_comes_back_from_json(name):
    config = load_preset(name)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, dir=Path("some/where")))
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_a_flow_s_options_come_back_from_json():
    posterior = PosteriorConfig(flow="spline", num_flows=3, widths=(5, 6), bound=2.5, context_dim=4)
    config = Config(posterior=posterior, prior=PriorConfig(flow="iaf", weight_norm=True, widths=()))
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_the_presets_have_the_sizes_of_what_they_reproduce():
    names = ("mnist-mean-field", "mnist-tutorial", "mnist-2d", "mnist-iaf")
    mean_field, tutorial, plane, iaf = (load_preset(name) for name in names)
    assert (mean_field.model.latent_dim, mean_field.encoder.widths) == (128, (512, 512))
    assert (mean_field.steps, mean_field.batch_size, mean_field.data.binarization) == (30_000, 128, "static")
    assert (tutorial.model.latent_dim, tutorial.encoder.widths, tutorial.encoder.scale) == (50, (400,), "exp")
    assert (tutorial.batch_size, tutorial.data.num_validation) == (256, 0)
    assert (plane.model.latent_dim, plane.encoder.widths, plane.steps) == (2, (512, 512, 512), 5_000)
    assert (iaf.posterior.flow, iaf.posterior.num_flows, iaf.posterior.widths) == ("iaf", 2, (512, 512))
    assert iaf.encoder == mean_field.encoder


def test_another_part_drops_the_options_of_the_one_it_replaces():
    config = load_preset("mnist-resnet-iaf")
    wanted = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, network="dense"))
    assert follow_choices(config, wanted).encoder == EncoderConfig()
    assert follow_choices(config, config) == config
    config = Config(likelihood=LikelihoodConfig(name="gaussian", scale=0.1))
    wanted = dataclasses.replace(config, likelihood=LikelihoodConfig(name="categorical", scale=0.1))
    assert follow_choices(config, wanted).likelihood == LikelihoodConfig(name="categorical")


def test_what_is_0_is_allowed_where_it_means_none():
    objective = ObjectiveConfig(beta=0.0, kl_warmup_steps=0, free_bits=0.0, consistency=0.0)
    Config(objective=objective).check()
    terms = {"elbo": jnp.array(-100.0), "kl": jnp.array(20.0)}
    assert make_loss(**objective.options())(terms, jnp.array(3)) == 80


def test_another_objective_drops_what_it_does_not_take():
    config = load_preset("mnist-resnet-iaf")
    assert config.objective.kl_warmup_steps
    wanted = dataclasses.replace(config, objective=dataclasses.replace(config.objective, name="iwae"))
    assert follow_choices(config, wanted).objective == ObjectiveConfig(name="iwae")


def test_another_gradient_of_the_same_bound_keeps_what_it_takes():
    config = load_preset("mnist-cvae-squared-error")
    wanted = dataclasses.replace(config, objective=dataclasses.replace(config.objective, name="stl"))
    assert follow_choices(config, wanted).objective == ObjectiveConfig(name="stl", beta=5e-6)


def test_an_unknown_preset_names_the_near_ones():
    with pytest.raises(
        ValueError, match=r"to be one of caltech101-silhouettes, .*; got 'mnist-meanfield' \(near: mnist-mean"
    ):
        load_preset("mnist-meanfield")


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match=r"Expected a field of EncoderConfig .*; got 'wdiths' \(near"):
        from_dict({"encoder": {"wdiths": [3]}})


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
        r"Expected --encoder.activation to be one of .*; got 'rleu' \(near: relu\)\.",
    ),
    "flow": (
        lambda: Config(posterior=PosteriorConfig(flow="iaff")),
        r"Expected --posterior.flow to be one of iaf, .*; got 'iaff' \(near: iaf",
    ),
    "activation of a flow": (
        lambda: Config(posterior=PosteriorConfig(flow="iaf", activation="rleu")),
        r"Expected --posterior.activation to be one of .*; got 'rleu' \(near: relu\)\.",
    ),
    "zero flows": (
        lambda: Config(prior=PriorConfig(flow="iaf", num_flows=0)),
        r"Expected --prior.num-flows to be positive; got 0\.",
    ),
    "an option without a flow": (
        lambda: Config(posterior=PosteriorConfig(num_flows=4)),
        r"Expected the flow that --posterior.num-flows is for to be one of iaf, .*; got 'none'\.",
    ),
    "an option of another flow": (
        lambda: Config(prior=PriorConfig(flow="planar", weight_norm=True)),
        r"Expected the flow that --prior.weight-norm is for to be one of iaf, naf, spline; got 'planar'",
    ),
    "a width of a flow": (
        lambda: Config(posterior=PosteriorConfig(flow="naf", widths=(8, -1))),
        r"Expected --posterior.widths to be positive; got -1\.",
    ),
    "a context without a flow": (
        lambda: Config(posterior=PosteriorConfig(context_dim=3)),
        r"Expected the flow that --posterior.context-dim is for to be one of iaf, .*; got 'none'\.",
    ),
    "a context of a prior": (
        lambda: Config(prior=PriorConfig(flow="iaf", context_layers="first")),
        r"Expected --prior.context-layers not to be given: there is no context; got first\.",
    ),
    "an option of another network": (
        lambda: Config(encoder=EncoderConfig(network="resnet", widths=(5,))),
        r"Expected the network that --encoder.widths is for to be one of dense; got 'resnet'",
    ),
    "an option of the encoder alone": (
        lambda: Config(decoder=DecoderConfig(network="gated-conv", strides=(2, 0))),
        r"Expected --decoder.strides to be positive; got 0\.",
    ),
    "a PixelCNN's option without one": (
        lambda: Config(pixelcnn=PixelCNNConfig(num_layers=3)),
        r"Expected the model that --pixelcnn.num-layers is for to be one of gated; got 'none'",
    ),
    "an unknown network": (
        lambda: Config(decoder=DecoderConfig(network="resnets")),
        r"Expected --decoder.network to be one of .*; got 'resnets' \(near: resnet\)\.",
    ),
    "parts of a batch": (
        lambda: Config(batch_size=10, num_parts=3),
        r"Expected --num-parts to divide the batch size 10; got 3\.",
    ),
    "an objective": (
        lambda: Config(objective=ObjectiveConfig(free_bits=-1)),
        r"Expected --objective.free-bits to be at least 0 and below inf; got -1\.",
    ),
    "an unknown objective": (
        lambda: Config(objective=ObjectiveConfig(name="iwea")),
        r"Expected --objective.name to be one of dreg, elbo, iwae, stl; got 'iwea' \(near: iwae",
    ),
    "K": (
        lambda: Config(objective=ObjectiveConfig(name="iwae", num_samples=0)),
        r"Expected --objective.num-samples to be positive; got 0\.",
    ),
    "a KL term of the importance-weighted bound": (
        lambda: Config(objective=ObjectiveConfig(name="dreg", beta=0.5)),
        r"Expected the objective that --objective.beta is for to be one of elbo, stl; got 'dreg'\.",
    ),
    "a closed form of draws": (
        lambda: Config(objective=ObjectiveConfig(name="stl", kl="closed-form")),
        r"Expected the objective that --objective.kl is for to be one of elbo; got 'stl'\.",
    ),
    "an unknown KL term": (
        lambda: Config(objective=ObjectiveConfig(kl="closed")),
        r"Expected --objective.kl to be one of closed-form, sampled; got 'closed' \(near: closed-form\)\.",
    ),
    "a closed form of a flow": (
        lambda: Config(objective=ObjectiveConfig(kl="closed-form"), prior=PriorConfig(flow="iaf")),
        r"Expected a Gaussian posterior and prior for --objective.kl closed-form .*; got iaf\.",
    ),
    "the density of a flow": (
        lambda: Config(objective=ObjectiveConfig(name="dreg"), posterior=PosteriorConfig(flow="planar")),
        r"Expected --posterior.flow none for the objective dreg .*; got planar\.",
    ),
    "cycles without a rise": (
        lambda: Config(objective=ObjectiveConfig(kl_cycle_steps=10)),
        r"Expected the --objective.kl-warmup-steps of --objective.kl-cycle-steps to be positive; got 0\.",
    ),
    "a cycle shorter than its rise": (
        lambda: Config(objective=ObjectiveConfig(kl_cycle_steps=10, kl_warmup_steps=11)),
        r"Expected --objective.kl-cycle-steps to be at least the 11 steps of the rise; got 10\.",
    ),
    "grey pixels for a Bernoulli": (
        lambda: Config(data=DataConfig(binarization="none")),
        r"Expected binary pixels for the likelihood bernoulli \(.*, or --likelihood.name grey-bernoulli to "
        r"insist\); got --data.binarization none\.",
    ),
    "binary pixels for 256 levels": (
        lambda: Config(likelihood=LikelihoodConfig(name="categorical")),
        r"Expected grey pixels for the likelihood categorical \(--data.binarization none\);"
        r" got --data.binarization static\.",
    ),
    "binary pixels for a density": (
        lambda: Config(likelihood=LikelihoodConfig(name="continuous-bernoulli")),
        r"Expected grey pixels for the likelihood continuous-bernoulli .*; got --data.binarization static\.",
    ),
    "binary pixels for a density of learned width": (
        lambda: Config(likelihood=LikelihoodConfig(name="gaussian", spread="learned")),
        r"Expected grey pixels for the likelihood gaussian .*; got --data.binarization static\.",
    ),
    "an unknown likelihood": (
        lambda: Config(likelihood=LikelihoodConfig(name="gausian")),
        r"Expected --likelihood.name to be one of .*; got 'gausian' \(near: gaussian\)\.",
    ),
    "an unknown spread": (
        lambda: Config(likelihood=LikelihoodConfig(name="gaussian", spread="pixel")),
        r"Expected --likelihood.spread to be one of fixed, learned, per-pixel; got 'pixel' \(near: per-pixel",
    ),
    "a scale": (
        lambda: Config(likelihood=LikelihoodConfig(name="gaussian", scale=-1.0)),
        r"Expected --likelihood.scale to be positive; got -1\.0\.",
    ),
    "an option of another likelihood": (
        lambda: Config(likelihood=LikelihoodConfig(num_components=3)),
        r"Expected the likelihood that --likelihood.num-components is for to be one of logistic-mixture;",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call().check()
