import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.nn.product import bfloat16_product

W = jax.random.normal(jax.random.key(0), (32, 48))
X = jax.random.normal(jax.random.key(1), (64, 48))


def rounded(a):
    return a.astype(jnp.bfloat16).astype(jnp.float32)


def plain(weight, x):
    return weight @ x


def rounded_plain(weight, x):
    return rounded(weight) @ rounded(x)


def loss(product, weight, x):
    return jnp.mean(jnp.sin(product(weight, x)))


def batch_loss(product, weight, xs):
    return jnp.mean(jax.vmap(lambda x: loss(product, weight, x))(xs))


TRANSFORMS = {
    "one": lambda f: f(W, X[0]),
    "vmap": lambda f: jax.vmap(f, (None, 0))(W, X),
    "vmap of vmap": lambda f: jax.vmap(jax.vmap(f, (None, 0)), (None, 0))(W, X.reshape(8, 8, 48)),
    "vmap over weights": lambda f: jax.vmap(f, (0, None))(jnp.stack([W, -W]), X[0]),
    "vmap over both": lambda f: jax.vmap(f)(jnp.stack([W, -W]), X[:2]),
    "grad of one": lambda f: jax.grad(lambda w: loss(f, w, X[0]))(W),
    "grad of vmap": lambda f: jax.grad(lambda w: batch_loss(f, w, X))(W),
    "grad of vmap, a batch without a fast kernel": lambda f: jax.grad(lambda w: batch_loss(f, w, X[:23]))(W),
    "grad of vmap by the examples": lambda f: jax.grad(lambda x: batch_loss(f, W, x))(X),
    "vmap of grad": lambda f: jax.vmap(lambda x: jax.grad(lambda w: loss(f, w, x))(W))(X[:8]),
    "grad in a scan": lambda f: jax.grad(
        lambda w: jax.lax.scan(lambda c, x: (c + batch_loss(f, w, x), None), 0.0, X.reshape(4, 16, 48))[0]
    )(W),
    "forward mode": lambda f: jax.jvp(lambda w: batch_loss(f, w, X), (W,), (W[::-1],))[1],
    "second derivatives": lambda f: jax.grad(
        lambda x: jnp.sum(jax.grad(lambda w: batch_loss(f, w, x))(W) ** 2)
    )(X),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_under_every_transformation_it_is_the_product_within_bfloat16(name, compiled):
    def value(product):
        transform = lambda: TRANSFORMS[name](product)  # noqa: E731
        return np.asarray(jax.jit(transform)() if compiled else transform())

    exact, low = value(plain), value(bfloat16_product)
    assert low.shape == exact.shape
    assert low.dtype == np.float32
    difference = np.linalg.norm(low - exact) / np.linalg.norm(exact)
    assert 0 < difference < 0.05


def test_operands_are_rounded_and_sums_are_not():
    low = jax.vmap(bfloat16_product, (None, 0))(W, X)
    np.testing.assert_allclose(low, jax.vmap(rounded_plain, (None, 0))(W, X), atol=2e-5)


def test_a_batch_s_weight_gradient_is_one_product():
    gradient = jax.jit(jax.grad(lambda w: batch_loss(bfloat16_product, w, X)))
    # A sum of outer products would hold an array of batch x out x in.
    assert "64,32,48" not in gradient.lower(W).compile().as_text()
