"""The signal-to-noise ratio of gradients, of vectors whose mean and noise are known."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

PATH = pathlib.Path(__file__).parents[2] / "benchmarks" / "gradients.py"
SPEC = importlib.util.spec_from_file_location("gradients", PATH)
gradients = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gradients)


def test_the_ratio_is_the_length_of_the_mean_over_that_of_the_noise():
    long, short = jnp.array([3.0, -4.0, 0.0]), jnp.full(50, 0.02)

    def gradient(key):
        one, two = jax.random.split(key)
        return [long + 2 * jax.random.normal(one, (3,)), short + jax.random.normal(two, (50,))]

    ratios = jax.jit(lambda keys: gradients.signal_to_noise(gradient, keys))(
        jax.random.split(jax.random.key(0), 20_000)
    )
    np.testing.assert_allclose(ratios, [5 / 12**0.5, 0.02], rtol=0.15)
    # Few gradients make noise shorter, not longer: a mean of nothing is not taken for a signal.
    few = jax.random.split(jax.random.key(1), (200, 10))
    noise = jax.vmap(
        lambda keys: gradients.signal_to_noise(lambda key: [jax.random.normal(key, (50,))], keys)
    )(few)
    assert jnp.mean(noise**2) < 0.02
