import pathlib
import re

import jax.numpy as jnp
import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


def python_blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_functional_example_runs_and_learns():
    (example, *_) = python_blocks()
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["state"].step == 300
    assert 80 < names["loss"] < 160
    assert jnp.isfinite(names["estimate"].log_p)
    assert names["estimate"].standard_error > 0


@pytest.mark.parametrize("name", re.findall(r"\]\(([^)h#][^)]*)\)", README.read_text()))
def test_every_file_that_the_readme_points_to_exists(name):
    assert (README.parent / name).exists()
