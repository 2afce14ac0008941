"""What a run needs besides its model: keys, data, the optimiser, the state and the step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae import data
from jaxvae._typing import Key, Scalar
from jaxvae.build.models import build_model
from jaxvae.config import Config
from jaxvae.labels import one_hot
from jaxvae.model import (
    VAE,
    log_weight,
    make_log_weight_terms,
    make_path_terms,
    posterior_divergence,
    prior_divergence,
)
from jaxvae.nn import initialize_from_data
from jaxvae.objectives import dreg_terms, elbo_terms, iwae_terms, make_loss
from jaxvae.train import TrainState, init_state, make_optimizer, make_train_step
from jaxvae.train.optimizers import make_schedule
from jaxvae.train.step import TrainStep


def make_key(config: Config, purpose: str) -> Key:
    """The root key of one purpose; no two purposes share a draw."""
    purposes = ("model", "train", "monitor", "evaluate", "initialize", "simulate", "labels")
    return jax.random.fold_in(jax.random.key(config.seed), purposes.index(purpose))


def build_dataset(config: Config) -> data.Dataset:
    """Reads the data set."""
    config.check()
    return data.load_dataset(
        config.data.name,
        data_dir=config.data.dir,
        binarization=config.data.binarization,
        num_validation=config.data.num_validation,
        placement=config.data.placement,
    )


def is_resident(config: Config, images: Any) -> bool:
    """Whether training images go to the device as a whole, and not batch by batch."""
    is_in_memory = isinstance(images, np.ndarray)
    return is_in_memory and data.choose_placement(images.nbytes, config.data.placement) == "resident"


def build_schedule(config: Config) -> optax.Schedule:
    """The learning rate as a function of the step."""
    options = config.optimizer
    return make_schedule(
        options.schedule,
        options.learning_rate,
        num_steps=config.steps,
        warmup_steps=options.warmup_steps,
        decay_every=options.decay_every,
        decay_factor=options.decay_factor,
    )


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """The optimiser with its schedule."""
    options = config.optimizer
    return make_optimizer(
        options.name,
        build_schedule(config),
        weight_decay=options.weight_decay,
        max_gradient_norm=options.max_gradient_norm,
    )


def make_loss_terms(
    config: Config, num_classes: int = 0
) -> Callable[[VAE, Key, Any, Any], dict[str, Scalar]]:
    """The terms of one example's loss; with consistency, x comes with its augmentation. y is its class."""
    objective, num_samples = config.objective, config.objective.samples

    def bound_terms(model: VAE, key: Key, x, y) -> dict[str, Scalar]:
        if objective.name == "iwae":
            return iwae_terms(make_log_weight_terms(model, x, y), key, num_samples)
        if objective.name == "dreg":
            return dreg_terms(make_path_terms(model, x, y), key, num_samples)
        make_terms = make_path_terms if objective.name == "stl" else make_log_weight_terms
        kl = prior_divergence(model, x, y) if objective.kl == "closed-form" else None
        return elbo_terms(make_terms(model, x, y), key, num_samples, kl=kl)

    def loss_terms(model: VAE, key: Key, x, y) -> dict[str, Scalar]:
        y = one_hot(y, num_classes)
        if not objective.consistency:
            return bound_terms(model, key, x, y)
        key, draw_key = jax.random.split(key)
        x, augmented = x
        divergence = posterior_divergence(model, draw_key, x, augmented, y)
        return {**bound_terms(model, key, x, y), "consistency": divergence}

    return loss_terms


def build_prepare(config: Config) -> Callable[[Key, Any], Any]:
    """From the stored training images to what the loss takes."""
    if config.objective.consistency:
        return data.make_prepare_pair(config.data.binarization)
    return data.make_prepare(config.data.binarization, training=True)


def build_training(
    config: Config,
    image_shape: tuple[int, ...],
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    *,
    num_classes: int = 0,
) -> tuple[TrainState, TrainStep]:
    """The state before the first step, and the step.

    Args:
        config: of the run.
        image_shape: `(C, H, W)`.
        images: training images `(N, C, H, W)`, whose first batch initialises what is weight-normalised;
            None where the state is only what a checkpoint is read into.
        labels: their classes `(N,)`; None where the model is not conditional.
        num_classes: Y, of the data set; 0 likewise.
    """
    config.check()
    optimizer = build_optimizer(config)
    decay = config.optimizer.ema_decay
    model = build_model(config, image_shape, make_key(config, "model"), num_classes)
    if images is not None:
        first = slice(config.batch_size)
        y = None if labels is None else one_hot(jnp.asarray(labels[first]), num_classes)
        model = _initialized(model, config, images[first], y)
    state = init_state(model, optimizer, make_key(config, "train"), ema=decay is not None)
    objective = config.objective
    options = {
        name: value for name, value in objective.options().items() if name not in ("num_samples", "kl")
    }
    step = make_train_step(
        make_loss_terms(config, num_classes),
        optimizer,
        combine=make_loss(objective.bound, **options),
        ema_decay=decay,
        num_parts=config.num_parts,
    )
    return state, step


def _initialized(model: VAE, config: Config, images: np.ndarray, y: Any) -> VAE:
    """The model with what is weight-normalised initialised from a batch."""
    prepare_key, draws_key = jax.random.split(make_key(config, "initialize"))
    x = data.make_prepare(config.data.binarization, training=True)(prepare_key, jnp.asarray(images))
    return initialize_from_data(model, log_weight, jax.random.split(draws_key, len(x)), x, y)
