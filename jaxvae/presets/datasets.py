"""Dense models of data sets other than MNIST, each by the published protocol of its data."""

import dataclasses

from jaxvae.config import (
    Config,
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    EvaluateConfig,
    LikelihoodConfig,
    ModelConfig,
    OptimizerConfig,
)
from jaxvae.presets.dense import mnist_mean_field

# Of the importance-weighted autoencoders' paper, and those after it.
_NUM_SAMPLES = 5_000


def fashion_mnist() -> Config:
    """Static Fashion-MNIST, the sizes of mnist-mean-field, in 10,000 steps of 128."""
    return dataclasses.replace(mnist_mean_field(), steps=10_000, data=DataConfig(name="fashion-mnist"))


def fashion_mnist_grey() -> Config:
    """Fashion-MNIST in 256 levels, a discretised logistic, the sizes of mnist-mean-field, in 10,000 steps."""
    return dataclasses.replace(
        fashion_mnist(),
        likelihood=LikelihoodConfig(name="discretized-logistic"),
        data=DataConfig(name="fashion-mnist", binarization="none"),
    )


def omniglot() -> Config:
    """Dynamic OMNIGLOT 28 x 28, 784-200-200, tanh, 50 latents: the one-layer model of Burda et al. 2016."""
    return Config(
        steps=200_000,
        batch_size=100,
        model=ModelConfig(latent_dim=50),
        encoder=EncoderConfig(widths=(200, 200), activation="tanh", scale="exp"),
        decoder=DecoderConfig(widths=(200, 200), activation="tanh"),
        data=DataConfig(name="omniglot", binarization="dynamic"),
        evaluate=EvaluateConfig(num_samples=_NUM_SAMPLES),
    )


def caltech101_silhouettes() -> Config:
    """Caltech-101 silhouettes, 784-500-500 and 64 latents, weight decay, in 10,000 steps of 100."""
    return Config(
        steps=10_000,
        batch_size=100,
        model=ModelConfig(latent_dim=64),
        encoder=EncoderConfig(widths=(500, 500)),
        decoder=DecoderConfig(widths=(500, 500)),
        data=DataConfig(name="caltech101-silhouettes"),
        optimizer=OptimizerConfig(name="adamw", weight_decay=0.3),
        evaluate=EvaluateConfig(every=500, num_samples=_NUM_SAMPLES),
    )


def frey_faces() -> Config:
    """Frey Faces in 256 levels, a discretised logistic, 560-300-300, 40 latents, in 10,000 steps of 100."""
    return Config(
        steps=10_000,
        batch_size=100,
        model=ModelConfig(latent_dim=40),
        likelihood=LikelihoodConfig(name="discretized-logistic"),
        encoder=EncoderConfig(widths=(300, 300)),
        decoder=DecoderConfig(widths=(300, 300)),
        data=DataConfig(name="frey-faces", binarization="none"),
        optimizer=OptimizerConfig(name="adamw", weight_decay=0.3),
        evaluate=EvaluateConfig(every=500, num_samples=_NUM_SAMPLES),
    )
