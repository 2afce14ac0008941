"""The elementwise map of neural autoregressive flow (Huang et al. 2018, arXiv:1804.00779)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import expect_positive
from jaxvae._typing import Latent
from jaxvae.flows.autoregressive import Elementwise, Parameters
from jaxvae.flows.roots import find_roots
from jaxvae.nn.activations import log_sigmoid, softplus

_SMALLEST_SLOPE = 1e-3


class DeepSigmoid(Elementwise):
    """z' = logit(sum_h w_h sigmoid(a_h z + b_h)), the deep sigmoidal flow of eq. 8.

    a is positive (a softplus) and w sums to 1 (a softmax), so the map increases from -inf to inf; its
    inverse is found by bisection. All sums are of logarithms, so nothing saturates. With parameters 0 it
    is the identity.

    Args:
        num_units: H, the sigmoids.

    Raises:
        ValueError: if H is not positive.
    """

    num_units: int = eqx.field(static=True, default=16)

    def __check_init__(self):
        expect_positive("num_units", self.num_units)

    @property
    def num_parameters(self) -> int:
        """3 H: a, b and w, before their constraints."""
        return 3 * self.num_units

    def forward_and_log_slope(self, z: Latent, parameters: Parameters) -> tuple[Latent, Latent]:
        """Maps each element."""
        log_w, log_a, t = self._units(z, parameters)
        log_one = log_sigmoid(t)
        log_other = log_one - t
        log_sum = jax.nn.logsumexp(log_w + log_one, axis=0)
        log_rest = jax.nn.logsumexp(log_w + log_other, axis=0)
        log_slope = jax.nn.logsumexp(log_w + log_a + log_one + log_other, axis=0)
        return log_sum - log_rest, log_slope - log_sum - log_rest

    def inverse(self, z: Latent, parameters: Parameters) -> Latent:
        """By bisection."""
        return find_roots(lambda x: self.forward_and_log_slope(x, parameters)[0] - z, z)

    def _units(self, z: Latent, parameters: Parameters) -> tuple[Latent, Latent, Latent]:
        """The three of every unit, log w, log a and a z + b, each `(H, D)`."""
        raw_a, b, raw_w = parameters.reshape(3, self.num_units, -1)
        # Such that a = 1 at 0.
        a = _SMALLEST_SLOPE + (1 - _SMALLEST_SLOPE) * softplus(raw_a + np.log(np.e - 1))
        return jax.nn.log_softmax(raw_w, axis=0), jnp.log(a), a * z + b
