"""How batches reach the device: all images are there, or are sent as they are needed."""

import dataclasses
import itertools
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._compilation import AheadOfTime
from jaxvae._typing import Key
from jaxvae.train.batches import Batches
from jaxvae.train.state import TrainState
from jaxvae.train.step import TrainStep, make_multi_step, make_stream_step

# A dispatch is cut to about this long, so that the progress bar moves and a stop is heeded.
_DISPATCH_SECONDS = 1.0
# Of batches that are sent together, at most.
_SENT_BYTES = 64e6


class Feed(Protocol):
    """Runs steps on its batches.

    Args:
        block_size: steps of one scan on the device.
    """

    block_size: int

    def dispatch(self, state: TrainState, size: int, num_blocks: int) -> tuple[TrainState, Any, Any, Any]:
        """Runs blocks of so many steps, or until after one with a loss that is not finite.

        Returns:
            The state, the sums of what the step gives, its totals at the last steps, and the sum of the
            norms of the gradients.
        """
        ...

    @property
    def compile_seconds(self) -> float:
        """Spent in compilation so far."""
        ...


class Resident:
    """Over images that stay on the device as a whole; see `make_multi_step`."""

    def __init__(
        self, step: TrainStep, prepare: Callable, images, labels, batch_size: int, block_size: int, key: Key
    ):
        # A block may span two epochs and no more.
        self.block_size = min(block_size, len(images) // batch_size)
        self._programs = {
            size: AheadOfTime(
                make_multi_step(step, batch_size=batch_size, block_size=size, prepare=prepare),
                donate="all-except-first",
            )
            for size in {1, self.block_size}
        }
        self._data = jnp.asarray(images), None if labels is None else jnp.asarray(labels)

    def dispatch(self, state: TrainState, size: int, num_blocks: int) -> tuple[TrainState, Any, Any, Any]:
        """See `Feed`; one dispatch for all blocks."""
        return self._programs[size]((*self._data, jnp.asarray(num_blocks, jnp.int32)), state)

    @property
    def compile_seconds(self) -> float:
        """Spent in compilation so far."""
        return sum(program.compile_seconds for program in self._programs.values())


class Streamed:
    """Over images of which batches are read ahead, in threads, and sent block by block.

    While the device runs one block, the next is made; no more than two are under way.
    """

    def __init__(
        self, step: TrainStep, prepare: Callable, images, labels, batch_size: int, block_size: int, key: Key
    ):
        self._batches = Batches(images, labels, batch_size, key)
        batch_bytes = batch_size * int(np.prod(images.shape[1:])) * images.dtype.itemsize
        self.block_size = max(1, min(block_size, int(_SENT_BYTES / batch_bytes)))
        self._program = AheadOfTime(make_stream_step(step, prepare=prepare), donate="all-except-first")
        self._ahead = None

    def dispatch(self, state: TrainState, size: int, num_blocks: int) -> tuple[TrainState, Any, Any, Any]:
        """See `Feed`."""
        self._ahead = self._ahead or self._read_ahead(int(state.step))
        sums, losses, norms = None, [], 0.0
        while len(losses) < num_blocks and (len(losses) < 2 or np.isfinite(losses[-2]).all()):
            images, labels = zip(*itertools.islice(self._ahead, size), strict=True)
            block = (
                jnp.asarray(np.stack(images)),
                None if labels[0] is None else jnp.asarray(np.stack(labels)),
            )
            state, more, totals, added = self._program(block, state)
            sums = more if sums is None else jax.tree.map(jnp.add, sums, more)
            norms += added
            losses.append(totals)
        return state, sums, np.concatenate(losses[-2:]), norms

    def _read_ahead(self, step: int) -> Any:
        """The batches from a step on, forever; those of two blocks are held ready."""
        import grain

        options = grain.ReadOptions(
            num_threads=min(os.cpu_count() or 1, 16), prefetch_buffer_size=2 * self.block_size
        )
        steps = grain.MapDataset.range(step, np.iinfo(np.int32).max)
        return iter(steps.map(self._batches.__getitem__).to_iter_dataset(options))

    @property
    def compile_seconds(self) -> float:
        """Spent in compilation so far."""
        return self._program.compile_seconds


@dataclasses.dataclass(frozen=True)
class Part:
    """What running toward a stop gave; `losses` are those of the last steps, `norms` a sum as well."""

    state: TrainState
    num_steps: int
    sums: dict[str, float]
    losses: np.ndarray
    norms: float
    seconds: float
    compile_seconds: float


class Runner:
    """Runs to a step in dispatches of about a second.

    Args:
        feed: of the batches.
        advance: called after every dispatch with the steps done so far.
    """

    def __init__(self, feed: Feed, advance: Callable[[int], object]):
        self._feed, self._advance = feed, advance
        self._steps_per_second = 0.0

    def run(self, state: TrainState, until: int, stop_requested: Callable[[], object]) -> Part:
        """Runs to `until`, or to the end of the dispatch in which a stop is requested or a loss breaks."""
        compiled_before = self._feed.compile_seconds
        start = now = int(state.step)
        sums, losses, norms, seconds = {}, np.zeros(1), 0.0, 0.0
        while now < until and np.isfinite(losses).all() and not (now > start and stop_requested()):
            size = self._feed.block_size if until - now >= self._feed.block_size else 1
            wanted = round(self._steps_per_second * _DISPATCH_SECONDS / size)
            num_blocks = min(max(1, wanted), (until - now) // size)
            began, compiled = time.perf_counter(), self._feed.compile_seconds
            state, more, losses, added = self._feed.dispatch(state, size, num_blocks)
            # Reading the sums is the one synchronisation of a dispatch.
            more = more if isinstance(more, dict) else {"elbo": -more}
            sums = {name: sums.get(name, 0.0) + float(value) for name, value in more.items()}
            norms += float(added)
            took = time.perf_counter() - began - (self._feed.compile_seconds - compiled)
            self._steps_per_second = num_blocks * size / took
            now, seconds = int(state.step), seconds + took
            self._advance(now)
        compile_seconds = self._feed.compile_seconds - compiled_before
        return Part(state, now - start, sums, np.asarray(losses), norms, seconds, compile_seconds)
