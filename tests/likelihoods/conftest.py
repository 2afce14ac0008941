import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _compile_fast():
    """Everything here compiles more than it runs, the fixtures of a module too."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
