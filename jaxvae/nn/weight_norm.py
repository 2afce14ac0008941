"""Weight normalisation, and its initialisation from data."""

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, Float

from jaxvae._checks import expected

_AXIS = "examples"
# During `initialize_from_data`: the gains and biases that each `WeightNorm` has found, by its number.
_found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
# No number is given twice, so that nothing compiled in one initialisation serves in another.
_numbers = itertools.count()


class WeightNorm(eqx.Module):
    """The last part of a weight-normalised layer: gain * y / ||v|| + bias, with y = v x.

    Salimans & Kingma 2016, eq. 2, arXiv:1602.07868. Scaling the outputs costs less than scaling the
    weights, and is the same.

    Args:
        gain: of each output; the initial ||v|| changes nothing before training.
        bias: of each output.
        init_scale: standard deviation of the outputs after `initialize_from_data`.
        number: set during `initialize_from_data` alone.
    """

    gain: Float[Array, " out"]
    bias: Float[Array, " out"]
    init_scale: float = eqx.field(static=True, default=1.0)
    number: int | None = eqx.field(static=True, default=None)

    @property
    def is_initializing(self) -> bool:
        """Whether `initialize_from_data` is at work, and so has to see v x itself."""
        return self.number is not None

    def __call__(self, y: Float[Array, "... out"], norms: Float[Array, " out"]) -> Float[Array, "... out"]:
        """Scales and shifts the outputs of one example.

        Args:
            y: v x; of a convolution, one for each place.
            norms: ||v|| of each output.
        """
        direction = y / norms
        if self.number is None:
            return self.gain * direction + self.bias
        gain, bias = self._from_data(direction)
        # A callback gets out of every transformation, such as distrax's `vmap` over draws.
        io_callback(partial(_keep, self.number), None, gain, bias)
        return gain * direction + bias

    def _from_data(self, direction: Array) -> tuple[Array, Array]:
        places = tuple(range(direction.ndim - 1))
        mean = jax.lax.pmean(jnp.mean(direction, axis=places), _AXIS)
        squares = jnp.mean((direction - mean) ** 2, axis=places)
        deviation = jnp.sqrt(jax.lax.pmean(squares, _AXIS))
        # An output that is the same for every example, such as MADE's first, has no scale to set.
        varies = deviation > 1e-6
        gain = jnp.where(varies, self.init_scale / jnp.where(varies, deviation, 1.0), self.gain)
        return gain, jnp.where(varies, -mean * gain, self.bias)


def _keep(number: int, gain: Array, bias: Array) -> None:
    _found[number].append((np.asarray(gain), np.asarray(bias)))


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

    Raises:
        ValueError: if the pass does not reach every `WeightNorm`.
    """
    nodes = jax.tree.leaves(model, is_leaf=_is_norm)
    numbers = [next(_numbers) for node in nodes if _is_norm(node)]
    if not numbers:
        return model
    _found.update({number: [] for number in numbers})
    try:
        left = iter(numbers)
        numbered = _map_norms(lambda norm: dataclasses.replace(norm, number=next(left)), model)
        # One program: the many small ones of an eager pass take longer to compile.
        passes = eqx.filter_jit(jax.vmap(partial(function, numbered), axis_name=_AXIS))
        jax.block_until_ready(passes(*examples))
        jax.effects_barrier()
    finally:
        found = [_found.pop(number) for number in numbers]
    if not all(found):
        reached = f"{sum(map(bool, found))} of {len(found)}"
        raise expected("a pass through the model", "to reach every weight-normalised layer", reached)
    means = ([jnp.mean(jnp.stack(values), axis=0) for values in zip(*calls, strict=True)] for calls in found)

    def initialize(norm: WeightNorm) -> WeightNorm:
        gain, bias = next(means)
        return dataclasses.replace(norm, gain=gain, bias=bias)

    return _map_norms(initialize, model)


def _is_norm(node: Any) -> bool:
    return isinstance(node, WeightNorm)


def _map_norms(function: Callable[[WeightNorm], WeightNorm], model: Any) -> Any:
    return jax.tree.map(lambda node: function(node) if _is_norm(node) else node, model, is_leaf=_is_norm)
