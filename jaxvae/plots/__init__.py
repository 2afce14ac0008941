"""Pictures from arrays: matplotlib figures, and the files made of them."""

from jaxvae.plots.animation import LatentFrame as LatentFrame
from jaxvae.plots.animation import save_animation as save_animation
from jaxvae.plots.curves import compare_curves as compare_curves
from jaxvae.plots.curves import curves as curves
from jaxvae.plots.curves import log_p_histogram as log_p_histogram
from jaxvae.plots.figures import PALETTE as PALETTE
from jaxvae.plots.figures import save_figure as save_figure
from jaxvae.plots.images import class_grid as class_grid
from jaxvae.plots.images import image_grid as image_grid
from jaxvae.plots.images import interpolations as interpolations
from jaxvae.plots.images import manifold as manifold
from jaxvae.plots.images import pair as pair
from jaxvae.plots.images import reconstructions as reconstructions
from jaxvae.plots.images import save_images as save_images
from jaxvae.plots.images import tile as tile
from jaxvae.plots.images import to_png as to_png
from jaxvae.plots.latents import TSNE_STEPS as TSNE_STEPS
from jaxvae.plots.latents import kl_per_latent as kl_per_latent
from jaxvae.plots.latents import scatter as scatter
from jaxvae.plots.latents import tsne as tsne
