"""Imports distrax without TensorFlow, where that is installed.

TensorFlow Probability's substrate for JAX, which distrax is built on, would load it for the sake of a few
docstrings: seconds, and hundreds of megabytes.
"""

import sys

if "tensorflow" not in sys.modules:
    sys.modules["tensorflow"] = None  # pyright: ignore[reportArgumentType]
    try:
        import distrax as distrax
    finally:
        del sys.modules["tensorflow"]
