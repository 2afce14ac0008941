"""What a training run consists of at one step."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from jaxvae._typing import Key, Scalar


class TrainState(eqx.Module):
    """Everything that the next step depends on, and nothing else.

    Args:
        model: the parameters being trained.
        optimizer_state: optax's state.
        ema: exponential moving average of the parameters, or None.
        step: steps done so far.
        key: the root key; step t draws from `fold_in(key, t)`.
    """

    model: Any
    optimizer_state: optax.OptState
    ema: Any
    step: Scalar
    key: Key

    @property
    def eval_model(self) -> Any:
        """The model to evaluate: with the averaged parameters where they are kept."""
        return self.model if self.ema is None else eqx.combine(self.ema, self.model)


def init_state(
    model: Any, optimizer: optax.GradientTransformation, key: Key, *, ema: bool = False
) -> TrainState:
    """The state before the first step.

    Every array is copied: the train step donates its state, and `model` and `key` stay usable.

    Args:
        model: a pytree whose inexact arrays are the parameters.
        optimizer: from optax.
        key: the root key of the run.
        ema: whether to keep an exponential moving average of the parameters.
    """
    parameters = eqx.filter(model, eqx.is_inexact_array)
    state = TrainState(
        model=model,
        optimizer_state=optimizer.init(parameters),
        ema=parameters if ema else None,
        step=jnp.zeros((), jnp.int32),
        key=key,
    )
    return jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, state)
