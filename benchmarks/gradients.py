"""The signal-to-noise ratio of each objective's gradient, at a run's parameters.

Usage: python benchmarks/gradients.py RUN [--num-samples 1 8 64] [--json]
"""

import dataclasses
import pathlib
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro

from jaxvae.build import build_dataset, build_prepare
from jaxvae.build.training import make_loss_terms
from jaxvae.config import Config, ObjectiveConfig
from jaxvae.runs import Run, load_run
from jaxvae.writers import to_json

_OBJECTIVES = ("elbo", "stl", "iwae", "dreg")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Which run, and how to measure."""

    run: tyro.conf.Positional[pathlib.Path]
    """A run directory, of a Gaussian posterior."""
    num_samples: tuple[int, ...] = (1, 8, 64)
    """Draws of every image."""
    batch_size: int = 100
    """Training images, from the first, whose mean gradient it is."""
    repeats: int = 200
    """Gradients of the same images with other draws."""
    seed: int = 0
    """Of the draws."""
    json: bool = False
    """Print one JSON object and nothing else."""


def signal_to_noise(gradient_fn: Callable, keys) -> jax.Array:
    """|E g| / sqrt(E |g - E g|^2) of each vector that `gradient_fn(key)` gives.

    |E g|^2 is the squared length of the mean over the keys less its expected noise.
    """

    def add(sums, key):
        gradients = gradient_fn(key)
        firsts = jax.tree.map(jnp.add, sums[0], gradients)
        seconds = jax.tree.map(lambda total, g: total + jnp.sum(g**2), sums[1], gradients)
        return (firsts, seconds), None

    shapes = jax.eval_shape(gradient_fn, keys[0])
    zeros = [jnp.zeros(shape.shape) for shape in shapes], [jnp.zeros(()) for _ in shapes]
    (firsts, seconds), _ = jax.lax.scan(add, zeros, keys)
    count = len(keys)
    squares = jnp.stack([jnp.sum((first / count) ** 2) for first in firsts])
    variances = (jnp.stack(seconds) / count - squares) * count / (count - 1)
    return jnp.sqrt(jnp.maximum(squares - variances / count, 0) / variances)


def make_gradient(config: Config, run: Run) -> Callable:
    """The gradient of the mean loss of a batch, of the posterior's parameters and of all others, flat."""
    loss_terms = make_loss_terms(config, run.num_classes)

    def loss(parameters, static, x, y, key):
        model = eqx.combine(parameters, static)
        keys = jax.random.split(key, len(x))
        terms = eqx.filter_vmap(loss_terms, in_axes=(None, 0, 0, 0))(model, keys, x, y)
        return -jnp.mean(terms[config.objective.bound])

    def gradient(model, x, y, key):
        of_all = jax.grad(loss)(*eqx.partition(model, eqx.is_inexact_array), x, y, key)
        parts = of_all.posterior, (of_all.prior, of_all.likelihood)
        return [jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(part)]) for part in parts]

    return gradient


def measure(arguments: Arguments) -> list[dict]:
    """One row for each objective and number of draws."""
    run = load_run(arguments.run)
    dataset, model = build_dataset(run.config), run.load_model()
    key = jax.random.key(arguments.seed)
    config = dataclasses.replace(run.config, objective=ObjectiveConfig())
    x = build_prepare(config)(key, jnp.asarray(dataset.train.images[: arguments.batch_size]))
    labels = run.labels(dataset, "train")
    y = None if labels is None else jnp.asarray(labels[: arguments.batch_size])
    rows = []
    for num_samples in arguments.num_samples:
        for name in _OBJECTIVES:
            objective = ObjectiveConfig(name=name, num_samples=num_samples)
            config = dataclasses.replace(run.config, objective=objective)
            config.check()
            gradient = make_gradient(config, run)
            keys = jax.random.split(jax.random.fold_in(key, num_samples), arguments.repeats)
            # Arguments, and not constants, which XLA would fold.
            measured = eqx.filter_jit(
                lambda model, x, y, keys, gradient=gradient: signal_to_noise(
                    partial(gradient, model, x, y), keys
                )
            )(model, x, y, keys)
            posterior, others = measured.tolist()
            rows.append(
                {"objective": name, "num_samples": num_samples, "posterior": posterior, "others": others}
            )
    return rows


def main() -> None:
    """Prints the table."""
    arguments = tyro.cli(Arguments)
    rows = measure(arguments)
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("batch_size", "repeats", "seed")}
        print(to_json({"run": arguments.run.name, **settings, "rows": rows}))
        return
    print(f"{'objective':10} {'K':>4} {'posterior':>10} {'others':>10}")
    for row in rows:
        numbers = f"{row['posterior']:10.3f} {row['others']:10.3f}"
        print(f"{row['objective']:10} {row['num_samples']:4} {numbers}")


if __name__ == "__main__":
    main()
