"""Autoregressive flows: z'_i = t(z_i; p_i(z_<i, context)), with the parameters p from a MADE."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive
from jaxvae._typing import Context, Latent, Scalar
from jaxvae.flows.base import Flow, implicit_inverse
from jaxvae.nn import MADE

# The parameters of an elementwise map: P of them for each of any number of elements.
Parameters = Float[Array, "P D"]


class Elementwise(eqx.Module):
    """An increasing map t of each element, with `num_parameters` parameters for each."""

    @property
    @abc.abstractmethod
    def num_parameters(self) -> int:
        """P, of each element."""

    @abc.abstractmethod
    def forward_and_log_slope(self, z: Latent, parameters: Parameters) -> tuple[Latent, Latent]:
        """t(z) and log t'(z), both `(D,)`."""

    @abc.abstractmethod
    def inverse(self, z: Latent, parameters: Parameters) -> Latent:
        """t^-1(z), `(D,)`; it needs no gradient."""


class Autoregressive(Flow):
    """An elementwise map whose parameters come from the elements before it in the order.

    The Jacobian is triangular, so log |det| = sum_i log t'(z_i): one pass of the MADE gives both
    (Kingma et al. 2016, section 3, arXiv:1606.04934). There are two inverses: `sequential`, one element
    after the other, D passes; and `parallel`, all elements at once until none moves by more than
    `tolerance`, which is exact after D sweeps at the latest and near it after few (Song et al. 2021,
    algorithm 1, arXiv:2002.03629).

    Args:
        made: gives `elementwise.num_parameters` outputs for each input.
        elementwise: t.
        inverse: `parallel` or `sequential`.
        tolerance: of the last sweep's change, relative to 1 + |z|; ten units of rounding where None.

    Raises:
        ValueError: if `inverse` is unknown or the tolerance is not positive.
    """

    has_inverse: ClassVar[bool] = True
    made: MADE
    elementwise: Elementwise
    inverse: str = eqx.field(static=True)
    tolerance: float | None = eqx.field(static=True)

    def __init__(
        self,
        made: MADE,
        elementwise: Elementwise,
        *,
        inverse: str = "parallel",
        tolerance: float | None = None,
    ):
        expect_choice("inverse", inverse, ["parallel", "sequential"])
        if tolerance is not None:
            expect_positive("tolerance", tolerance)
        self.made, self.elementwise = made, elementwise
        self.inverse, self.tolerance = inverse, tolerance

    def forward_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """One pass of the MADE."""
        z, log_slopes = self.elementwise.forward_and_log_slope(z, self.made(z, context))
        return z, jnp.sum(log_slopes)

    def inverse_and_log_det(self, z: Latent, context: Context | None = None) -> tuple[Latent, Scalar]:
        """By `inverse`."""
        solver = self._parallel if self.inverse == "parallel" else self._sequential
        return implicit_inverse(self, lambda start: solver(start, context), z, context)

    def _sequential(self, z: Latent, context: Context | None) -> Latent:
        places = jnp.argsort(jnp.asarray(self.made.order))

        def set_one(found: Latent, place: Array) -> tuple[Latent, None]:
            parameters = self.made(found, context)[:, place]
            element = self.elementwise.inverse(z[place][None], parameters[:, None])
            return found.at[place].set(element[0]), None

        found, _ = jax.lax.scan(set_one, jnp.zeros_like(z), places)
        return found

    def _parallel(self, z: Latent, context: Context | None) -> Latent:
        tolerance = 10 * jnp.finfo(z.dtype).eps if self.tolerance is None else self.tolerance

        def moves(carry: tuple[Latent, Scalar, Scalar]) -> Array:
            _, change, sweeps = carry
            return (change > tolerance) & (sweeps < len(z))

        def sweep(carry: tuple[Latent, Scalar, Scalar]) -> tuple[Latent, Scalar, Scalar]:
            found, _, sweeps = carry
            new = self.elementwise.inverse(z, self.made(found, context))
            change = jnp.max(jnp.abs(new - found) / (1 + jnp.abs(found)))
            return new, change, sweeps + 1

        start = z, jnp.full((), jnp.inf, z.dtype), jnp.zeros((), jnp.int32)
        return jax.lax.while_loop(moves, sweep, start)[0]
