"""Checkpoints on disk: the latest ones and the best one, each written whole or not at all."""

import contextlib
import logging
import os
import pathlib
import shutil
import warnings
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import expect_shape, expected

Flat = dict[str, np.ndarray]

# Orbax ends a file once it holds this much, so none is as long as this and one more piece of an array.
_PIECE_BYTES = 7_500_000


class Checkpoints:
    """The checkpoints of a run, written by orbax: `<step>/`, the last two, and `best/<step>/`.

    No file is above 16 MB, whatever the arrays.

    Args:
        directory: where they are kept; made at the first save.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = pathlib.Path(directory).absolute()

    def save(self, step: int, tree: Any, *, best: bool = False) -> pathlib.Path:
        """Writes every array of `tree` as the checkpoint of `step`, then removes those no longer kept.

        Raises:
            OSError: if it cannot be written; the checkpoints before it are untouched.
        """
        flat = _flatten(tree)
        directory = self.directory / "best" if best else self.directory
        directory.mkdir(parents=True, exist_ok=True)
        _expect_space(directory, sum(array.nbytes for array in flat.values()))
        # Of a run that was killed after this save and comes by again; orbax would refuse the step.
        shutil.rmtree(directory / str(step), ignore_errors=True)
        with _manager(directory, keep=1 if best else 2) as (manager, args):
            try:
                pieces = {name: _split(array) for name, array in flat.items()}
                save = args.PyTreeSave(pieces, ocdbt_target_data_file_size=_PIECE_BYTES)
                manager.save(step, args=save, force=True)
                manager.wait_until_finished()
            except Exception as error:
                raise OSError(f"Expected to write a checkpoint to {directory}; got {error}.") from error
        return directory / str(step)

    def latest(self, *, best: bool = False) -> pathlib.Path | None:
        """The checkpoint that `restore` tries first, or None."""
        return next(iter(self._candidates(best=best)), None)

    def restore(self, template: Any, *, best: bool = False) -> Any:
        """Reads the latest checkpoint, or the best one, into the arrays of `template`.

        One that cannot be read is passed over with a warning, and the one before it is used.

        Args:
            template: the tree to fill; its shapes must be those that were saved. A plain number that a
                checkpoint from before it was kept lacks stays what it is.
            best: the best checkpoint before the latest one.

        Raises:
            ValueError: if there is no checkpoint that can be read, or it is of another model.
        """
        for path in self._candidates(best=best):
            try:
                flat = self._read(path)
            except Exception as error:  # Orbax raises whatever its layers raise on a damaged file.
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                warnings.warn(f"Passed over the damaged checkpoint {path}: {reason}", stacklevel=2)
                continue
            return _unflatten(template, flat, path)
        raise expected(f"a readable checkpoint in {self.directory}", "to exist", "none")

    def _candidates(self, *, best: bool) -> list[pathlib.Path]:
        latest = _steps(self.directory)
        return _steps(self.directory / "best") + latest if best else latest

    def _read(self, path: pathlib.Path) -> Flat:
        with _manager(path.parent, keep=2) as (manager, args):
            pieces = manager.restore(int(path.name), args=args.PyTreeRestore())
        return {name: _join(array) for name, array in pieces.items()}


def _steps(directory: pathlib.Path) -> list[pathlib.Path]:
    """The finished checkpoints of a directory, newest first; orbax renames one when it is whole."""
    if not directory.is_dir():
        return []
    steps = [path for path in directory.iterdir() if path.is_dir() and path.name.isdecimal()]
    return sorted(steps, key=lambda path: int(path.name), reverse=True)


@contextlib.contextmanager
def _manager(directory: pathlib.Path, *, keep: int) -> Iterator[tuple[Any, Any]]:
    # Imported here: it takes a second, and `import jaxvae` must not.
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
    # Orbax logs the tracebacks of its threads besides raising; the caller reports the error.
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        # The size of a file is heeded with zarr3 alone; what was written without it is read all the same.
        handler = ocp.PyTreeCheckpointHandler(use_zarr3=True)
        with ocp.CheckpointManager(directory, options=options, item_handlers=handler) as manager:
            yield manager, ocp.args
    finally:
        log.setLevel(level)


def _expect_space(directory: pathlib.Path, num_bytes: int) -> None:
    """Claims the space of a checkpoint and gives it back: a full disk is found before anything is lost."""
    wanted = num_bytes + num_bytes // 4 + 2**20
    probe = directory / ".space"
    try:
        with open(probe, "wb") as file:
            if hasattr(os, "posix_fallocate"):  # absent on macOS
                os.posix_fallocate(file.fileno(), 0, wanted)
    except OSError as error:
        raise OSError(
            f"Expected {wanted / 1e6:.1f} MB of space for a checkpoint in {directory}; got: {error.strerror}."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _flatten(tree: Any) -> Flat:
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array_like))
    return {jax.tree_util.keystr(path): np.asarray(_raw(leaf)) for path, leaf in leaves}


def _split(array: np.ndarray) -> np.ndarray | Flat:
    """The array, in pieces where it is large: orbax would cut it too, a prime length into single numbers."""
    num_pieces = -(-array.nbytes // _PIECE_BYTES)
    if num_pieces <= 1:
        return array
    pieces = np.array_split(array.ravel(), num_pieces)
    return {"shape": np.asarray(array.shape), **{str(i): piece for i, piece in enumerate(pieces)}}


def _join(saved: np.ndarray | Flat) -> np.ndarray:
    if not isinstance(saved, dict):
        return saved
    return np.concatenate([saved[str(i)] for i in range(len(saved) - 1)]).reshape(saved["shape"])


def _unflatten(template: Any, flat: Flat, path: pathlib.Path) -> Any:
    def fill(tree_path, leaf):
        if not eqx.is_array_like(leaf):
            return leaf
        name = jax.tree_util.keystr(tree_path)
        if name not in flat and not eqx.is_array(leaf):
            return leaf
        if name not in flat:
            raise expected(f"{path}", f"to hold {name}", f"{len(flat)} other arrays")
        expect_shape(f"{name} in {path}", flat[name].shape, np.shape(_raw(leaf)))
        if not eqx.is_array(leaf):
            return type(leaf)(flat[name].item())
        array = jnp.asarray(flat[name], _raw(leaf).dtype)
        return jax.random.wrap_key_data(array) if _is_key(leaf) else array

    filled = jax.tree_util.tree_map_with_path(fill, template)
    for name in flat.keys() - _flatten(template).keys():
        raise expected(f"{path}", "to hold the arrays of this model alone", f"{name} too")
    return filled


def _is_key(leaf: Any) -> bool:
    return eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf
