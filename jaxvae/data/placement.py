"""Where training images are while a model trains."""

import os
import typing
from typing import Literal

import jax

from jaxvae._checks import expect_choice

# auto      the first of the others that the images are small enough for
# resident  on the device, as a whole
# host      in the host's memory; batches are sent ahead of their steps
# stream    on disk; the same
Placement = Literal["auto", "resident", "host", "stream"]

# The shares of the memories that data may take; the rest is the model's, and other programs'.
_OF_DEVICE, _OF_HOST = 0.25, 0.5


def choose_placement(num_bytes: int, wanted: Placement = "auto") -> Placement:
    """Where images of so many bytes go: `resident`, `host` or `stream`.

    Args:
        num_bytes: of the training images, uint8.
        wanted: `auto`, or the answer.

    Raises:
        ValueError: if `wanted` is unknown.
    """
    expect_choice("the placement of the data", wanted, typing.get_args(Placement))
    if wanted != "auto":
        return wanted
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # A CPU says nothing: its memory is the host's.
    device = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit", host)
    if num_bytes <= _OF_DEVICE * device:
        return "resident"
    return "host" if num_bytes <= _OF_HOST * host else "stream"
