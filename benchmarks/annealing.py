"""Annealed importance sampling for `speed.py`: gradients per second.

Every gradient of log p(x, z) counts, but for the one where a chain starts.
"""

import dataclasses
import time
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from cases import Case, timed
from flops import multiply_adds
from peer import Peer

from jaxvae import log_joint
from jaxvae._typing import LogJointFn
from jaxvae.build import build_training
from jaxvae.config import Config
from jaxvae.estimators import annealed_log_likelihood, linear_schedule
from jaxvae.estimators.ais import _SETTLING_MOVES as SETTLING_MOVES
from jaxvae.model import VAE
from jaxvae.posteriors import noise_bijector
from jaxvae.priors import StandardNormal

NUM_CHAINS = 16
NUM_TEMPERATURES = 10
NUM_LEAPFROG = 10


def make_target(model: VAE, x) -> LogJointFn:
    """Log p(x, z) + log |det dz/deps| of one image, as a function of the posterior's noise eps."""
    bijector = noise_bijector(model.posterior(x, None))

    def target(eps):
        z, log_det = bijector.forward_and_log_det(eps)
        return log_joint(model, cast(Any, z), x) + log_det

    return target


def ais_gigaflop(config: Config, image_shape: tuple[int, ...], num_gradients: int = 1000) -> float:
    """For each gradient, with its share of what is done once for the image."""
    config = dataclasses.replace(config, precision="float32")
    state = eqx.filter_eval_shape(lambda: build_training(config, image_shape)[0])
    x = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    eps = jax.ShapeDtypeStruct((num_gradients, config.model.latent_dim), jnp.float32)

    def gradients(model, x, eps):
        return jax.vmap(jax.grad(make_target(model, x)))(eps)

    return 2 * multiply_adds(gradients, state.model, x, eps) / num_gradients / 1e9


def ais_case(config: Config, images, precision: str, chunk_size: int, gigaflop: float) -> Case:
    """Hamiltonian annealed importance sampling from the posterior, in the space of its noise."""
    config = dataclasses.replace(config, precision=precision)
    state, _ = build_training(config, images.shape[1:])
    schedule, start = linear_schedule(NUM_TEMPERATURES), cast(Any, StandardNormal(config.model.latent_dim)())
    options = {"num_chains": NUM_CHAINS, "num_leapfrog": NUM_LEAPFROG, "chunk_size": chunk_size}

    def estimate(model, key, x):
        return annealed_log_likelihood(make_target(model, x), start, key, schedule=schedule, **options).log_p

    arguments = (state.model, jax.random.split(jax.random.key(0), len(images)), images.astype(jnp.float32))
    begin = time.perf_counter()
    batched = eqx.filter_jit(eqx.filter_vmap(estimate, in_axes=(None, 0, 0)))
    compiled = batched.lower(*arguments).compile()
    compile_seconds = time.perf_counter() - begin
    timed(lambda: compiled(*arguments))
    between = NUM_TEMPERATURES - 1
    settling = max(1, NUM_CHAINS // 4) * (between + SETTLING_MOVES)
    count = len(images) * (NUM_CHAINS * between + settling) * NUM_LEAPFROG
    return Case(
        f"ais {len(images)} x {NUM_CHAINS} by {chunk_size} {precision}",
        lambda: timed(lambda: compiled(*arguments)),
        count,
        count * gigaflop,
        compile_seconds,
    )


def peer_ais_case(peer: Peer, num_images: int, precision: str, mode: str, gigaflop: float) -> Case:
    """The same in PyTorch at step sizes that are given, so without the moves that find them."""
    options = {
        "num_images": num_images,
        "num_chains": NUM_CHAINS,
        "num_temperatures": NUM_TEMPERATURES,
        "num_leapfrog": NUM_LEAPFROG,
    }
    count = num_images * NUM_CHAINS * (NUM_TEMPERATURES - 1) * NUM_LEAPFROG
    name = f"torch ais {num_images} x {NUM_CHAINS} {precision} {mode}"
    return peer.case(name, count, count * gigaflop, kind="ais", precision=precision, compiled=mode, **options)
