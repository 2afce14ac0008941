"""What a flow is, how flows compose, and how distrax sees them."""

import abc
from collections.abc import Callable, Sequence
from typing import ClassVar

import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxvae._checks import expected
from jaxvae._typing import Context, Latent, Scalar
from jaxvae.flows.linear_algebra import invert


class Flow(eqx.Module):
    """An invertible map of one latent `(D,)`, which a context `(F,)` may shape.

    A flow says whether it can be inverted, `has_inverse`; one that cannot inherits an
    `inverse_and_log_det` that refuses.
    """

    has_inverse: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def forward_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """f(z) and log |det df/dz|, in nats.

        Args:
            z: latent `(D,)`.
            context: `(F,)`, or None for a flow without one.
        """

    def inverse_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """f^-1(z) and log |det df^-1/dz|, in nats.

        Raises:
            ValueError: if the flow has no inverse.
        """
        raise expected("a flow with an inverse", "(has_inverse)", type(self).__name__)


class Chain(Flow):
    """Flows one after the other, the first in the tuple first (`distrax.Chain` has its last first).

    All of them are given the same context.

    Args:
        flows: at least one.

    Raises:
        ValueError: if there is none.
    """

    flows: tuple[Flow, ...]

    def __init__(self, flows: Sequence[Flow]):
        if not flows:
            raise expected("a chain", "to have at least one flow", "none")
        self.flows = tuple(flows)

    @property
    def has_inverse(self) -> bool:
        """Whether every flow of it has one."""
        return all(flow.has_inverse for flow in self.flows)

    def forward_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """The composition, and the sum of the log-determinants."""
        total = jnp.zeros((), z.dtype)
        for flow in self.flows:
            z, log_det = flow.forward_and_log_det(z, context)
            total = total + log_det
        return z, total

    def inverse_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """The inverses in reverse order."""
        total = jnp.zeros((), z.dtype)
        for flow in reversed(self.flows):
            z, log_det = flow.inverse_and_log_det(z, context)
            total = total + log_det
        return z, total


class Reverse(Flow):
    """The latent back to front, so that what came last in an autoregressive step comes first in the next.

    Kingma et al. 2016, section 3, arXiv:1606.04934. It is its own inverse.
    """

    has_inverse: ClassVar[bool] = True

    def forward_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """The reversed latent, and 0."""
        return z[::-1], jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """The same."""
        return self.forward_and_log_det(z, context)


def implicit_inverse(
    flow: Flow, solve: Callable[[Latent], Latent], z: Latent, context: Context | None
) -> tuple[Latent, Scalar]:
    """The inverse by a solver that needs no gradient, differentiable by the implicit function theorem.

    The derivative of f^-1 is the inverse of f's Jacobian, in forward and in reverse mode, for z, the
    context and the parameters alike. Only a gradient pays for it.

    Args:
        flow: whose `forward_and_log_det` defines the map.
        solve: from z to f^-1(z).
        z: latent `(D,)`.
        context: as the flow takes it.

    Returns:
        f^-1(z) and log |det df^-1/dz|.
    """

    def residual(candidate: Latent) -> Latent:
        return flow.forward_and_log_det(candidate, context)[0] - z

    def tangent_solve(linear: Callable[[Latent], Latent], right: Latent) -> Latent:
        # Where the Jacobian is taken does not matter; away from `right`, the solution is linear in it.
        return invert(jax.jacobian(linear)(jnp.zeros_like(right))) @ right

    guess = jax.lax.stop_gradient(z)
    root = jax.lax.custom_root(residual, guess, lambda _, start: solve(start), tangent_solve)
    return root, -flow.forward_and_log_det(root, context)[1]


class _FlowBijector(distrax.Bijector):
    """See `as_bijector`."""

    def __init__(self, flow: Flow, context: Context | None):
        super().__init__(event_ndims_in=1)
        self._flow = flow
        self._context = context

    def forward_and_log_det(self, x: Array) -> tuple[Array, Array]:
        """The map and its log-determinant, for latents `(..., D)`."""
        self._check_forward_input_shape(x)
        return self._over_leading_axes(self._flow.forward_and_log_det, x)

    def inverse_and_log_det(self, y: Array) -> tuple[Array, Array]:
        """The inverse and its log-determinant, for latents `(..., D)`."""
        self._check_inverse_input_shape(y)
        return self._over_leading_axes(self._flow.inverse_and_log_det, y)

    def same_as(self, other: distrax.Bijector) -> bool:
        """Whether it is this very object.

        Raises:
            NotImplementedError: if not. With False, distrax would compare the two programs, which are alike
                whatever the parameters and the context, and take the divergence of the bases for that of
                the flows.
        """
        if other is self:
            return True
        raise NotImplementedError("The KL divergence between two flows has no closed form.")

    def _over_leading_axes(self, function: Callable, latents: Array) -> tuple[Array, Array]:
        def one(latent: Latent) -> tuple[Latent, Scalar]:
            return function(latent, self._context)

        for _ in range(latents.ndim - 1):
            one = jax.vmap(one)
        return one(latents)


def as_bijector(flow: Flow, context: Context | None = None) -> distrax.Bijector:
    """The flow, at one context, as distrax has bijectors: for `Transformed`, `Chain` and `Inverse`.

    Use it where it was made: a distrax object should not cross an `equinox.filter_jit` boundary.

    Args:
        flow: what to wrap.
        context: `(F,)`, or None for a flow without one; the same for every latent.

    Returns:
        A bijector of events `(D,)`, with any leading axes. Its inverse raises `ValueError` where the flow
        has none.

    Raises:
        ValueError: if `context` has other axes than one: `vmap` over contexts instead.
    """
    if context is not None and context.ndim != 1:
        raise expected("the context", "to have one axis", f"shape {context.shape}")
    return _FlowBijector(flow, context)
