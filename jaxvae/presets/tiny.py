"""Small relatives of the deep models."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxvae.config import (
    Config,
    DecoderConfig,
    EncoderConfig,
    EvaluateConfig,
    ModelConfig,
    OptimizerConfig,
    PixelCNNConfig,
    PriorConfig,
)
from jaxvae.presets import deep


def _tiny(
    preset: Callable[[], Config], steps: int, *, batch_size: int = 64, num_samples: int = 10, **parts: Any
) -> Callable[[], Config]:
    """A small relative that trains in about a minute on two cores."""

    def tiny() -> Config:
        config = dataclasses.replace(preset(), **parts)
        return dataclasses.replace(
            config,
            steps=steps,
            batch_size=batch_size,
            log_every=steps // 10,
            precision="float32",
            model=ModelConfig(latent_dim=32),
            objective=dataclasses.replace(config.objective, kl_warmup_steps=steps // 10),
            optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=steps // 10, ema_decay=0.99),
            evaluate=EvaluateConfig(every=steps, monitor_samples=1, num_samples=num_samples),
        )

    tiny.__doc__ = f"In small, for a minute of two cores. {preset.__doc__}"
    return tiny


_SMALL_RESNET = {"network": "resnet", "maps": (16, 32), "strides": (2, 2), "num_blocks": 1}
_SMALL_GATED = {"network": "gated-conv", "maps": (16, 32), "strides": (2, 2)}
_SMALL_PRIOR = PriorConfig(flow="iaf", num_flows=2, widths=(128,), activation="elu", weight_norm=True)
TINY = {
    "mnist-resnet-iaf-tiny": _tiny(
        deep.mnist_resnet_iaf,
        700,
        encoder=EncoderConfig(**_SMALL_RESNET, width=256),
        decoder=DecoderConfig(**_SMALL_RESNET),
        posterior=deep.conditional_iaf(2, (256,)),
    ),
    "mnist-resnet-iaf-fast-tiny": _tiny(
        deep.mnist_resnet_iaf_fast,
        700,
        encoder=EncoderConfig(**_SMALL_RESNET, width=256),
        decoder=DecoderConfig(**_SMALL_RESNET),
        posterior=deep.conditional_iaf(2, (256,)),
        prior=_SMALL_PRIOR,
    ),
    "mnist-gated-conv-iaf-tiny": _tiny(
        deep.mnist_gated_conv_iaf,
        700,
        encoder=EncoderConfig(**_SMALL_GATED),
        decoder=DecoderConfig(**_SMALL_GATED),
        posterior=deep.conditional_iaf(2, (256,)),
    ),
    "mnist-dense-skip-iaf-tiny": _tiny(
        deep.mnist_dense_skip_iaf,
        5_000,
        encoder=deep.dense_skip(EncoderConfig, (256, 256)),
        decoder=deep.dense_skip(DecoderConfig, (256, 256)),
        posterior=deep.conditional_iaf(2, (256,)),
    ),
    "mnist-pixelcnn-tiny": _tiny(
        deep.mnist_pixelcnn,
        600,
        batch_size=32,
        num_samples=2,
        encoder=EncoderConfig(**_SMALL_RESNET, width=256),
        decoder=DecoderConfig(**_SMALL_RESNET),
        pixelcnn=PixelCNNConfig(model="gated", num_layers=2, maps=16, context_maps=4),
        prior=_SMALL_PRIOR,
    ),
}
