"""Whole flows from their parts: several steps of one kind, with the order reversed in between."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxvae._checks import expect_choice, expect_positive
from jaxvae._typing import Key
from jaxvae.flows.autoregressive import Autoregressive, Elementwise
from jaxvae.flows.base import Chain, Flow, Reverse
from jaxvae.flows.deep_sigmoid import DeepSigmoid
from jaxvae.flows.iaf import Affine, Gated, Shift
from jaxvae.flows.planar import Planar
from jaxvae.flows.spline import RationalQuadraticSpline
from jaxvae.flows.sylvester import Sylvester
from jaxvae.nn import MADE

UPDATES: dict[str, Callable[[], Elementwise]] = {"gated": Gated, "affine": Affine, "shift": Shift}


def make_iaf(
    latent_dim: int,
    num_flows: int = 2,
    *,
    update: str = "gated",
    inverse: str = "parallel",
    key: Key,
    **made_options,
) -> Chain:
    """Inverse autoregressive flow (Kingma et al. 2016, algorithm 1, arXiv:1606.04934).

    Args:
        latent_dim: D.
        num_flows: autoregressive steps, at least one.
        update: `gated`, `affine` or `shift`.
        inverse: `parallel` or `sequential`, as in `Autoregressive`.
        key: for the initial weights.
        made_options: of each step's `MADE`, such as `widths` and `context_dim`; a `degrees_seed` is that
            of the first step, and one more in each further step.

    Raises:
        ValueError: on an unknown update, zero flows, or a bad option.
    """
    expect_choice("update", update, UPDATES)
    return _autoregressive(latent_dim, num_flows, UPDATES[update](), inverse, key, made_options)


def make_naf(
    latent_dim: int,
    num_flows: int = 2,
    *,
    num_units: int = 16,
    inverse: str = "parallel",
    key: Key,
    **made_options,
) -> Chain:
    """Neural autoregressive flow, deep sigmoidal (Huang et al. 2018, arXiv:1804.00779).

    Args:
        latent_dim: D.
        num_flows: autoregressive steps, at least one.
        num_units: of each element's `DeepSigmoid`.
        inverse: `parallel` or `sequential`, as in `Autoregressive`.
        key: for the initial weights.
        made_options: of each step's `MADE`, such as `widths` and `context_dim`; a `degrees_seed` is that
            of the first step, and one more in each further step.

    Raises:
        ValueError: on zero flows, or a bad option.
    """
    return _autoregressive(latent_dim, num_flows, DeepSigmoid(num_units), inverse, key, made_options)


def make_spline(
    latent_dim: int,
    num_flows: int = 2,
    *,
    num_bins: int = 8,
    bound: float = 5.0,
    inverse: str = "parallel",
    key: Key,
    **made_options,
) -> Chain:
    """Rational-quadratic spline autoregressive flow (Durkan et al. 2019, arXiv:1906.04032).

    Args:
        latent_dim: D.
        num_flows: autoregressive steps, at least one.
        num_bins: of each element's `RationalQuadraticSpline`.
        bound: beyond which it is the identity.
        inverse: `parallel` or `sequential`, as in `Autoregressive`.
        key: for the initial weights.
        made_options: of each step's `MADE`, such as `widths` and `context_dim`; a `degrees_seed` is that
            of the first step, and one more in each further step.

    Raises:
        ValueError: on zero flows, or a bad option.
    """
    elementwise = RationalQuadraticSpline(num_bins, bound)
    return _autoregressive(latent_dim, num_flows, elementwise, inverse, key, made_options)


def make_planar(
    latent_dim: int, num_flows: int = 8, *, context_dim: int = 0, dtype=jnp.float32, key: Key
) -> Chain:
    """Planar flow (Rezende & Mohamed 2015, arXiv:1505.05770).

    Args:
        latent_dim: D.
        num_flows: rank-one updates, at least one.
        context_dim: F; 0 for free parameters.
        dtype: of the operands of matrix products.
        key: for the initial weights.

    Raises:
        ValueError: on zero flows.
    """
    return _chain(
        lambda _, k: Planar(latent_dim, context_dim=context_dim, dtype=dtype, key=k), num_flows, key
    )


def make_sylvester(
    latent_dim: int, num_flows: int = 4, *, basis: str, key: Key, **sylvester_options
) -> Chain:
    """Sylvester flow (van den Berg et al. 2018, arXiv:1803.05649).

    Args:
        latent_dim: D.
        num_flows: updates, at least one.
        basis: `orthogonal`, `householder`, or `identity`, which reverses the order between the updates
            and so is the paper's triangular flow.
        key: for the initial weights.
        sylvester_options: of each `Sylvester`, such as `num_vectors` and `context_dim`.

    Raises:
        ValueError: on zero flows, or a bad option.
    """
    return _chain(
        lambda _, k: Sylvester(latent_dim, basis=basis, key=k, **sylvester_options),
        num_flows,
        key,
        reverse=basis == "identity",
    )


def _autoregressive(
    latent_dim: int, num_flows: int, elementwise: Elementwise, inverse: str, key: Key, made_options: dict
) -> Chain:
    first_seed = made_options.pop("degrees_seed", 0)

    def make(step: int, key: Key) -> Flow:
        options = {"num_outputs": elementwise.num_parameters, "degrees_seed": first_seed + step}
        made = MADE(latent_dim, key=key, **options, **made_options)
        return Autoregressive(made, elementwise, inverse=inverse)

    return _chain(make, num_flows, key, reverse=True)


def _chain(make: Callable[[int, Key], Flow], num_flows: int, key: Key, *, reverse: bool = False) -> Chain:
    """Steps that `make` gives, where asked with the order reversed between every two."""
    expect_positive("num_flows", num_flows)
    first, *rest = (make(step, k) for step, k in enumerate(jax.random.split(key, num_flows)))
    between = (Reverse(),) if reverse else ()
    return Chain([first, *(part for step in rest for part in (*between, step))])
