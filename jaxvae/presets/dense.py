"""Dense models, among them one for each flow."""

import dataclasses
from collections.abc import Callable

from jaxvae.config import (
    Config,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    EvaluateConfig,
    FlowName,
    LikelihoodConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PosteriorConfig,
    PriorConfig,
)


def mnist_mean_field() -> Config:
    """Static MNIST, 784-512-512 and 128 latents, in 30,000 steps of 128."""
    return Config(encoder=EncoderConfig(widths=(512, 512)), decoder=DecoderConfig(widths=(512, 512)))


def mnist_iaf() -> Config:
    """The same with a posterior of two IAF steps, each a MADE with two hidden layers of 512."""
    posterior = PosteriorConfig(flow="iaf", num_flows=2, widths=(512, 512), context_dim=128)
    return dataclasses.replace(mnist_mean_field(), posterior=posterior)


def mnist_dense_best() -> Config:
    """Static MNIST, 64 latents, IAF in the posterior and in the prior, and weight decay, in 30,000 steps."""
    return dataclasses.replace(
        mnist_mean_field(),
        precision="bfloat16",
        model=ModelConfig(latent_dim=64),
        posterior=PosteriorConfig(flow="iaf", num_flows=2, widths=(512, 512), context_dim=64),
        prior=PriorConfig(flow="iaf", num_flows=2, widths=(512, 512)),
        optimizer=OptimizerConfig(name="adamw", weight_decay=0.3),
    )


def mnist_tutorial() -> Config:
    """Grey MNIST under a Bernoulli, 784-400 and 50 latents, in 100 epochs of all 60,000 images."""
    steps_per_epoch = 60_000 // 256
    return Config(
        steps=100 * steps_per_epoch,
        batch_size=256,
        log_every=steps_per_epoch,
        model=ModelConfig(latent_dim=50),
        likelihood=LikelihoodConfig(name="grey-bernoulli"),
        encoder=EncoderConfig(widths=(400,), activation="softplus", init="uniform", scale="exp"),
        decoder=DecoderConfig(widths=(400,), activation="softplus", init="uniform"),
        data=DataConfig(binarization="none", num_validation=0),
        optimizer=OptimizerConfig(schedule="constant"),
        evaluate=EvaluateConfig(every=steps_per_epoch, monitor_samples=1),
    )


def mnist_2d() -> Config:
    """Grey MNIST under a Bernoulli, three layers of 512 each way and 2 latents, in 5,000 steps of 128."""
    widths = (512, 512, 512)
    return Config(
        steps=5_000,
        model=ModelConfig(latent_dim=2),
        likelihood=LikelihoodConfig(name="grey-bernoulli"),
        encoder=EncoderConfig(widths=widths),
        decoder=DecoderConfig(widths=widths),
        data=DataConfig(binarization="none", num_validation=0),
        evaluate=EvaluateConfig(every=1_000),
    )


def mnist_cvae() -> Config:
    """Static MNIST, the sizes of mnist-mean-field, with labels everywhere and a learned p(z | y)."""
    model = ModelConfig(labels="one-hot", learned_prior=True)
    return dataclasses.replace(mnist_mean_field(), model=model)


def mnist_cvae_squared_error() -> Config:
    """Grey MNIST, the same with 2 latents: squared error plus 1e-5 of the KL term, in 5,000 steps of 128."""
    scale = 1.0  # of a Gaussian whose log-likelihood is the squared error over -2 scale^2, and a constant
    return dataclasses.replace(
        mnist_cvae(),
        steps=5_000,
        model=ModelConfig(latent_dim=2, labels="one-hot", learned_prior=True),
        likelihood=LikelihoodConfig(name="gaussian", scale=scale),
        objective=ObjectiveConfig(kl="closed-form", beta=1e-5 / (2 * scale**2)),
        data=DataConfig(binarization="none"),
        evaluate=EvaluateConfig(every=1_000),
    )


def mnist_iwae() -> Config:
    """Static MNIST, 784-200-200, tanh, 50 latents: the IWAE bound of 50 samples, in 1,000 epochs."""
    return Config(
        steps=500_000,
        batch_size=100,
        log_every=500,
        model=ModelConfig(latent_dim=50),
        encoder=EncoderConfig(widths=(200, 200), activation="tanh", scale="exp"),
        decoder=DecoderConfig(widths=(200, 200), activation="tanh"),
        objective=ObjectiveConfig(name="iwae", num_samples=50),
        evaluate=EvaluateConfig(num_samples=5000),
    )


def _compare(posterior: PosteriorConfig) -> Callable[[], Config]:
    """The same model and budget with one posterior or another."""

    def preset() -> Config:
        return Config(
            steps=5_000,
            model=ModelConfig(latent_dim=32),
            encoder=EncoderConfig(widths=(256, 256)),
            decoder=DecoderConfig(widths=(256, 256)),
            posterior=posterior,
            evaluate=EvaluateConfig(num_samples=200),
        )

    flow = "a Gaussian posterior" if posterior.flow == "none" else f"a posterior with {posterior.flow}"
    preset.__doc__ = f"Static MNIST, 784-256-256 and 32 latents, in 5,000 steps of 128: {flow}."
    return preset


_POSTERIORS: dict[FlowName, PosteriorConfig] = {
    "none": PosteriorConfig(),
    "iaf": PosteriorConfig(flow="iaf", num_flows=2, widths=(256, 256)),
    "naf": PosteriorConfig(flow="naf", num_flows=2, widths=(256, 256), num_units=8),
    "spline": PosteriorConfig(flow="spline", num_flows=2, widths=(256, 256), num_bins=8),
    "planar": PosteriorConfig(flow="planar", num_flows=16),
    "sylvester-orthogonal": PosteriorConfig(flow="sylvester-orthogonal", num_flows=4, num_vectors=16),
    "sylvester-householder": PosteriorConfig(flow="sylvester-householder", num_flows=4, num_reflections=8),
    "sylvester-triangular": PosteriorConfig(flow="sylvester-triangular", num_flows=4),
}


FLOWS = {f"mnist-flow-{name}": _compare(posterior) for name, posterior in _POSTERIORS.items()}
