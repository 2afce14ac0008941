"""Named experiments; each states only what differs from the defaults of `Config`."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxvae._checks import expect_choice
from jaxvae.config import (
    Config,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    EvaluateConfig,
    FlowName,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PixelCNNConfig,
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
        model=ModelConfig(latent_dim=50, likelihood="grey-bernoulli"),
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
        model=ModelConfig(latent_dim=2, likelihood="grey-bernoulli"),
        encoder=EncoderConfig(widths=widths),
        decoder=DecoderConfig(widths=widths),
        data=DataConfig(binarization="none", num_validation=0),
        evaluate=EvaluateConfig(every=1_000),
    )


def mnist_resnet_iaf() -> Config:
    """Dynamic MNIST, a ResNet with eight IAF steps of 1920-1920 and 64 latents, in 2,500 epochs of 200."""
    epoch = 60_000 // 200
    return Config(
        steps=2_500 * epoch,
        batch_size=200,
        log_every=10 * epoch,
        model=ModelConfig(latent_dim=64),
        encoder=EncoderConfig(
            network="resnet", maps=(64, 64, 64), strides=(1, 2, 2), num_blocks=2, width=450
        ),
        decoder=DecoderConfig(network="resnet", maps=(64, 64, 64), strides=(1, 2, 2), num_blocks=2),
        posterior=_conditional_iaf(8, (1920, 1920)),
        objective=ObjectiveConfig(kl_warmup_steps=200 * epoch),
        data=DataConfig(binarization="dynamic", num_validation=0),
        optimizer=OptimizerConfig(schedule="step", decay_every=800 * epoch, decay_factor=0.5),
        evaluate=EvaluateConfig(every=50 * epoch),
    )


def mnist_resnet_iaf_fast() -> Config:
    """Dynamic MNIST, a ResNet with IAF in posterior and prior, for ten minutes of a large GPU."""
    return Config(
        steps=30_000,
        batch_size=512,
        precision="bfloat16",
        model=ModelConfig(latent_dim=64),
        encoder=EncoderConfig(
            network="resnet", maps=(64, 64, 64), strides=(1, 2, 2), num_blocks=2, width=450
        ),
        decoder=DecoderConfig(network="resnet", maps=(64, 64, 64), strides=(1, 2, 2), num_blocks=2),
        posterior=_conditional_iaf(4, (1024, 1024)),
        prior=PriorConfig(flow="iaf", num_flows=4, widths=(1024, 1024), activation="elu", weight_norm=True),
        objective=ObjectiveConfig(kl_warmup_steps=3_000),
        data=DataConfig(binarization="dynamic", num_validation=0),
        optimizer=OptimizerConfig(
            name="adamw", weight_decay=0.1, warmup_steps=500, max_gradient_norm=100.0, ema_decay=0.999
        ),
    )


def mnist_gated_conv_iaf() -> Config:
    """Static MNIST, the gated convolutions of the Sylvester paper, four IAF steps and 64 latents."""
    epoch = 50_000 // 200
    return Config(
        steps=1_000 * epoch,
        batch_size=200,
        log_every=10 * epoch,
        model=ModelConfig(latent_dim=64),
        encoder=EncoderConfig(network="gated-conv"),
        decoder=DecoderConfig(network="gated-conv"),
        posterior=_conditional_iaf(4, (1280,)),
        objective=ObjectiveConfig(kl_warmup_steps=100 * epoch),
        optimizer=OptimizerConfig(name="adamax", learning_rate=2e-3, ema_decay=0.999),
        evaluate=EvaluateConfig(every=20 * epoch),
    )


def mnist_dense_skip_iaf() -> Config:
    """Dynamic MNIST, dense layers that all see the input, four IAF steps and 64 latents."""
    epoch = 60_000 // 200
    return Config(
        steps=500 * epoch,
        batch_size=200,
        log_every=10 * epoch,
        model=ModelConfig(latent_dim=64),
        encoder=_dense_skip(EncoderConfig, 3 * (512,), scale="exp", scale_bias=-3.0),
        decoder=_dense_skip(DecoderConfig, 3 * (512,)),
        posterior=_conditional_iaf(4, (1024, 1024)),
        objective=ObjectiveConfig(kl_warmup_steps=20 * epoch),
        data=DataConfig(binarization="dynamic", num_validation=0),
        optimizer=OptimizerConfig(ema_decay=0.999),
        evaluate=EvaluateConfig(every=25 * epoch),
    )


def mnist_pixelcnn() -> Config:
    """Static MNIST, a ResNet with a gated PixelCNN as decoder, IAF in the prior and 64 latents."""
    epoch = 50_000 // 200
    return Config(
        steps=400 * epoch,
        batch_size=200,
        log_every=10 * epoch,
        model=ModelConfig(latent_dim=64),
        encoder=EncoderConfig(network="resnet", maps=(32, 32, 32)),
        decoder=DecoderConfig(network="resnet", maps=(32, 32, 32)),
        pixelcnn=PixelCNNConfig(model="gated", num_layers=6, maps=32, first_kernel_size=7, kernel_size=3),
        prior=PriorConfig(flow="iaf", num_flows=4, widths=(640, 640), activation="elu", weight_norm=True),
        objective=ObjectiveConfig(kl_warmup_steps=20 * epoch, free_bits=2.0),
        optimizer=OptimizerConfig(name="adamax", learning_rate=2e-3, ema_decay=0.999),
        evaluate=EvaluateConfig(every=20 * epoch),
    )


def _conditional_iaf(num_flows: int, widths: tuple[int, ...]) -> PosteriorConfig:
    """IAF steps whose first hidden layers share one context, as large as they are."""
    return PosteriorConfig(
        flow="iaf",
        num_flows=num_flows,
        widths=widths,
        activation="elu",
        context_dim=widths[0],
        context_layers="add",
        weight_norm=True,
    )


def _dense_skip(kind: type, widths: tuple[int, ...], **options) -> Any:
    return kind(widths=widths, activation="elu", skip=True, weight_norm=True, **options)


def _tiny(preset: Callable[[], Config], steps: int, **parts: Any) -> Callable[[], Config]:
    """A small relative that trains in under two minutes on two cores."""

    def tiny() -> Config:
        config = dataclasses.replace(preset(), steps=steps, batch_size=64, log_every=steps // 10, **parts)
        return dataclasses.replace(
            config,
            precision="float32",
            model=ModelConfig(latent_dim=32),
            objective=dataclasses.replace(config.objective, kl_warmup_steps=steps // 10),
            optimizer=OptimizerConfig(learning_rate=2e-3, ema_decay=0.99),
            evaluate=EvaluateConfig(every=steps, monitor_samples=1, num_samples=10),
        )

    tiny.__doc__ = f"In small, for two minutes on two cores. {preset.__doc__}"
    return tiny


_SMALL_RESNET = {"network": "resnet", "maps": (16, 32), "strides": (2, 2), "num_blocks": 1}
_SMALL_GATED = {"network": "gated-conv", "maps": (16, 32), "strides": (2, 2)}
_SMALL_PRIOR = PriorConfig(flow="iaf", num_flows=2, widths=(128,), activation="elu", weight_norm=True)
_TINY = {
    "mnist-resnet-iaf-tiny": _tiny(
        mnist_resnet_iaf,
        1_500,
        encoder=EncoderConfig(**_SMALL_RESNET, width=256),
        decoder=DecoderConfig(**_SMALL_RESNET),
        posterior=_conditional_iaf(2, (256,)),
    ),
    "mnist-resnet-iaf-fast-tiny": _tiny(
        mnist_resnet_iaf_fast,
        1_500,
        encoder=EncoderConfig(**_SMALL_RESNET, width=256),
        decoder=DecoderConfig(**_SMALL_RESNET),
        posterior=_conditional_iaf(2, (256,)),
        prior=_SMALL_PRIOR,
    ),
    "mnist-gated-conv-iaf-tiny": _tiny(
        mnist_gated_conv_iaf,
        1_500,
        encoder=EncoderConfig(**_SMALL_GATED),
        decoder=DecoderConfig(**_SMALL_GATED),
        posterior=_conditional_iaf(2, (256,)),
    ),
    "mnist-dense-skip-iaf-tiny": _tiny(
        mnist_dense_skip_iaf,
        6_000,
        encoder=_dense_skip(EncoderConfig, (256, 256)),
        decoder=_dense_skip(DecoderConfig, (256, 256)),
        posterior=_conditional_iaf(2, (256,)),
    ),
    "mnist-pixelcnn-tiny": _tiny(
        mnist_pixelcnn,
        600,
        encoder=EncoderConfig(**_SMALL_RESNET, width=256),
        decoder=DecoderConfig(**_SMALL_RESNET),
        pixelcnn=PixelCNNConfig(model="gated", num_layers=3, maps=16, first_kernel_size=7, context_maps=8),
        prior=_SMALL_PRIOR,
    ),
}


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


PRESETS: dict[str, Callable[[], Config]] = {
    "mnist-mean-field": mnist_mean_field,
    "mnist-iaf": mnist_iaf,
    "mnist-dense-best": mnist_dense_best,
    "mnist-tutorial": mnist_tutorial,
    "mnist-2d": mnist_2d,
    "mnist-resnet-iaf": mnist_resnet_iaf,
    "mnist-resnet-iaf-fast": mnist_resnet_iaf_fast,
    "mnist-gated-conv-iaf": mnist_gated_conv_iaf,
    "mnist-dense-skip-iaf": mnist_dense_skip_iaf,
    "mnist-pixelcnn": mnist_pixelcnn,
    **_TINY,
    **{f"mnist-flow-{name}": _compare(posterior) for name, posterior in _POSTERIORS.items()},
}


def load_preset(name: str) -> Config:
    """The preset called `name`.

    Raises:
        ValueError: if there is none; the message names those that exist and the near ones.
    """
    expect_choice("preset", name, PRESETS)
    return PRESETS[name]()
