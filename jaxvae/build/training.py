"""What a run needs besides its model: keys, data, the optimiser, the state and the step."""

import dataclasses
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
from jaxvae.model import VAE, log_weight, make_log_weight_terms, posterior_divergence
from jaxvae.nn import initialize_from_data
from jaxvae.objectives import elbo_terms, make_loss
from jaxvae.train import TrainState, init_state, make_optimizer, make_train_step
from jaxvae.train.optimizers import make_schedule
from jaxvae.train.step import TrainStep


def make_key(config: Config, purpose: str) -> Key:
    """The root key of one purpose; no two purposes share a draw."""
    purposes = ("model", "train", "monitor", "evaluate", "initialize", "simulate")
    return jax.random.fold_in(jax.random.key(config.seed), purposes.index(purpose))


def build_dataset(config: Config) -> data.Dataset:
    """Reads the data set."""
    config.check()
    source = config.data.dir or "mnist"
    return data.load_dataset(
        source, binarization=config.data.binarization, num_validation=config.data.num_validation
    )


def build_optimizer(config: Config) -> optax.GradientTransformation:
    """The optimiser with its schedule."""
    options = config.optimizer
    schedule = make_schedule(
        options.schedule,
        options.learning_rate,
        num_steps=config.steps,
        warmup_steps=options.warmup_steps,
        decay_every=options.decay_every,
        decay_factor=options.decay_factor,
    )
    return make_optimizer(
        options.name,
        schedule,
        weight_decay=options.weight_decay,
        max_gradient_norm=options.max_gradient_norm,
    )


def make_loss_terms(config: Config) -> Callable[[VAE, Key, Any, Any], dict[str, Scalar]]:
    """The terms of one example's loss: with consistency regularisation, x comes with its augmentation."""

    def loss_terms(model: VAE, key: Key, x, y) -> dict[str, Scalar]:
        return elbo_terms(make_log_weight_terms(model, x, y), key)

    def with_consistency(model: VAE, key: Key, pair, y) -> dict[str, Scalar]:
        key, draw_key = jax.random.split(key)
        terms = loss_terms(model, key, pair[0], y)
        x, augmented = pair
        return {**terms, "consistency": posterior_divergence(model, draw_key, x, augmented, y)}

    return with_consistency if config.objective.consistency else loss_terms


def build_prepare(config: Config) -> Callable[[Key, Any], Any]:
    """From the stored training images to what the loss takes."""
    if config.objective.consistency:
        return data.make_prepare_pair(config.data.binarization)
    return data.make_prepare(config.data.binarization, training=True)


def build_training(
    config: Config, image_shape: tuple[int, ...], images: np.ndarray | None = None
) -> tuple[TrainState, TrainStep]:
    """The state before the first step, and the step.

    Args:
        config: of the run.
        image_shape: `(C, H, W)`.
        images: training images `(N, C, H, W)`, whose first batch initialises what is weight-normalised;
            None where the state is only what a checkpoint is read into.
    """
    config.check()
    optimizer = build_optimizer(config)
    decay = config.optimizer.ema_decay
    model = build_model(config, image_shape, make_key(config, "model"))
    if images is not None:
        prepare_key, draws_key = jax.random.split(make_key(config, "initialize"))
        prepare = data.make_prepare(config.data.binarization, training=True)
        x = prepare(prepare_key, jnp.asarray(images[: config.batch_size]))
        model = initialize_from_data(model, log_weight, jax.random.split(draws_key, len(x)), x)
    state = init_state(model, optimizer, make_key(config, "train"), ema=decay is not None)
    combine = make_loss(**dataclasses.asdict(config.objective))
    step = make_train_step(
        make_loss_terms(config), optimizer, combine=combine, ema_decay=decay, num_parts=config.num_parts
    )
    return state, step
