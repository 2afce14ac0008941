"""Compilation apart from execution, so that each can be timed."""

import time
from collections.abc import Callable

import equinox as eqx
import jax


class AheadOfTime:
    """A jitted function that compiles before the first call with each signature, and counts the seconds.

    Args:
        fn: any function of pytrees.
        donate: as in `equinox.filter_jit`.
    """

    def __init__(self, fn: Callable, *, donate: str = "none"):
        self.compile_seconds = 0.0
        self._jitted = eqx.filter_jit(fn, donate=donate)  # pyright: ignore[reportArgumentType]
        self._compiled = {}

    def __call__(self, *args):
        """The value of `fn(*args)`; returns before the device is done, as jitted functions do."""
        return self.compile(*args)(*args)

    def compile(self, *args) -> Callable:
        """Compiles for arguments like these, once."""
        leaves, structure = jax.tree.flatten(args)
        signature = (structure, *((x.shape, x.dtype) if eqx.is_array(x) else x for x in leaves))
        if signature not in self._compiled:
            start = time.perf_counter()
            self._compiled[signature] = self._jitted.lower(*args).compile()
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[signature]
