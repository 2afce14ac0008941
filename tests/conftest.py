import gzip
import os
import tempfile

import jax
import numpy as np
import pytest

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # What was compiled once serves every process: this one makes the directory and the others inherit it.
    _CACHE = tempfile.TemporaryDirectory(prefix="jaxvae-compiled-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    jax.config.update("jax_compilation_cache_dir", _CACHE.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
# The test processes share a GPU, which the first would otherwise take whole.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def write_idx(path, array: np.ndarray, *, compress: bool = False) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if compress else content)


@pytest.fixture(scope="session")
def idx_directory(tmp_path_factory):
    """120 training and 37 test images of 6 x 5 grey pixels, test files compressed."""
    directory = tmp_path_factory.mktemp("idx")
    random = np.random.RandomState(3)
    for name, count in (("train", 120), ("t10k", 37)):
        images = random.randint(0, 256, (count, 6, 5)).astype(np.uint8)
        # Something to learn: the upper half is bright in half of the images.
        images[::2, :3] = 250
        compress = name == "t10k"
        suffix = ".gz" if compress else ""
        write_idx(directory / f"{name}-images-idx3-ubyte{suffix}", images, compress=compress)
        labels = random.randint(0, 10, count).astype(np.uint8)
        write_idx(directory / f"{name}-labels-idx1-ubyte{suffix}", labels, compress=compress)
    return directory


@pytest.fixture
def key():
    return jax.random.key(20240229)


@pytest.fixture(autouse=True, scope="module")
def _forget_what_was_compiled():
    """Programs that are kept use up a process's memory maps, and then XLA's compiler crashes."""
    yield
    jax.clear_caches()


@pytest.fixture
def compile_fast():
    """For tests that compile many small programs and run each a few times."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
