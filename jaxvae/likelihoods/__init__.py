"""p(x | z, y): what a decoder's output says about the pixels."""

from jaxvae.likelihoods.base import Likelihood as Likelihood
from jaxvae.likelihoods.base import PixelDistribution as PixelDistribution
from jaxvae.likelihoods.bernoulli import Bernoulli as Bernoulli
from jaxvae.likelihoods.bernoulli import ContinuousBernoulli as ContinuousBernoulli
from jaxvae.likelihoods.discrete import Categorical as Categorical
from jaxvae.likelihoods.discrete import DiscretizedLogistic as DiscretizedLogistic
from jaxvae.likelihoods.discrete import LogisticMixture as LogisticMixture
from jaxvae.likelihoods.gaussian import Gaussian as Gaussian
from jaxvae.likelihoods.recipes import Recipe as Recipe
from jaxvae.likelihoods.recipes import categorical as categorical
from jaxvae.likelihoods.recipes import discretized_logistic as discretized_logistic
from jaxvae.likelihoods.recipes import make_gaussian as make_gaussian
from jaxvae.likelihoods.recipes import make_logistic_mixture as make_logistic_mixture
