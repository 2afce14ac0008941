from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.nn.convolve import convolve, convolve_transposed
from jaxvae.nn.winograd import is_worthwhile

LAYOUT = ("NHWC", "HWIO", "NHWC")


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def reference(x, weight, stride=1, padding="same", low=False):
    """The sum over the kernel in float64, of operands rounded where the dtype is low."""
    x, weight = (np.asarray(a.astype(jnp.bfloat16) if low else a, np.float64) for a in (x, weight))
    height, width = x.shape[:2]
    if padding == "same":
        size = -(-height // stride), -(-width // stride)
        ends = [stride * (n - 1) + k for n, k in zip(size, weight.shape[:2], strict=True)]
        totals = [max(end - n, 0) for end, n in zip(ends, x.shape[:2], strict=True)]
        x = np.pad(x, [(t // 2, t - t // 2) for t in totals] + [(0, 0)])
    else:
        size = tuple((n - k) // stride + 1 for n, k in zip(x.shape[:2], weight.shape[:2], strict=True))
    y = np.zeros((*size, weight.shape[3]))
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            stop = i + stride * (size[0] - 1) + 1, j + stride * (size[1] - 1) + 1
            y += x[i : stop[0] : stride, j : stop[1] : stride] @ weight[i, j]
    return y


CASES = {
    "3x3": ((7, 8, 5), (3, 3, 5, 4), 1, "same"),
    "3x3, stride 2, even": ((8, 6, 5), (3, 3, 5, 4), 2, "same"),
    "3x3, stride 2, odd": ((7, 9, 5), (3, 3, 5, 4), 2, "same"),
    "5x5, stride 2": ((9, 8, 3), (5, 5, 3, 4), 2, "same"),
    "an even kernel": ((7, 7, 3), (4, 2, 3, 4), 1, "same"),
    "1x1": ((5, 6, 3), (1, 1, 3, 4), 1, "same"),
    "valid": ((7, 8, 5), (3, 2, 5, 4), 1, "valid"),
    "valid, stride 2": ((8, 9, 5), (3, 3, 5, 4), 2, "valid"),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_sum_over_the_kernel(case, dtype):
    shape, kernel, stride, padding = CASES[case]
    x, weight = normal(0, *shape), normal(1, *kernel)
    y = convolve(x, weight, stride=stride, padding=padding, dtype=dtype)
    assert y.dtype == dtype
    low = dtype == jnp.bfloat16
    exact = reference(x, weight, stride, padding, low)
    # Only the result of bfloat16 is rounded beside its operands: by half a unit in 8 bits.
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=2**-8 if low else 1e-5, atol=1e-4)


# Large enough for Winograd's way on a CPU, in two chunks; 10 and 9 are no whole number of its tiles.
X, W = normal(0, 64, 10, 9, 16), normal(1, 3, 3, 16, 24)
G = normal(2, 64, 10, 9, 24)


def lax_convolve(x, weight):
    return jax.lax.conv_general_dilated(x[None], weight, (1, 1), "SAME", dimension_numbers=LAYOUT)[0]


def batch_loss(function, xs, weight):
    return jnp.sum(G[: len(xs)] * jnp.sin(jax.vmap(function, (0, None))(xs, weight)))


# Winograd's way takes long to compile, and so only the first two are large enough for it.
FEW = X[:4]
TRANSFORMS = {
    "vmap, large": lambda f: jax.vmap(f, (0, None))(X, W),
    "gradients, large": lambda f: jax.grad(partial(batch_loss, f), (0, 1))(X, W),
    "vmap of vmap": lambda f: jax.vmap(jax.vmap(f, (0, None)), (1, None))(FEW.reshape(2, 2, 10, 9, 16), W),
    "vmap over weights": lambda f: jax.vmap(f, (None, 0))(X[0], jnp.stack([W, -2 * W])),
    "vmap over both": lambda f: jax.vmap(f)(X[:2], jnp.stack([W, -2 * W])),
    "weights over a batch": lambda f: jax.vmap(jax.vmap(f, (0, None)), (None, 0))(
        FEW, jnp.stack([W, -2 * W])
    ),
    "gradients": lambda f: jax.grad(partial(batch_loss, f), (0, 1))(FEW, W),
    "gradients of examples": lambda f: jax.vmap(jax.grad(lambda w, x: jnp.sum(jnp.sin(f(x, w)))), (None, 0))(
        W, FEW
    ),
    "forward mode": lambda f: jax.jvp(jax.vmap(f, (0, None)), (FEW, W), (FEW[::-1], W[::-1]))[1],
    "second derivatives": lambda f: jax.grad(
        lambda x: jnp.sum(jax.grad(partial(batch_loss, f), 1)(x, W) ** 2)
    )(FEW),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_under_every_transformation_it_is_the_same_convolution(name):
    values = (jax.jit(lambda f=f: TRANSFORMS[name](f))() for f in (convolve, lax_convolve))
    for value, exact in zip(*map(jax.tree.leaves, values), strict=True):
        assert value.shape == exact.shape
        assert np.linalg.norm(value - exact) < 2e-5 * np.linalg.norm(exact)


@pytest.mark.parametrize("xs", [X, FEW])
def test_bfloat16_is_within_its_rounding_and_the_weight_s_gradient_is_float32(xs):
    # A gradient by y that is exact in bfloat16: so nothing but the sums can err.
    signs = jnp.sign(G[: len(xs)])

    @partial(jax.jit, static_argnums=0)
    def value_and_gradient(function, xs, weight):
        y, pullback = jax.vjp(lambda w: jax.vmap(function, (0, None))(xs, w), weight)
        return y, pullback(signs.astype(y.dtype))[0]

    y, gradient = value_and_gradient(partial(convolve, dtype=jnp.bfloat16), xs, W)
    assert (y.dtype, gradient.dtype) == (jnp.bfloat16, jnp.float32)
    rounded = lambda a: a.astype(jnp.bfloat16).astype(jnp.float32)  # noqa: E731
    exact, wanted = value_and_gradient(lax_convolve, rounded(xs), rounded(W))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=2e-4)
    assert np.linalg.norm(gradient - wanted) < 2e-5 * np.linalg.norm(wanted)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (4, 2), (5, 3), (3, 1), (1, 2)])
def test_the_transposed_convolution_is_the_adjoint(kernel, stride, dtype):
    x, weight = normal(0, 5, 4, 3), normal(1, kernel, kernel, 3, 2)
    image = normal(2, 5 * stride, 4 * stride, 2)
    y = convolve_transposed(x, weight, stride=stride, dtype=dtype)
    assert y.shape == image.shape
    assert y.dtype == dtype
    low = dtype == jnp.bfloat16
    there = np.sum(np.asarray(y, np.float64) * np.asarray(image, np.float64))
    rounded = np.asarray(x.astype(dtype), np.float64)
    weight = weight.astype(dtype).astype(jnp.float32)
    back = np.sum(rounded * reference(image, weight.swapaxes(2, 3), stride))
    size = np.linalg.norm(np.asarray(y, np.float64)) * np.linalg.norm(image)
    assert abs(there - back) < (2**-8 if low else 1e-6) * size


def test_the_gradients_of_the_transposed_convolution_are_those_of_lax():
    xs, weight = normal(0, 3, 5, 4, 3), normal(1, 3, 3, 3, 2)

    def lax_transposed(x, w):
        return jax.lax.conv_transpose(
            x[None],
            w.swapaxes(2, 3),
            (2, 2),
            "SAME",
            dimension_numbers=LAYOUT,
            transpose_kernel=True,
        )[0]

    def loss(function, xs, weight):
        return jnp.sum(jnp.sin(jax.vmap(function, (0, None))(xs, weight)))

    gradients, wanted = (
        jax.jit(jax.grad(partial(loss, f), (0, 1)))(xs, weight) for f in (convolve_transposed, lax_transposed)
    )
    for gradient, exact in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(gradient, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "outputs", "expected"),
    [((8, 10, 9, 16), 24, True), ((1, 28, 28, 64), 64, True), ((1, 7, 7, 64), 64, False)]
    + [((64, 28, 28, 1), 64, False), ((64, 28, 28, 64), 1, False)],
)
def test_winograd_is_for_many_tiles_and_channels(shape, outputs, expected):
    assert is_worthwhile(shape, outputs) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "Expected stride to be positive; got 0"),
        ({"padding": "full"}, "Expected padding to be one of same, valid; got 'full'"),
        ({"dtype": jnp.float16}, "Expected dtype to be one of bfloat16, float32; got 'float16'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        convolve(X[0], W, **options)
    if "padding" not in options:
        with pytest.raises(ValueError, match=message):
            convolve_transposed(X[0], W, **options)
