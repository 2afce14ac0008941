"""Annealed importance sampling for `speed.py`: gradients per second.

Every gradient of log p(x, z) counts, but for the one where a chain starts.
"""

import dataclasses
import time

import equinox as eqx
import jax
import jax.numpy as jnp
from cases import Case, timed
from flops import multiply_adds
from peer import Peer

from jaxvae import annealed_log_likelihood, noise_space
from jaxvae.build import build_training
from jaxvae.config import Config
from jaxvae.estimators import linear_schedule
from jaxvae.estimators.ais import _SETTLING_MOVES as SETTLING_MOVES

NUM_CHAINS = 16
NUM_TEMPERATURES = 10
NUM_LEAPFROG = 10


def ais_gigaflop(config: Config, image_shape: tuple[int, ...], num_gradients: int = 1000) -> float:
    """For each gradient, with its share of what is done once for the image."""
    config = dataclasses.replace(config, precision="float32")
    state = eqx.filter_eval_shape(lambda: build_training(config, image_shape)[0])
    x = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    eps = jax.ShapeDtypeStruct((num_gradients, config.model.latent_dim), jnp.float32)

    def gradients(model, x, eps):
        return jax.vmap(jax.grad(noise_space(model, x).log_joint_fn))(eps)

    return 2 * multiply_adds(gradients, state.model, x, eps) / num_gradients / 1e9


def ais_case(config: Config, images, precision: str, chunk_size: int, gigaflop: float) -> Case:
    """Hamiltonian annealed importance sampling from the posterior, in the space of its noise."""
    config = dataclasses.replace(config, precision=precision)
    state, _ = build_training(config, images.shape[1:])
    options = {"num_chains": NUM_CHAINS, "num_leapfrog": NUM_LEAPFROG, "chunk_size": chunk_size}
    schedule = linear_schedule(NUM_TEMPERATURES)

    def estimate(model, key, x):
        log_joint_fn, start, _ = noise_space(model, x)
        return annealed_log_likelihood(log_joint_fn, start, key, schedule=schedule, **options).log_p

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
