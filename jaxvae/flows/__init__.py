"""Normalising flows: invertible maps of a latent, for posteriors and priors."""

from jaxvae.flows.autoregressive import Autoregressive as Autoregressive
from jaxvae.flows.autoregressive import Elementwise as Elementwise
from jaxvae.flows.base import Chain as Chain
from jaxvae.flows.base import Flow as Flow
from jaxvae.flows.base import Reverse as Reverse
from jaxvae.flows.base import as_bijector as as_bijector
from jaxvae.flows.base import implicit_inverse as implicit_inverse
from jaxvae.flows.deep_sigmoid import DeepSigmoid as DeepSigmoid
from jaxvae.flows.iaf import Affine as Affine
from jaxvae.flows.iaf import Gated as Gated
from jaxvae.flows.iaf import Shift as Shift
from jaxvae.flows.planar import Planar as Planar
from jaxvae.flows.recipes import make_iaf as make_iaf
from jaxvae.flows.recipes import make_naf as make_naf
from jaxvae.flows.recipes import make_planar as make_planar
from jaxvae.flows.recipes import make_spline as make_spline
from jaxvae.flows.recipes import make_sylvester as make_sylvester
from jaxvae.flows.spline import RationalQuadraticSpline as RationalQuadraticSpline
from jaxvae.flows.sylvester import Sylvester as Sylvester
