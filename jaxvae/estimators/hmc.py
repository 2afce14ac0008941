"""Hamiltonian moves that leave a tempered density invariant."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxvae._typing import Key, Latent, LogJointFn, Scalar

_JITTER = 0.5


class Position(NamedTuple):
    """A latent, and the two ends of the path there with their gradients.

    The density at inverse temperature beta is start(z)^(1 - beta) joint(z)^beta, so that neither has to be
    computed again when the temperature changes.
    """

    z: Latent
    log_start: Scalar
    log_joint: Scalar
    grad_start: Latent
    grad_joint: Latent


class State(NamedTuple):
    """A chain: where it is, and its momentum `(D,)`."""

    position: Position
    momentum: Latent


class Info(NamedTuple):
    """What a move was like.

    Args:
        acceptance: probability with which it was accepted.
        is_nan: whether a log density or its gradient was NaN where the move led to.
    """

    acceptance: Scalar
    is_nan: Bool[Array, ""]


class Path(NamedTuple):
    """From the log density of the start to that of the target, both of one latent `(D,)`, in nats."""

    log_start_fn: LogJointFn
    log_joint_fn: LogJointFn

    def at(self, z: Latent) -> Position:
        """Both and their gradients."""
        log_start, grad_start = jax.value_and_grad(_scalar(self.log_start_fn))(z)
        log_joint, grad_joint = jax.value_and_grad(_scalar(self.log_joint_fn))(z)
        return Position(z, log_start, log_joint, grad_start, grad_joint)

    def gradient(self, z: Latent, beta: Scalar) -> Latent:
        """Of the log density at inverse temperature `beta`."""
        grad_start, grad_joint = (jax.grad(_scalar(fn))(z) for fn in self)
        return mix(beta, grad_start, grad_joint)


def _scalar(log_density_fn: LogJointFn) -> LogJointFn:
    return lambda z: jnp.asarray(log_density_fn(z), jnp.float32)


def mix(beta: Scalar, start: Array, joint: Array) -> Array:
    """(1 - beta) start + beta joint."""
    return (1 - beta) * start + beta * joint


def is_nan(position: Position) -> Bool[Array, ""]:
    """Whether a log density, or the gradient of a finite one, is NaN at a latent that has not run away."""
    densities = ((position.log_start, position.grad_start), (position.log_joint, position.grad_joint))
    bad = [jnp.isnan(d) | (jnp.isfinite(d) & jnp.any(jnp.isnan(gradient))) for d, gradient in densities]
    return jnp.isfinite(jnp.sum(position.z**2)) & (bad[0] | bad[1])


def make_move(path: Path, *, num_leapfrog: int, persistence: float) -> Callable:
    """A Hamiltonian move with a Metropolis test and a momentum of which a part is kept.

    Horowitz 1991 (doi:10.1016/0370-2693(91)90812-5), as in Sohl-Dickstein & Culpepper 2012, section 2.3,
    arXiv:1205.1925: leapfrog steps of a size drawn around the given one (Neal 2011, section 5.4.2.2,
    arXiv:1206.1901); the end is accepted or else the momentum is turned round; then the momentum is partly
    drawn again.

    Args:
        path: the densities.
        num_leapfrog: leapfrog steps of a move, each with one gradient.
        persistence: a, of the momentum's refreshment to a v + sqrt(1 - a^2) n; 0 draws it afresh.

    Returns:
        `move(key, state, beta, step_size) -> (state, info)`, for one chain.
    """

    def leapfrog(state: State, beta: Scalar, step_size: Scalar) -> State:
        position, momentum = state
        momentum = momentum + 0.5 * step_size * mix(beta, position.grad_start, position.grad_joint)
        z = position.z + step_size * momentum

        def inner(carry: tuple[Latent, Latent], _: None) -> tuple[tuple[Latent, Latent], None]:
            z, momentum = carry
            momentum = momentum + step_size * path.gradient(z, beta)
            return (z + step_size * momentum, momentum), None

        (z, momentum), _ = jax.lax.scan(inner, (z, momentum), length=num_leapfrog - 1)
        position = path.at(z)
        momentum = momentum + 0.5 * step_size * mix(beta, position.grad_start, position.grad_joint)
        return State(position, momentum)

    def move(key: Key, state: State, beta: Scalar, step_size: Scalar) -> tuple[State, Info]:
        step_key, accept_key, momentum_key = jax.random.split(key, 3)
        # Of one size, the steps would take some directions round in full circles, back to where they were.
        step_size = step_size * jax.random.uniform(step_key, minval=1 - _JITTER, maxval=1 + _JITTER)
        proposal = leapfrog(state, beta, step_size)
        log_ratio = _log_density(proposal, beta) - _log_density(state, beta)
        # A trajectory that left for infinity is one more that is not accepted.
        acceptance = jnp.where(jnp.isnan(log_ratio), 0.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
        accepted = jax.random.uniform(accept_key) < acceptance
        turned = State(state.position, -state.momentum)
        position, momentum = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposal, turned)
        fresh = jax.random.normal(momentum_key, momentum.shape)
        momentum = persistence * momentum + jnp.sqrt(1 - persistence**2) * fresh
        return State(position, momentum), Info(acceptance, is_nan(proposal.position))

    return move


def _log_density(state: State, beta: Scalar) -> Scalar:
    position, momentum = state
    return mix(beta, position.log_start, position.log_joint) - 0.5 * jnp.sum(momentum**2)
