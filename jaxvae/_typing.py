"""Array aliases and the letters of every shape in this library.

B batch, K samples, T temperatures, D latent, C H W image, Y classes, F features.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jaxtyping
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

Key = PRNGKeyArray
Scalar = Float[Array, ""]
Int = jaxtyping.Int[Array, ""]
Latent = Float[Array, " D"]
Context = Float[Array, " F"]
Label = Float[Array, " Y"]
Image = Float[Array, "C H W"]
Bytes = UInt8[Array, "N C H W"]

# log_weight_fn(key) = log p(x, z) - log q(z | x) at a fresh draw z ~ q(z | x), for one fixed x.
LogWeightFn = Callable[[Key], Scalar]
# path_weight_fn(key, slope=1.0) = the same, with a gradient that reaches the posterior's parameters through z
# alone, and times `slope`.
PathWeightFn = Callable[..., Scalar]
# log_joint_fn(z) = log p(x, z), for one fixed x.
LogJointFn = Callable[[Latent], Scalar]


class LogWeightTerms(NamedTuple):
    """What a log-weight consists of, log_p_x_given_z + log_p_z - log_q_z, in nats."""

    log_p_x_given_z: Scalar
    log_p_z: Scalar
    log_q_z: Scalar

    @property
    def log_weight(self) -> Scalar:
        """Their sum."""
        return self.log_p_x_given_z + self.log_p_z - self.log_q_z


class Distribution(Protocol):
    """What can be drawn from and scored, as distrax has it."""

    def sample(self, *, seed: Any) -> Any:
        """One draw."""
        ...

    def log_prob(self, value: Any) -> Any:
        """Log density at a value, in nats."""
        ...
