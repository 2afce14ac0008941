"""One Hamiltonian move: it leaves its density as it is, whatever its step size."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.estimators.hmc import Path, State, is_nan, make_move

SCALE = jnp.array([0.5, 2.0])
SKEW = jnp.array([1.0, -0.5])


def log_start(z):
    return -0.5 * jnp.sum(z**2)


def log_joint(z):
    return -0.5 * jnp.sum(((z - SKEW) / SCALE) ** 2) + 3.0


def moments(beta):
    """Of start^(1 - beta) joint^beta, a Gaussian."""
    precision = (1 - beta) + beta / SCALE**2
    return beta * SKEW / SCALE**2 / precision, 1 / precision


@partial(jax.jit, static_argnames="num_chains")
def run(num_chains, step_size, beta=0.6, persistence=0.7):
    """Ten moves of chains that start where they should stay."""
    path = Path(log_start, log_joint)
    move = make_move(path, num_leapfrog=3, persistence=persistence)
    loc, variance = moments(beta)

    @jax.vmap
    def chain(key):
        z_key, momentum_key, key = jax.random.split(key, 3)
        z = loc + jnp.sqrt(variance) * jax.random.normal(z_key, (2,))
        state = State(path.at(z), jax.random.normal(momentum_key, (2,)))
        return jax.lax.scan(lambda s, k: move(k, s, beta, step_size), state, jax.random.split(key, 10))

    return chain(jax.random.split(jax.random.key(1), num_chains))


@pytest.mark.parametrize("persistence", [0.0, 0.7, 0.95])
def test_a_move_leaves_its_density_invariant(persistence):
    # A step so large that nearly half of the moves are refused: without the test it would show.
    count = 40_000
    state, info = run(count, 0.9, persistence=persistence)
    assert 0.4 < jnp.mean(info.acceptance) < 0.9
    loc, variance = moments(0.6)
    for name, z, m, v in (("z", state.position.z, loc, variance), ("momentum", state.momentum, 0.0, 1.0)):
        z = np.asarray(z, np.float64)
        error = 5 / np.sqrt(count)
        np.testing.assert_array_less(np.abs(z.mean(0) - m), error * np.sqrt(v), err_msg=name)
        np.testing.assert_array_less(np.abs(z.var(0) / v - 1), error * np.sqrt(2), err_msg=name)
        assert abs(np.corrcoef(z.T)[0, 1]) < error
    cross = np.corrcoef(np.asarray(state.position.z).T, np.asarray(state.momentum).T)[:2, 2:]
    np.testing.assert_array_less(np.abs(cross), 5 / np.sqrt(count))


def test_small_steps_are_always_accepted_and_move():
    state, info = run(200, 1e-3)
    assert jnp.min(info.acceptance) > 0.999
    after, info = run(200, 0.1)
    assert jnp.mean(info.acceptance) > 0.95
    assert np.std(after.position.z - state.position.z) > 0.3


def test_a_refused_move_stays_and_turns_round():
    path = Path(log_start, log_joint)
    state = State(path.at(jnp.array([0.3, -0.2])), jnp.array([1.0, -2.0]))
    # Nothing is drawn again, and the step is so large that it leaves for nowhere.
    move = make_move(path, num_leapfrog=4, persistence=1.0)
    after, info = move(jax.random.key(0), state, 0.5, 50.0)
    assert info.acceptance == 0
    np.testing.assert_array_equal(after.position.z, state.position.z)
    np.testing.assert_array_equal(after.momentum, -state.momentum)
    # An accepted one can be gone back by turning round.
    there, info = move(jax.random.key(0), state, 0.5, 0.01)
    assert info.acceptance > 0.99
    # The same key draws the same step size.
    back, _ = move(jax.random.key(0), State(there.position, -there.momentum), 0.5, 0.01)
    np.testing.assert_allclose(back.position.z, state.position.z, atol=1e-6)
    np.testing.assert_allclose(-back.momentum, state.momentum, atol=1e-6)


def test_a_move_costs_one_gradient_for_each_leapfrog_step():
    gradients = []

    def counted(z):
        jax.debug.callback(lambda: gradients.append(1))
        return log_joint(z)

    path = Path(log_start, counted)
    state = State(path.at(jnp.zeros(2)), jnp.ones(2))
    jax.effects_barrier()
    gradients.clear()
    jax.block_until_ready(
        make_move(path, num_leapfrog=7, persistence=0.0)(jax.random.key(0), state, 0.5, 0.1)
    )
    jax.effects_barrier()
    assert len(gradients) == 7


def test_the_carried_position_is_that_of_the_latent():
    state, _ = run(200, 0.4)
    fresh = jax.vmap(Path(log_start, log_joint).at)(state.position.z)
    for carried, computed in zip(state.position, fresh, strict=True):
        np.testing.assert_allclose(carried, computed, rtol=1e-5, atol=1e-5)


def test_a_trajectory_that_overflows_is_refused_and_not_nan():
    path = Path(log_start, lambda z: -jnp.sum(z**4))
    state = State(path.at(jnp.array([3.0, 3.0])), jnp.ones(2))
    after, info = make_move(path, num_leapfrog=20, persistence=0.5)(jax.random.key(0), state, 1.0, 10.0)
    assert info.acceptance == 0
    np.testing.assert_array_equal(after.position.z, state.position.z)
    assert not is_nan(after.position)
