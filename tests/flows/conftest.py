import jax
import pytest


@pytest.fixture(autouse=True)
def _compile_fast():
    """These tests compile many small programs and run each a few times."""
    before = jax.config.jax_disable_most_optimizations
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
