"""Deep models: convolutional, autoregressive, or with the input given to every layer."""

from typing import Any

from jaxvae.config import (
    Config,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    EvaluateConfig,
    ModelConfig,
    ObjectiveConfig,
    OptimizerConfig,
    PixelCNNConfig,
    PosteriorConfig,
    PriorConfig,
)

# Of an evaluation: the maps of so many images take a gigabyte, not tens of them.
_SMALL_CHUNKS: dict[str, Any] = {"batch_size": 100, "chunk_size": 20}


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
        posterior=conditional_iaf(8, (1920, 1920)),
        objective=ObjectiveConfig(kl_warmup_steps=200 * epoch),
        data=DataConfig(binarization="dynamic", num_validation=0),
        optimizer=OptimizerConfig(schedule="step", decay_every=800 * epoch, decay_factor=0.5),
        evaluate=EvaluateConfig(every=50 * epoch, **_SMALL_CHUNKS),
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
        posterior=conditional_iaf(4, (1024, 1024)),
        prior=PriorConfig(flow="iaf", num_flows=4, widths=(1024, 1024), activation="elu", weight_norm=True),
        objective=ObjectiveConfig(kl_warmup_steps=3_000),
        data=DataConfig(binarization="dynamic", num_validation=0),
        optimizer=OptimizerConfig(
            name="adamw", weight_decay=0.1, warmup_steps=500, max_gradient_norm=100.0, ema_decay=0.999
        ),
        evaluate=EvaluateConfig(**_SMALL_CHUNKS),
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
        posterior=conditional_iaf(4, (1280,)),
        objective=ObjectiveConfig(kl_warmup_steps=100 * epoch),
        optimizer=OptimizerConfig(name="adamax", learning_rate=2e-3, warmup_steps=epoch, ema_decay=0.999),
        evaluate=EvaluateConfig(every=20 * epoch, **_SMALL_CHUNKS),
    )


def mnist_dense_skip_iaf() -> Config:
    """Dynamic MNIST, dense layers that all see the input, four IAF steps and 64 latents."""
    epoch = 60_000 // 200
    return Config(
        steps=500 * epoch,
        batch_size=200,
        log_every=10 * epoch,
        model=ModelConfig(latent_dim=64),
        encoder=dense_skip(EncoderConfig, 3 * (512,), scale="exp", scale_bias=-3.0),
        decoder=dense_skip(DecoderConfig, 3 * (512,)),
        posterior=conditional_iaf(4, (1024, 1024)),
        objective=ObjectiveConfig(kl_warmup_steps=20 * epoch),
        data=DataConfig(binarization="dynamic", num_validation=0),
        optimizer=OptimizerConfig(warmup_steps=epoch, ema_decay=0.999),
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
        optimizer=OptimizerConfig(name="adamax", learning_rate=2e-3, warmup_steps=epoch, ema_decay=0.999),
        evaluate=EvaluateConfig(every=20 * epoch, **_SMALL_CHUNKS),
    )


def conditional_iaf(num_flows: int, widths: tuple[int, ...]) -> PosteriorConfig:
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


def dense_skip(kind: type, widths: tuple[int, ...], **options) -> Any:
    """An `EncoderConfig` or `DecoderConfig` of dense layers that all see the input."""
    return kind(widths=widths, activation="elu", skip=True, weight_norm=True, **options)
