"""The elementwise maps of inverse autoregressive flow (Kingma et al. 2016, arXiv:1606.04934)."""

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxvae._typing import Latent
from jaxvae.flows.autoregressive import Elementwise, Parameters
from jaxvae.nn.activations import log_sigmoid

# Keeps 1 / gate, and so the inverse, finite.
_LARGEST_GATE = 15.0


class Gated(Elementwise):
    """z' = g z + (1 - g) m with the gate g = sigmoid(s + bias); eq. 12-14.

    Its log-slope is log g = log sigmoid(s + bias). The argument of the sigmoid is clipped to +-15.

    Args:
        bias: 1 to 3 lets most of z through at the start.
    """

    bias: float = eqx.field(static=True, default=2.0)

    @property
    def num_parameters(self) -> int:
        """Two: m and s."""
        return 2

    def forward_and_log_slope(self, z: Latent, parameters: Parameters) -> tuple[Latent, Latent]:
        """Updates each element."""
        m, s = self._split(parameters)
        return m + jax.nn.sigmoid(s) * (z - m), log_sigmoid(s)

    def inverse(self, z: Latent, parameters: Parameters) -> Latent:
        """The quotient (z - (1 - g) m) / g."""
        m, s = self._split(parameters)
        return m + (z - m) / jax.nn.sigmoid(s)

    def _split(self, parameters: Parameters) -> tuple[Latent, Latent]:
        m, s = parameters
        return m, jnp.clip(s + self.bias, -_LARGEST_GATE, _LARGEST_GATE)


class Affine(Elementwise):
    """z' = e^s z + m; eq. 10, with log-slope s = L tanh(s~ / L), bounded so that nothing overflows.

    Args:
        largest: L, in nats.
    """

    largest: float = eqx.field(static=True, default=3.0)

    @property
    def num_parameters(self) -> int:
        """Two: m and s~."""
        return 2

    def forward_and_log_slope(self, z: Latent, parameters: Parameters) -> tuple[Latent, Latent]:
        """Scales and shifts each element."""
        m, s = self._split(parameters)
        return jnp.exp(s) * z + m, s

    def inverse(self, z: Latent, parameters: Parameters) -> Latent:
        """The quotient (z - m) / e^s."""
        m, s = self._split(parameters)
        return (z - m) * jnp.exp(-s)

    def _split(self, parameters: Parameters) -> tuple[Latent, Latent]:
        m, s = parameters
        return m, self.largest * jnp.tanh(s / self.largest)


class Shift(Elementwise):
    """z' = z + m, which keeps the volume (the "mean-only" flow of the paper's appendix)."""

    @property
    def num_parameters(self) -> int:
        """One: m."""
        return 1

    def forward_and_log_slope(self, z: Latent, parameters: Parameters) -> tuple[Latent, Latent]:
        """Shifts each element; log-slope 0."""
        return z + parameters[0], jnp.zeros_like(z)

    def inverse(self, z: Latent, parameters: Parameters) -> Latent:
        """The difference z - m."""
        return z - parameters[0]
