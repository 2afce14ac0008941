"""y, what a conditional model is told besides its input."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxvae._checks import expect_positive, expect_shape, expected
from jaxvae._typing import Key, Label


def expect_label(y: Label | None, label_dim: int) -> None:
    """Raises `ValueError` unless there is a label of `label_dim` numbers, or none where that is 0."""
    if y is None and label_dim:
        raise expected("a label", f"of shape ({label_dim},), as the model is conditional", "none")
    if y is not None and not label_dim:
        raise expected("no label", "as the model is not conditional", f"one of shape {jnp.shape(y)}")
    if y is not None:
        expect_shape("the label", jnp.shape(y), (label_dim,))


def expect_classes(what: str, labels: Shaped[np.ndarray, " N"], num_classes: int) -> None:
    """Raises `ValueError` unless all of a data set's labels are among the classes."""
    expect_positive(f"the number of {what}", len(labels))
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise expected(what, f"to be at least 0 and below {num_classes}", wrong[0])


def one_hot(y: Shaped[Array, "..."] | None, num_classes: int) -> Float[Array, "... Y"] | None:
    """The labels as a conditional model takes them, from their numbers; None where there is none."""
    return None if y is None else jax.nn.one_hot(y, num_classes)


class WithEmbedding(eqx.Module):
    """A function whose last argument is a label, given a learned vector E y in the label's place.

    Args:
        function: an encoder, a decoder or the encoder of a prior, of a label `(F,)`.
        num_classes: Y.
        embedding_dim: F.
        key: for the initial vectors, N(0, 1).

    Raises:
        ValueError: if a size is not positive; from the call, if there is no label `(Y,)`.
    """

    function: Callable[..., Any]
    embedding: Float[Array, "F Y"]

    def __init__(self, function: Callable[..., Any], num_classes: int, embedding_dim: int, *, key: Key):
        expect_positive("num_classes", num_classes)
        expect_positive("embedding_dim", embedding_dim)
        self.function = function
        self.embedding = jax.random.normal(key, (embedding_dim, num_classes))

    def __call__(self, *inputs: Any) -> Any:
        """What the function makes of the other inputs and the embedded label."""
        *others, y = inputs
        expect_label(y, self.embedding.shape[1])
        return self.function(*others, self.embedding @ y)
