"""What `speed.py` measures of the library: one function for each kind of case."""

import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxvae import importance_log_likelihood, make_log_weight
from jaxvae.build import build_training
from jaxvae.config import Config
from jaxvae.data import make_prepare
from jaxvae.flows import Autoregressive, Gated
from jaxvae.nn import MADE, MaskedLinear
from jaxvae.train import make_multi_step


@dataclasses.dataclass
class Case:
    """One measured thing.

    Args:
        name: such as `train 128 bfloat16`.
        run: one repeat; returns its seconds.
        count: examples, or image-samples, in a repeat.
        gigaflop: of matrix products in a repeat.
        compile_seconds: nan for the peer.
    """

    name: str
    run: Callable[[], float]
    count: int
    gigaflop: float
    compile_seconds: float = float("nan")
    rates: list[float] = dataclasses.field(default_factory=list)

    def summary(self) -> dict:
        """Median and spread of the rate, per second."""
        median = statistics.median(self.rates)
        return {
            "rate": median,
            "low": min(self.rates),
            "high": max(self.rates),
            "gigaflop_per_second": self.gigaflop * median / self.count,
            "compile_seconds": self.compile_seconds,
        }


def timed(run: Callable[[], object]) -> float:
    """Seconds until the device is done."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def weights_of(module) -> int:
    """Multiply-adds of one pass of one example through dense layers; of masked ones, what the mask leaves."""
    nodes = jax.tree.leaves(module, is_leaf=lambda node: isinstance(node, MaskedLinear))
    masked = [node for node in nodes if isinstance(node, MaskedLinear)]
    dense = sum(node.size for node in nodes if eqx.is_inexact_array(node) and node.ndim == 2)
    return dense + sum(int(layer.mask.sum()) + weights_of(layer.context_weight) for layer in masked)


def context_weights_of(module) -> int:
    """Those of them that multiply a context, which is the same for every sample of an image."""
    nodes = jax.tree.leaves(module, is_leaf=lambda node: isinstance(node, MaskedLinear))
    return sum(weights_of(node.context_weight) for node in nodes if isinstance(node, MaskedLinear))


def train_case(config: Config, images, batch_size: int, precision: str, seconds: float) -> Case:
    """The library's own train loop over the preset's data, many steps in one dispatch."""
    config = dataclasses.replace(config, batch_size=batch_size, precision=precision)
    state, step = build_training(config, images.shape[1:])
    prepare = make_prepare(config.data.binarization, training=True)
    many = make_multi_step(step, batch_size=batch_size, block_size=config.block_size, prepare=prepare)
    multi_step = eqx.filter_jit(many, donate="all-except-first")
    work, holder = (images, None, jnp.asarray(1, jnp.int32)), [state]
    forward = weights_of(state.model)
    first = weights_of(state.model.posterior.encoder.mlp.layers[0])
    start = time.perf_counter()
    compiled = multi_step.lower(work, state).compile()
    compile_seconds = time.perf_counter() - start

    def advance(num_blocks: int):
        holder[0], total, _ = compiled((images, None, jnp.asarray(num_blocks, jnp.int32)), holder[0])
        return total

    timed(lambda: advance(1))
    num_blocks = max(1, round(seconds / timed(lambda: advance(1))))
    num_steps = num_blocks * config.block_size
    # The backward pass has two products for each of the forward pass, less the gradient of the pixels.
    gigaflop = num_steps * batch_size * 2 * (3 * forward - first) / 1e9
    return Case(
        f"train {batch_size} {precision}",
        lambda: timed(lambda: advance(num_blocks)),
        num_steps * batch_size,
        gigaflop,
        compile_seconds,
    )


def make_evaluate(config: Config, images, num_samples: int, chunk_size: int):
    """The evaluator of one batch of images, compiled, with its arguments."""
    state, _ = build_training(config, images.shape[1:])

    def estimate(model, key, x):
        weight = make_log_weight(model, x)
        return importance_log_likelihood(weight, key, num_samples=num_samples, chunk_size=chunk_size).log_p

    batched = eqx.filter_jit(eqx.filter_vmap(estimate, in_axes=(None, 0, 0)))
    keys = jax.random.split(jax.random.key(0), len(images))
    arguments = (state.model, keys, images.astype(jnp.float32))
    return batched.lower(*arguments).compile(), arguments


def evaluate_case(config: Config, images, precision: str, num_samples: int, chunk_size: int) -> Case:
    """The importance-sampling evaluator."""
    config = dataclasses.replace(config, precision=precision)
    start = time.perf_counter()
    compiled, arguments = make_evaluate(config, images, num_samples, chunk_size)
    compile_seconds = time.perf_counter() - start
    model = arguments[0]
    timed(lambda: compiled(*arguments))
    count = len(images) * num_samples
    once = weights_of(model.posterior.encoder) + context_weights_of(model.posterior)
    work = count * (weights_of(model) - once) + len(images) * once
    return Case(
        f"evaluate {len(images)} x {num_samples} by {chunk_size} {precision}",
        lambda: timed(lambda: compiled(*arguments)),
        count,
        2 * work / 1e9,
        compile_seconds,
    )


def inverse_case(solver: str, num_latents: int = 100, latent_dim: int = 128) -> Case:
    """The inverse of one gated autoregressive step, at weights far from the start, in float32."""
    made_key, noise_key, context_key, latent_key = jax.random.split(jax.random.key(0), 4)
    made = MADE(latent_dim, (512, 512), context_dim=latent_dim, key=made_key)
    leaves, structure = jax.tree.flatten(eqx.filter(made, eqx.is_inexact_array))
    keys = jax.random.split(noise_key, len(leaves))
    # The masks are applied when the layers are called: what they leave out stays out.
    noise = [0.05 * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    flow = Autoregressive(
        eqx.apply_updates(made, jax.tree.unflatten(structure, noise)), Gated(), inverse=solver
    )
    contexts, latents = (jax.random.normal(k, (num_latents, latent_dim)) for k in (context_key, latent_key))
    arguments = (flow, latents, contexts)
    start = time.perf_counter()
    batched = eqx.filter_vmap(lambda flow, z, c: flow.inverse_and_log_det(z, c), in_axes=(None, 0, 0))
    compiled = eqx.filter_jit(batched).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - start
    timed(lambda: compiled(*arguments))
    name = f"inverse of {num_latents} latents {solver}"
    return Case(name, lambda: timed(lambda: compiled(*arguments)), num_latents, 0.0, compile_seconds)


def peak_case(rows: int = 2048) -> Case:
    """The measured peak: the library's products at a size that suits any machine, in float32."""
    a = jax.random.normal(jax.random.key(0), (rows, rows))

    @jax.jit
    def multiply(a):
        return jax.lax.fori_loop(0, 8, lambda _, x: (x @ a) / rows, a)

    timed(lambda: multiply(a))
    return Case("matrix peak float32", lambda: timed(lambda: multiply(a)), 8, 8 * 2 * rows**3 / 1e9)


def import_case(code: str) -> Case:
    """A fresh interpreter that imports."""
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True)
    return Case(code, lambda: timed(lambda: subprocess.run(command, check=True)), 1, 0.0)


def temporary_megabytes(config: Config, images, num_samples: int, chunk_size: int) -> float:
    """What the compiled evaluator needs beside its arguments and its result."""
    compiled, _ = make_evaluate(config, images, num_samples, chunk_size)
    return compiled.compiled.memory_analysis().temp_size_in_bytes / 1e6
