"""Weight normalisation, and its initialisation from data."""

import collections
import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, Float

_AXIS = "examples"
# While not None: the gains and biases from data of every `WeightNorm` called so far, by identity.
_records: contextvars.ContextVar[dict[int, list] | None] = contextvars.ContextVar("records", default=None)


class WeightNorm(eqx.Module):
    """The last part of a weight-normalised layer: gain * y / ||v|| + bias, with y = v x.

    Salimans & Kingma 2016, eq. 2, arXiv:1602.07868. Scaling the outputs costs less than scaling the
    weights, and is the same.

    Args:
        norms: ||v|| of the initial weights of each output; the initial gain, so that normalising changes
            nothing until it is trained or initialised from data.
        init_scale: standard deviation of the outputs after `initialize_from_data`.
    """

    gain: Float[Array, " out"]
    bias: Float[Array, " out"]
    init_scale: float = eqx.field(static=True)

    def __init__(self, norms: Float[Array, " out"], *, init_scale: float = 1.0):
        self.gain = norms
        self.bias = jnp.zeros_like(norms)
        self.init_scale = init_scale

    def __call__(self, y: Float[Array, " out"], norms: Float[Array, " out"]) -> Float[Array, " out"]:
        """Scales and shifts the outputs of one example.

        Args:
            y: v x.
            norms: ||v|| of each output.
        """
        direction = y / norms
        records = _records.get()
        if records is None:
            return self.gain * direction + self.bias
        gain, bias = self._from_data(direction)
        # A callback gets out of whatever `vmap` the layer is called in, such as distrax's over draws.
        io_callback(partial(_append, records[id(self)]), None, gain, bias)
        return gain * direction + bias

    def _from_data(self, direction: Array) -> tuple[Array, Array]:
        mean = jax.lax.pmean(direction, _AXIS)
        deviation = jnp.sqrt(jax.lax.pmean((direction - mean) ** 2, _AXIS))
        # An output that is the same for every example, such as MADE's first, has no scale to set.
        gain = self.init_scale / jnp.where(deviation > 1e-6, deviation, self.init_scale)
        return gain, -mean * gain


def _append(record: list, gain: Array, bias: Array) -> None:
    record.append((np.asarray(gain), np.asarray(bias)))


def initialize_from_data(model: Any, function: Callable[..., Any], *examples: Any) -> Any:
    """Sets every gain and bias so that each normalised layer's outputs have mean 0 and a chosen deviation.

    Salimans & Kingma 2016, eq. 5-6, arXiv:1602.07868. One pass: a layer sees what the layers before it
    give with their new gains. A layer that is called several times gets the mean of what each call gives.

    Args:
        model: a pytree with `WeightNorm`s in it.
        function: `(model, *example)`, a pass through the model for one example, such as a loss; what it
            returns is not used.
        examples: arrays or pytrees with a leading axis over the examples, one for each further argument.

    Returns:
        The model with its new gains and biases; without a `WeightNorm`, as it was.
    """
    nodes = jax.tree.leaves(model, is_leaf=_is_norm)
    if not any(_is_norm(node) for node in nodes):
        return model
    records: dict[int, list] = collections.defaultdict(list)
    token = _records.set(records)
    try:
        # The model is closed over, not passed in: a transformation would rebuild its arguments, and the
        # layers would not be known again.
        jax.block_until_ready(jax.vmap(partial(function, model), axis_name=_AXIS)(*examples))
        jax.effects_barrier()
    finally:
        _records.reset(token)

    def replace(node: Any) -> Any:
        if not _is_norm(node) or not records[id(node)]:
            return node
        gain, bias = (jnp.mean(jnp.stack(values), axis=0) for values in zip(*records[id(node)], strict=True))
        return eqx.tree_at(lambda norm: (norm.gain, norm.bias), node, (gain, bias))

    return jax.tree.map(replace, model, is_leaf=_is_norm)


def _is_norm(node: Any) -> bool:
    return isinstance(node, WeightNorm)
