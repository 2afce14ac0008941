"""Normalising flows: invertible maps of a latent, for posteriors and priors."""

from jaxvae.flows.autoregressive import Autoregressive as Autoregressive
from jaxvae.flows.autoregressive import Elementwise as Elementwise
from jaxvae.flows.base import Chain as Chain
from jaxvae.flows.base import Flow as Flow
from jaxvae.flows.base import Reverse as Reverse
from jaxvae.flows.base import as_bijector as as_bijector
from jaxvae.flows.base import implicit_inverse as implicit_inverse
from jaxvae.flows.iaf import Affine as Affine
from jaxvae.flows.iaf import Gated as Gated
from jaxvae.flows.iaf import Shift as Shift
from jaxvae.flows.recipes import iaf as iaf
