"""Array aliases and the letters of every shape in this library.

B batch, K samples, D latent, C H W image, Y classes, F features.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float, PRNGKeyArray, UInt8

Key = PRNGKeyArray
Scalar = Float[Array, ""]
Latent = Float[Array, " D"]
Context = Float[Array, " F"]
Label = Float[Array, " Y"]
Image = Float[Array, "C H W"]
Bytes = UInt8[Array, "N C H W"]

# log_weight_fn(key) = log p(x, z) - log q(z | x) at a fresh draw z ~ q(z | x), for one fixed x.
LogWeightFn = Callable[[Key], Scalar]


class LogWeightTerms(NamedTuple):
    """What a log-weight consists of, log_p_x_given_z + log_p_z - log_q_z, in nats."""

    log_p_x_given_z: Scalar
    log_p_z: Scalar
    log_q_z: Scalar
