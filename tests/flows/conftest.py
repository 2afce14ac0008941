import pytest


@pytest.fixture(autouse=True)
def _compile_fast(compile_fast):
    """All of these tests do."""
