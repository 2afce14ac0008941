"""Every flow of the library by name, small, for tests that all of them must pass."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import flows
from jaxvae.flows import Autoregressive, Chain, Reverse
from jaxvae.nn import MADE


def _made_flow(elementwise, latent_dim, *, context_dim, key, **options):
    made = MADE(
        latent_dim,
        (12, 12),
        num_outputs=elementwise.num_parameters,
        context_dim=context_dim,
        key=key,
        **options,
    )
    return Autoregressive(made, elementwise)


def _reversed_order(latent_dim, *, context_dim, key):
    order = range(latent_dim)[::-1]
    return _made_flow(flows.Affine(), latent_dim, context_dim=context_dim, order=order, key=key)


def _chain(latent_dim, *, context_dim, key):
    parts = [flows.Planar(latent_dim, context_dim=context_dim, key=key), Reverse()]
    return Chain([*parts, _made_flow(flows.Gated(), latent_dim, context_dim=context_dim, key=key)])


_HIDDEN = {"widths": (12, 12)}
# name -> make(latent_dim, context_dim=..., key=...)
FLOWS = {
    "iaf gated": partial(flows.make_iaf, **_HIDDEN),
    "iaf affine": partial(flows.make_iaf, update="affine", **_HIDDEN),
    "iaf shift": partial(flows.make_iaf, update="shift", **_HIDDEN),
    "iaf weight norm": partial(flows.make_iaf, weight_norm=True, residual=True, **_HIDDEN),
    "iaf reversed order": _reversed_order,
    "naf": partial(flows.make_naf, num_units=5, **_HIDDEN),
    "spline": partial(flows.make_spline, num_bins=5, **_HIDDEN),
    "planar": partial(flows.make_planar, num_flows=3),
    "sylvester orthogonal": partial(flows.make_sylvester, num_flows=2, basis="orthogonal", num_vectors=2),
    "sylvester householder": partial(
        flows.make_sylvester, num_flows=2, basis="householder", num_reflections=3
    ),
    "sylvester triangular": partial(flows.make_sylvester, num_flows=3, basis="identity"),
    "reverse": lambda latent_dim, **_: Reverse(),
    "chain": _chain,
}  # fmt: skip


def perturb(module, key, size):
    """Every parameter moved by a normal draw of this size: away from the start, near the identity."""
    parameters, rest = eqx.partition(module, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(parameters)
    keys = jax.random.split(key, max(1, len(leaves)))
    draws = [jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=False)]
    # NumPy adds without compiling a program for each shape.
    moved = [
        jnp.asarray(np.asarray(leaf) + size * np.asarray(draw), leaf.dtype)
        for leaf, draw in zip(leaves, draws, strict=True)
    ]
    return eqx.combine(jax.tree.unflatten(structure, moved), rest)
