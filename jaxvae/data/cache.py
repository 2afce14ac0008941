"""Plain arrays on disk of what is slow to make: each made once, and kept whole or not at all."""

import contextlib
import errno
import hashlib
import itertools
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from jaxvae._checks import expect_shape, expected
from jaxvae.data.on_disk import OnDisk, in_blocks
from jaxvae.data.stored import Stored, arrange


def cache_directory() -> pathlib.Path:
    """`$JAXVAE_CACHE`, or `jaxvae` where the system keeps the caches of its users."""
    return pathlib.Path(os.environ.get("JAXVAE_CACHE") or user_cache_path("jaxvae"))


def fingerprint(*parts: object) -> str:
    """A short name for what some values or arrays are; the same only for the same ones."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()[:24]


def cached(name: str, what: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """The directory `name` of the cache, which `make(directory)` fills if it is not there yet.

    Another process that wants the same one waits. Whatever ends `make`, nothing half-made stays.

    Args:
        name: of the entry, `kind/name`.
        what: it is, for the line on standard error that says why this takes time.
        make: writes files into an empty directory.

    Raises:
        OSError: if there is no space, or the cache cannot be written.
    """
    final = cache_directory() / name
    if final.is_dir():
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _locked(final.with_name(final.name + ".lock"), what):
            if not final.is_dir():  # made by whoever had the lock
                print(f"Preparing {what}, once: from then on it is read from {final}", file=sys.stderr)
                _make_whole(final, make)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno is None:
            raise
        hint = " (JAXVAE_CACHE names another place)"
        place = "space for" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "to write"
        raise OSError(f"Expected {place} {what} in {final.parent}{hint}; got: {error.strerror}.") from error
    return final


def _make_whole(final: pathlib.Path, make: Callable[[pathlib.Path], None]) -> None:
    """Makes a directory under another name, which only the holder of the lock may use, and renames it."""
    part = final.with_name(final.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        part.mkdir()
        make(part)
        part.rename(final)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: pathlib.Path, what: str) -> Iterator[None]:
    """Holds a lock that ends with the process, whatever ends it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Waiting for another process that prepares {what}", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_npy(
    path: pathlib.Path, shape: tuple[int, ...], dtype: Any, blocks: Iterable[np.ndarray], what: str
) -> str:
    """Writes an array block by block, without holding more than one of them.

    By plain writes: on a full disk they fail, where a memory map would end the process.

    Args:
        path: of the file.
        shape: of the array.
        dtype: of the array.
        blocks: parts of it along the first axis.
        what: the array is, for messages.

    Returns:
        The SHA-256 of its values.

    Raises:
        ValueError: if the blocks do not add up to `shape`.
        OSError: if there is no space.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    count, digest = 0, hashlib.sha256()
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            expect_shape(f"the images of {what}", block.shape[1:], shape[1:])
            content = np.ascontiguousarray(block, dtype).data
            digest.update(content)
            file.write(content)
            count += len(block)
        file.flush()
        os.fsync(file.fileno())
    if count != shape[0]:
        raise expected(what, f"to hold {shape[0]:,} images", f"{count:,}")
    return digest.hexdigest()


def write_entry(
    directory: pathlib.Path,
    what: str,
    counts: dict[str, int],
    blocks: Iterable[tuple[np.ndarray, np.ndarray | None]],
) -> None:
    """Writes a data set for `read_entry`.

    Args:
        directory: to write into.
        what: the data set is, for messages.
        counts: images in each of `train`, `validation` and `test`, in this order, and where there are any.
        blocks: images `(B, C, H, W)` uint8 and their labels `(B,)`, or None where there are none. Images of
            0 and 1 alone become 0 and 255.

    Raises:
        ValueError: if the blocks do not add up, or their images differ in shape or are not uint8.
        OSError: if there is no space.
    """
    labels, blocks, highest = [], iter(blocks), 0
    first = next(blocks, None)
    if first is None:
        raise expected(what, "to hold images", "none")

    def images() -> Iterator[np.ndarray]:
        nonlocal highest
        for block, y in itertools.chain([first], blocks):
            if block.dtype != np.uint8:
                raise expected(f"the images of {what}", "to be uint8", f"{block.dtype}")
            labels.append(y)
            highest = max(highest, block.max())
            yield block

    path, shape = directory / "images.npy", (sum(counts.values()), *first[0].shape[1:])
    digest = write_npy(path, shape, np.uint8, images(), what)
    if highest == 1:  # known only now that all were seen
        binary = path.rename(directory / "binary.npy")
        digest = write_npy(path, shape, np.uint8, (255 * block for block in in_blocks(OnDisk(binary))), what)
        binary.unlink()
    if labels[0] is not None:
        np.save(directory / "labels.npy", np.concatenate(labels).astype(np.int32))
    (directory / "about.json").write_text(json.dumps({"counts": counts, "sha256": digest}))


def read_entry(directory: pathlib.Path, what: str, *, on_disk: bool) -> Stored:
    """Reads what `write_entry` wrote.

    Args:
        directory: of the entry.
        what: the data set is, for messages.
        on_disk: leave the images where they are.

    Raises:
        ValueError: if it is damaged.
    """
    hint = f"(delete {directory} to make it anew)"
    try:
        about = json.loads((directory / "about.json").read_text())
        counts, digest = about["counts"], about["sha256"]
        labels = directory / "labels.npy"
        labels = np.load(labels, allow_pickle=False) if labels.is_file() else None
        path = directory / "images.npy"
        images = OnDisk(path) if on_disk else np.load(path, allow_pickle=False)
    except (ValueError, TypeError, KeyError, EOFError, FileNotFoundError) as error:
        raise expected(f"the cache of {what}", f"to be whole {hint}", f"{error}".splitlines()[0]) from error
    if isinstance(images, np.ndarray) and hashlib.sha256(images.data).hexdigest() != digest:
        raise expected(f"the cache of {what}", f"to hold what was written {hint}", "another checksum")
    return arrange(what, images, labels, counts)
