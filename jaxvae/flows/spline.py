"""Monotonic rational-quadratic splines (Durkan et al. 2019, arXiv:1906.04032)."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxvae._checks import expect_in_range, expect_positive
from jaxvae._typing import Latent
from jaxvae.flows.autoregressive import Elementwise, Parameters
from jaxvae.nn.activations import softplus

_SMALLEST_BIN = 1e-3
_SMALLEST_SLOPE = 1e-3


class _Bin(NamedTuple):
    """The bin that each element falls in: its corner, its size and the slopes at its ends, all `(D,)`."""

    x: Latent
    y: Latent
    width: Latent
    height: Latent
    slope: Latent
    next_slope: Latent

    @property
    def secant(self) -> Latent:
        """S, the mean slope."""
        return self.height / self.width


class RationalQuadraticSpline(Elementwise):
    """An increasing spline of quotients of quadratics between -B and B, the identity beyond; eq. 4-8.

    Widths and heights of the bins are softmaxes, the slopes at the inner knots softplus, 1 at the ends.
    With parameters 0 it is the identity. The inverse has a closed form.

    Args:
        num_bins: N.
        bound: B.

    Raises:
        ValueError: if N is below 2 or so large that no bin is left; if B is not positive and finite.
    """

    num_bins: int = eqx.field(static=True, default=8)
    bound: float = eqx.field(static=True, default=5.0)

    def __check_init__(self):
        expect_in_range("num_bins", self.num_bins, 2, round(1 / _SMALLEST_BIN))
        expect_positive("bound", self.bound)
        expect_in_range("bound", self.bound, 0, float("inf"))

    @property
    def num_parameters(self) -> int:
        """3 N - 1: widths, heights and inner slopes, before their constraints."""
        return 3 * self.num_bins - 1

    def forward_and_log_slope(self, z: Latent, parameters: Parameters) -> tuple[Latent, Latent]:
        """Eq. 4 and 5."""
        inside = jnp.clip(z, -self.bound, self.bound)
        b = self._bin_of(inside, parameters, by_height=False)
        t = (inside - b.x) / b.width
        bend = b.slope + b.next_slope - 2 * b.secant
        below = b.secant + bend * t * (1 - t)
        value = b.y + b.height * (b.secant * t**2 + b.slope * t * (1 - t)) / below
        slope = b.next_slope * t**2 + 2 * b.secant * t * (1 - t) + b.slope * (1 - t) ** 2
        log_slope = 2 * jnp.log(b.secant) + jnp.log(slope) - 2 * jnp.log(below)
        is_inside = jnp.abs(z) < self.bound
        return jnp.where(is_inside, value, z), jnp.where(is_inside, log_slope, 0.0)

    def inverse(self, z: Latent, parameters: Parameters) -> Latent:
        """Eq. 6 to 8, the stable root of a quadratic."""
        inside = jnp.clip(z, -self.bound, self.bound)
        b = self._bin_of(inside, parameters, by_height=True)
        rise, bend = inside - b.y, b.slope + b.next_slope - 2 * b.secant
        quadratic = b.height * (b.secant - b.slope) + rise * bend
        linear = b.height * b.slope - rise * bend
        constant = -b.secant * rise
        root = jnp.sqrt(jnp.maximum(linear**2 - 4 * quadratic * constant, 0.0))
        value = b.x + b.width * 2 * constant / (-linear - root)
        return jnp.where(jnp.abs(z) < self.bound, value, z)

    def _bin_of(self, z: Latent, parameters: Parameters, *, by_height: bool) -> _Bin:
        raw_widths, raw_heights, raw_slopes = jnp.split(parameters, (self.num_bins, 2 * self.num_bins))
        x, y = self._knots(raw_widths), self._knots(raw_heights)
        # Such that every slope is 1 at 0.
        shifted = raw_slopes + np.log(np.expm1(1 - _SMALLEST_SLOPE))
        slopes = jnp.pad(_SMALLEST_SLOPE + softplus(shifted), ((1, 1), (0, 0)), constant_values=1.0)
        edges = y if by_height else x
        # A mask and a sum cost less than a gather; the last bin takes its upper edge as well.
        is_in = jnp.diff((z >= edges[:-1]).astype(z.dtype), axis=0, append=jnp.zeros((1, *z.shape))) < 0

        def take(values: Array) -> Latent:
            return jnp.sum(jnp.where(is_in, values, 0), axis=0)

        left, low = take(x[:-1]), take(y[:-1])
        width, height = take(x[1:]) - left, take(y[1:]) - low
        return _Bin(left, low, width, height, take(slopes[:-1]), take(slopes[1:]))

    def _knots(self, raw: Array) -> Array:
        """`(N + 1, D)`, from -B to B."""
        sizes = _SMALLEST_BIN + (1 - _SMALLEST_BIN * self.num_bins) * jax.nn.softmax(raw, axis=0)
        inner = self.bound * (2 * jnp.cumsum(sizes[:-1], axis=0) - 1)
        return jnp.pad(
            jnp.pad(inner, ((1, 0), (0, 0)), constant_values=-self.bound),
            ((0, 1), (0, 0)),
            constant_values=self.bound,
        )
