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
from flops import multiply_adds

from jaxvae import importance_log_likelihood, make_log_weight
from jaxvae._compilation import AheadOfTime
from jaxvae.build import build_training
from jaxvae.config import Config
from jaxvae.data import make_prepare
from jaxvae.flows import Autoregressive, Gated
from jaxvae.nn import MADE, PixelCNN
from jaxvae.train import make_multi_step, make_stream_step
from jaxvae.train.feed import Streamed


@dataclasses.dataclass
class Case:
    """One measured thing.

    Args:
        name: such as `train 128 bfloat16`.
        run: one repeat; returns its seconds.
        count: examples, image-samples or gradients in a repeat.
        gigaflop: of matrix products and convolutions in a repeat.
        compile_seconds: nan for the peer.
        memory: temporary megabytes for each image of a train step; nan for other cases.
    """

    name: str
    run: Callable[[], float]
    count: int
    gigaflop: float
    compile_seconds: float = float("nan")
    memory: float = float("nan")
    rates: list[float] = dataclasses.field(default_factory=list)

    def summary(self) -> dict:
        """Median and spread of the rate, per second."""
        median = statistics.median(self.rates)
        return {
            "rate": median,
            "low": min(self.rates),
            "high": max(self.rates),
            "gigaflop_per_second": self.gigaflop * median / self.count,
            "best_gigaflop_per_second": self.gigaflop * max(self.rates) / self.count,
            "compile_seconds": self.compile_seconds,
            "temporary_megabytes_per_image": self.memory,
        }


def timed(run: Callable[[], object]) -> float:
    """Seconds until the device is done."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


def train_gigaflop(config: Config, image_shape: tuple[int, ...]) -> float:
    """For each example of a train step."""
    config = dataclasses.replace(config, precision="float32")
    _, step = build_training(config, image_shape)
    state = eqx.filter_eval_shape(lambda: build_training(config, image_shape)[0])
    x = jax.ShapeDtypeStruct((config.batch_size, *image_shape), jnp.float32)
    return 2 * multiply_adds(step, state, x) / config.batch_size / 1e9


def train_case(
    config: Config, images, batch_size: int, precision: str, seconds: float, gigaflop: float, peak: float
) -> Case:
    """The library's own train loop over the preset's data, many steps in one dispatch.

    Args:
        config: the preset.
        images: that it trains on, on the device.
        batch_size: B.
        precision: of the products.
        seconds: length of a repeat, about.
        gigaflop: of an example.
        peak: GFLOP/s; where the preset's block would last longer at that rate, a shorter one is taken.
    """
    fitting = int(seconds * peak / (gigaflop * batch_size))
    block_size = max(1, min(config.block_size, fitting))
    config = dataclasses.replace(config, batch_size=batch_size, precision=precision)
    state, step = build_training(config, images.shape[1:])
    prepare = make_prepare(config.data.binarization, training=True)
    many = make_multi_step(step, batch_size=batch_size, block_size=block_size, prepare=prepare)
    multi_step = eqx.filter_jit(many, donate="all-except-first")
    work, holder = (images, None, jnp.asarray(1, jnp.int32)), [state]
    start = time.perf_counter()
    compiled = multi_step.lower(work, state).compile()
    compile_seconds = time.perf_counter() - start
    memory = compiled.compiled.memory_analysis().temp_size_in_bytes

    def advance(num_blocks: int):
        holder[0], total, *_ = compiled((images, None, jnp.asarray(num_blocks, jnp.int32)), holder[0])
        return total

    timed(lambda: advance(1))
    num_blocks = max(1, round(seconds / timed(lambda: advance(1))))
    count = num_blocks * block_size * batch_size
    return Case(
        f"train {batch_size} {precision}",
        lambda: timed(lambda: advance(num_blocks)),
        count,
        count * gigaflop,
        compile_seconds,
        memory / batch_size / 1e6,
    )


def fed_case(
    config: Config, images, batch_size: int, precision: str, seconds: float, gigaflop: float, data: str
) -> Case:
    """The same loop over batches that are sent: read from `host` memory or from disk (`stream`).

    `synthetic` is one block of random images that is there already: what the steps take without their input.

    Args:
        config: the preset.
        images: that it trains on; for `stream`, on disk.
        batch_size: B.
        precision: of the products.
        seconds: length of a repeat, about.
        gigaflop: of an example.
        data: where the images come from.
    """
    config = dataclasses.replace(config, batch_size=batch_size, precision=precision)
    state, step = build_training(config, images.shape[1:])
    prepare = make_prepare(config.data.binarization, training=True)
    feed = Streamed(step, prepare, images, None, batch_size, config.block_size, state.key)
    if data == "synthetic":
        shape = (feed.block_size, batch_size, *images.shape[1:])
        block = jax.random.randint(jax.random.key(0), shape, 0, 2, jnp.uint8)
        feed = Synthetic(make_stream_step(step, prepare=prepare), block)
    holder = [state]

    def advance(num_blocks: int):
        holder[0], sums, *_ = feed.dispatch(holder[0], feed.block_size, num_blocks)
        return sums

    timed(lambda: advance(1))
    num_blocks = max(1, round(seconds / timed(lambda: advance(1))))
    count = num_blocks * feed.block_size * batch_size
    return Case(
        f"train {batch_size} {data} {precision}",
        lambda: timed(lambda: advance(num_blocks)),
        count,
        count * gigaflop,
        feed.compile_seconds,
    )


class Synthetic:
    """Runs steps on one block of batches again and again."""

    def __init__(self, stream_step: Callable, block):
        self._block, self.block_size = block, len(block)
        self._program = AheadOfTime(stream_step, donate="all-except-first")

    def dispatch(self, state, size: int, num_blocks: int):
        """See `jaxvae.train.feed.Feed`."""
        given = ()
        for _ in range(num_blocks):
            state, *given = self._program((self._block, None), state)
        return state, *given

    @property
    def compile_seconds(self) -> float:
        """Spent in compilation so far."""
        return self._program.compile_seconds


def evaluate_gigaflop(config: Config, image_shape: tuple[int, ...], num_samples: int) -> float:
    """For each sample of an image, with its share of what is done once for the image."""
    config = dataclasses.replace(config, precision="float32")
    state = eqx.filter_eval_shape(lambda: build_training(config, image_shape)[0])
    key = jax.eval_shape(lambda: jax.random.key(0))
    estimate = make_estimate(num_samples, num_samples)
    x = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    return 2 * multiply_adds(estimate, state.model, key, x) / num_samples / 1e9


def make_estimate(num_samples: int, chunk_size: int) -> Callable:
    """Of log p(x), for one image."""

    def estimate(model, key, x):
        weight = make_log_weight(model, x)
        return importance_log_likelihood(weight, key, num_samples=num_samples, chunk_size=chunk_size).log_p

    return estimate


def make_evaluate(config: Config, images, num_samples: int, chunk_size: int):
    """The evaluator of one batch of images, compiled, with its arguments."""
    state, _ = build_training(config, images.shape[1:])
    batched = eqx.filter_jit(eqx.filter_vmap(make_estimate(num_samples, chunk_size), in_axes=(None, 0, 0)))
    keys = jax.random.split(jax.random.key(0), len(images))
    arguments = (state.model, keys, images.astype(jnp.float32))
    return batched.lower(*arguments).compile(), arguments


def evaluate_case(
    config: Config, images, precision: str, num_samples: int, chunk_size: int, gigaflop: float
) -> Case:
    """The importance-sampling evaluator."""
    config = dataclasses.replace(config, precision=precision)
    start = time.perf_counter()
    compiled, arguments = make_evaluate(config, images, num_samples, chunk_size)
    compile_seconds = time.perf_counter() - start
    timed(lambda: compiled(*arguments))
    count = len(images) * num_samples
    return Case(
        f"evaluate {len(images)} x {num_samples} by {chunk_size} {precision}",
        lambda: timed(lambda: compiled(*arguments)),
        count,
        count * gigaflop,
        compile_seconds,
    )


def sample_case(route: str, num_images: int = 64, num_layers: int = 5, maps: int = 32) -> Case:
    """Draws from a PixelCNN of 28 x 28 pixels, in pixels: as the library does, or by `whole` passes."""
    network_key, context_key, draw_key = jax.random.split(jax.random.key(0), 3)
    network = PixelCNN((1, 28, 28), 4, num_layers=num_layers, maps=maps, key=network_key)
    contexts = jax.random.normal(context_key, (num_images, 4, 28, 28))
    # Some of the whole passes are enough: each costs the same.
    num_pixels = 784 if route == "cached" else 8

    def draw(network, key, context):
        if route == "cached":
            return network.sample(key, context)
        return draw_by_whole_passes(network, key, context, num_pixels)

    arguments = (network, jax.random.split(draw_key, num_images), contexts)
    start = time.perf_counter()
    compiled = eqx.filter_jit(eqx.filter_vmap(draw, in_axes=(None, 0, 0))).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - start
    timed(lambda: compiled(*arguments))
    name, count = f"sample {num_images} images {num_layers} x {maps} {route}", num_images * num_pixels
    return Case(name, lambda: timed(lambda: compiled(*arguments)), count, 0.0, compile_seconds)


def draw_by_whole_passes(network: PixelCNN, key, context, num_pixels: int):
    """The first pixels of a draw, each from a pass through the whole network."""
    channels, height, width = network.image_shape
    uniforms = jnp.moveaxis(jax.random.uniform(key, (height, width, channels)), -1, 0)

    def draw_pixel(place, x):
        row, column = jnp.divmod(place, width)
        drawn = uniforms < jax.nn.sigmoid(network(x, context))
        return x.at[:, row, column].set(drawn[:, row, column])

    return jax.lax.fori_loop(0, num_pixels, draw_pixel, jnp.zeros(network.image_shape))


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


def peak_case(precision: str) -> Case:
    """Plain products of two square matrices, of a size that suits the device."""
    rows = 2048 if jax.default_backend() == "cpu" else 8192
    a = jax.random.normal(jax.random.key(0), (rows, rows), jnp.dtype(precision))

    @jax.jit
    def multiply(a):
        return jax.lax.fori_loop(0, 8, lambda _, x: (x @ a) / rows, a)

    timed(lambda: multiply(a))
    return Case(f"matrix peak {precision}", lambda: timed(lambda: multiply(a)), 8, 8 * 2 * rows**3 / 1e9)


def import_case(code: str) -> Case:
    """A fresh interpreter that imports."""
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True)
    return Case(code, lambda: timed(lambda: subprocess.run(command, check=True)), 1, 0.0)


def temporary_megabytes(config: Config, images, num_samples: int, chunk_size: int) -> float:
    """What the compiled evaluator needs beside its arguments and its result."""
    compiled, _ = make_evaluate(config, images, num_samples, chunk_size)
    return compiled.compiled.memory_analysis().temp_size_in_bytes / 1e6
