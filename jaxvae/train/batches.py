"""The batches of a run, by the number of their step."""

import functools
from typing import Any

import jax
import numpy as np

from jaxvae._checks import expect_in_range, expected
from jaxvae._typing import Key
from jaxvae.train.step import data_keys, epoch_order

_order = jax.jit(epoch_order, static_argnames="num_images")


class Batches:
    """The batch of every step, from images in memory or on disk.

    Each epoch visits the images in a fresh order without replacement, and leaves out the last `N mod B`. The
    order depends on the root key and the step alone, and is that of training on the device. Several
    processes each take a part of every batch; the parts are disjoint.

    Args:
        images: `(N, C, H, W)`: anything with a length and rows `images[indices]`, read by several threads.
        labels: `(N,)` or None.
        batch_size: B, of all processes together.
        key: the root key of the run.
        shard: the number of this process, from 0, and how many there are.

    Raises:
        ValueError: if there are fewer images than a batch, or a batch cannot be divided.
    """

    def __init__(
        self, images: Any, labels: Any, batch_size: int, key: Key, *, shard: tuple[int, int] = (0, 1)
    ):
        expect_in_range("batch_size", batch_size, 1, len(images) + 1)
        index, count = shard
        expect_in_range("the number of this process", index, 0, count)
        if batch_size % count:
            raise expected(f"a batch of {batch_size}", f"to be divisible among {count} processes", batch_size)
        self._images, self._labels, self._batch_size = images, labels, batch_size
        self._shard = slice(batch_size * index // count, batch_size * (index + 1) // count)
        order_key, _ = data_keys(key)
        # Those of two epochs: threads may be at the end of one and at the start of the next.
        self._order = functools.lru_cache(2)(
            lambda epoch: np.asarray(_order(order_key, epoch, num_images=len(images)))
        )

    def rows(self, step: int) -> np.ndarray:
        """The images of a step that are this process's, `(B / processes,)`."""
        epoch, place = divmod(int(step), len(self._images) // self._batch_size)
        first = place * self._batch_size
        return self._order(epoch)[first : first + self._batch_size][self._shard]

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Images `(B / processes, C, H, W)` and labels of a step, from 0."""
        rows = self.rows(step)
        return self._images[rows], None if self._labels is None else self._labels[rows]
