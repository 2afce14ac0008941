"""Whole flows from their parts: several steps of one kind, with the order reversed in between."""

from collections.abc import Callable

import jax

from jaxvae._checks import expect_choice, expect_positive
from jaxvae._typing import Key
from jaxvae.flows.autoregressive import Autoregressive, Elementwise
from jaxvae.flows.base import Chain, Flow, Reverse
from jaxvae.flows.iaf import Affine, Gated, Shift
from jaxvae.nn import MADE

UPDATES: dict[str, Callable[[], Elementwise]] = {"gated": Gated, "affine": Affine, "shift": Shift}


def iaf(latent_dim: int, num_flows: int = 2, *, update: str = "gated", key: Key, **made_options) -> Chain:
    """Inverse autoregressive flow (Kingma et al. 2016, algorithm 1, arXiv:1606.04934).

    Args:
        latent_dim: D.
        num_flows: autoregressive steps, at least one.
        update: `gated`, `affine` or `shift`.
        key: for the initial weights.
        made_options: of each step's `MADE`, such as `widths` and `context_dim`.

    Raises:
        ValueError: on an unknown update, zero flows, or a bad option.
    """
    expect_choice("update", update, UPDATES)
    return _autoregressive(latent_dim, num_flows, UPDATES[update](), key, made_options)


def _autoregressive(
    latent_dim: int, num_flows: int, elementwise: Elementwise, key: Key, made_options: dict
) -> Chain:
    def make(key: Key) -> Flow:
        made = MADE(latent_dim, num_outputs=elementwise.num_parameters, key=key, **made_options)
        return Autoregressive(made, elementwise)

    return _alternate(make, num_flows, key, Reverse())


def _alternate(make: Callable[[Key], Flow], num_flows: int, key: Key, between: Flow) -> Chain:
    """Steps that `make` gives, with `between` between every two."""
    expect_positive("num_flows", num_flows)
    first, *rest = (make(k) for k in jax.random.split(key, num_flows))
    return Chain([first, *(part for step in rest for part in (between, step))])
