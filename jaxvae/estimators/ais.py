"""Annealed importance sampling with Hamiltonian moves, forward and reverse."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae._checks import expect_in_range, expect_positive, expect_shape, expected
from jaxvae._typing import Distribution, Int, Key, Latent, LogJointFn, Scalar
from jaxvae.estimators.estimate import Estimate
from jaxvae.estimators.hmc import Path, State, is_nan, make_move
from jaxvae.estimators.weights import Draw, Summary, summarize_weights

Schedule = Float[np.ndarray, " T+1"]
StepSizes = Float[Array, " T-1"]

# Wu et al. 2017, section 5.1, arXiv:1611.04273.
_TARGET_ACCEPTANCE = 0.65
_FIRST_STEP_SIZE = 0.1
_SETTLING_MOVES = 30
_ADAPTATION_RATE = 0.3
_MOST_ADAPTING_CHAINS = 16


def linear_schedule(num_temperatures: int) -> Schedule:
    """Inverse temperatures 0, 1/T, ..., 1.

    Args:
        num_temperatures: T.

    Raises:
        ValueError: if T is not positive.
    """
    expect_positive("num_temperatures", num_temperatures)
    return np.linspace(0, 1, num_temperatures + 1)


def sigmoid_schedule(num_temperatures: int) -> Schedule:
    """Inverse temperatures that change slowly at both ends.

    beta_t = (s(8 t / T - 4) - s(-4)) / (s(4) - s(-4)) with the sigmoid s (Wu et al. 2017, section 5.1,
    arXiv:1611.04273).

    Args:
        num_temperatures: T.

    Raises:
        ValueError: if T is not positive.
    """
    points = 1 / (1 + np.exp(4 - 8 * linear_schedule(num_temperatures)))
    return (points - points[0]) / (points[-1] - points[0])


def annealed_log_likelihood(
    log_joint_fn: LogJointFn,
    start: Distribution,
    key: Key,
    *,
    schedule: Schedule | None = None,
    num_chains: int = 16,
    num_leapfrog: int = 10,
    persistence: float = 0.5,
    chunk_size: int = 16,
) -> Estimate:
    """Log p(x) by chains from `start` to the posterior, with a Hamiltonian move at every temperature between.

    log (1/M) sum_m w_m with log w = sum_t (beta_t - beta_{t-1}) (log p(x, z_{t-1}) - log start(z_{t-1})),
    where the move to z_t leaves start(z)^(1 - beta_t) p(x, z)^beta_t invariant (Neal 2001,
    arXiv:physics/9803008; Sohl-Dickstein & Culpepper 2012, arXiv:1205.1925; Wu et al. 2017,
    arXiv:1611.04273). Other chains find the step sizes beforehand, for an acceptance of 0.65, so that the
    weights stay unbiased. One temperature is importance sampling.

    Args:
        log_joint_fn: log p(x, z) of one image as a function of z `(D,)`, in nats.
        start: what the chains start from, over the same z.
        key: for the draws; the result does not depend on `chunk_size` beyond rounding.
        schedule: inverse temperatures `(T + 1,)` from 0 to 1; `sigmoid_schedule(100)` where none is given.
        num_chains: M.
        num_leapfrog: leapfrog steps, one gradient each, at each of the T - 1 temperatures between.
        persistence: part of the momentum that outlasts a move, in [0, 1).
        chunk_size: chains in memory at a time.

    Returns:
        An `Estimate`, in nats.

    Raises:
        ValueError: if a count is not positive, or the schedule does not rise from 0 to 1.
    """
    annealing = _Annealing(log_joint_fn, start, schedule, num_chains, num_leapfrog, persistence, chunk_size)
    adapt_key, forward_key = jax.random.split(key)
    step_sizes = annealing.adapted_step_sizes(adapt_key)
    return annealing.estimate(key, "ais", annealing.forward(forward_key, step_sizes))


def bidirectional_gap(
    log_joint_fn: LogJointFn,
    start: Distribution,
    z: Latent,
    key: Key,
    *,
    schedule: Schedule | None = None,
    num_chains: int = 16,
    num_leapfrog: int = 10,
    persistence: float = 0.5,
    chunk_size: int = 16,
) -> Estimate:
    """Log p(x) from both sides, for an image that was simulated: x ~ p(x | z), z ~ p(z).

    Its latent is an exact draw from the posterior. Chains from there back to `start` estimate 1 / p(x)
    without bias, so that `upper` is high on average where `log_p`, of chains forward, is low: their `gap`
    bounds the error of either, for this model and these settings (Grosse et al. 2015, arXiv:1511.02543).

    Args:
        log_joint_fn: log p(x, z) of the simulated image as a function of z `(D,)`, in nats.
        start: as in `annealed_log_likelihood`, with all the other arguments.
        z: the latent `(D,)` that the image was drawn with, in the space of `log_joint_fn`.
        key: for the draws.
        schedule: inverse temperatures.
        num_chains: M, in each direction.
        num_leapfrog: leapfrog steps at each temperature.
        persistence: part of the momentum that outlasts a move.
        chunk_size: chains in memory at a time.

    Returns:
        The `Estimate` of the chains forward, with the reverse ones' as `upper`.

    Raises:
        ValueError: if a count is not positive, or the schedule does not rise from 0 to 1.
    """
    annealing = _Annealing(log_joint_fn, start, schedule, num_chains, num_leapfrog, persistence, chunk_size)
    expect_shape("the latent", z.shape, jax.eval_shape(lambda: start.sample(seed=key)).shape)
    adapt_key, forward_key, reverse_key = jax.random.split(key, 3)
    step_sizes = annealing.adapted_step_sizes(adapt_key)
    forward = annealing.forward(forward_key, step_sizes)
    reverse = annealing.reverse(reverse_key, step_sizes, z)
    return annealing.estimate(key, "bdmc", forward, reverse)


class _Annealing:
    """The chains of one image; the arguments are those of `annealed_log_likelihood`."""

    def __init__(
        self,
        log_joint_fn: LogJointFn,
        start: Distribution,
        schedule: Schedule | None,
        num_chains: int,
        num_leapfrog: int,
        persistence: float,
        chunk_size: int,
    ):
        schedule = sigmoid_schedule(100) if schedule is None else np.asarray(schedule, np.float64)
        if schedule.ndim != 1 or len(schedule) < 2 or schedule[0] != 0 or schedule[-1] != 1:
            ends = schedule[[0, -1]] if schedule.ndim == 1 and len(schedule) > 1 else schedule
            raise expected("the schedule", "to run from 0 to 1", ends)
        if not np.all(np.diff(schedule) > 0):
            raise expected("the schedule", "to rise at every temperature", f"{np.diff(schedule).min()}")
        counts = {"num_chains": num_chains, "num_leapfrog": num_leapfrog, "chunk_size": chunk_size}
        for name, count in counts.items():
            expect_positive(name, count)
        expect_in_range("persistence", persistence, 0, 1)
        self._start, self._schedule = start, schedule
        self._num_chains, self._num_leapfrog, self._chunk_size = num_chains, num_leapfrog, chunk_size
        self._path = Path(start.log_prob, log_joint_fn)
        self._move = make_move(self._path, num_leapfrog=num_leapfrog, persistence=persistence)

    def adapted_step_sizes(self, key: Key) -> StepSizes:
        """Step sizes of an acceptance near the target, from fewer chains of their own."""
        first_key, moves_key = jax.random.split(key)
        num_chains = min(max(1, self._num_chains // 4), _MOST_ADAPTING_CHAINS)
        betas = self._schedule[1:-1]
        betas = np.concatenate([np.repeat(betas[:1], _SETTLING_MOVES), betas])

        def advance(carry: tuple[State, Scalar], inputs: tuple[Int, Scalar]) -> tuple[tuple, Scalar]:
            (states, log_step_size), (index, beta) = carry, inputs
            keys = jax.random.split(jax.random.fold_in(moves_key, index), num_chains)
            move = jax.vmap(self._move, in_axes=(0, 0, None, None))
            states, info = move(keys, states, beta, jnp.exp(log_step_size))
            error = jnp.mean(info.acceptance) - _TARGET_ACCEPTANCE
            log_step_size += _ADAPTATION_RATE * error
            return (states, log_step_size), log_step_size

        states = jax.vmap(self._first_state)(jax.random.split(first_key, num_chains))
        first = (states, jnp.log(jnp.float32(_FIRST_STEP_SIZE)))
        inputs = (jnp.arange(1, len(betas) + 1), jnp.asarray(betas, jnp.float32))
        _, log_step_sizes = jax.lax.scan(advance, first, inputs)
        return jnp.exp(log_step_sizes[len(betas) - len(self._schedule) + 2 :])

    def forward(self, key: Key, step_sizes: StepSizes) -> Summary:
        """Chains from the start to the posterior."""

        def draw(index: Int) -> Draw:
            first_key, chain_key = jax.random.split(jax.random.fold_in(key, index))
            state = self._first_state(first_key)
            return self._chain(chain_key, state, self._schedule, step_sizes)

        return summarize_weights(draw, self._num_chains, self._chunk_size)

    def reverse(self, key: Key, step_sizes: StepSizes, z: Latent) -> Summary:
        """Chains from a draw of the posterior to the start; their mean weight estimates 1 / p(x)."""

        def draw(index: Int) -> Draw:
            first_key, chain_key = jax.random.split(jax.random.fold_in(key, index))
            state = self._state_at(first_key, z)
            return self._chain(chain_key, state, self._schedule[::-1], step_sizes[::-1])

        return summarize_weights(draw, self._num_chains, self._chunk_size)

    def estimate(
        self, key: Key, estimator: str, forward: Summary, reverse: Summary | None = None
    ) -> Estimate:
        """The record of the chains forward and, where there are any, of the reverse ones."""
        upper, acceptance, nan_at = jnp.full((), jnp.nan), forward.acceptance, forward.nan_at
        if reverse is not None:
            upper, acceptance = -reverse.log_mean, (acceptance + reverse.acceptance) / 2
            # Reverse chains count their temperatures from the other end.
            reverse_at = jnp.where(reverse.nan_at < 0, -1, len(self._schedule) - 1 - reverse.nan_at)
            nan_at = jnp.where(nan_at < 0, reverse_at, nan_at)
        return Estimate(
            log_p=forward.log_mean,
            standard_error=forward.standard_error,
            effective_sample_size=forward.effective_sample_size,
            pareto_k=forward.pareto_k,
            elbo=forward.mean_of_start,
            upper=upper,
            acceptance=acceptance,
            nan_at=nan_at,
            key=key,
            estimator=estimator,
            num_samples=self._num_chains,
            num_temperatures=len(self._schedule) - 1,
            num_leapfrog=self._num_leapfrog,
        )

    def _first_state(self, key: Key) -> State:
        start_key, momentum_key = jax.random.split(key)
        return self._state_at(momentum_key, self._start.sample(seed=start_key))

    def _state_at(self, key: Key, z: Latent) -> State:
        return State(self._path.at(z), jax.random.normal(key, z.shape))

    def _chain(self, key: Key, state: State, schedule: Schedule, step_sizes: StepSizes) -> Draw:
        """The log-weight along inverse temperatures in either direction."""

        def log_ratio(state: State) -> Scalar:
            return state.position.log_joint - state.position.log_start

        def advance(carry: tuple, inputs: tuple) -> tuple[tuple, None]:
            (state, log_w, accepted, nan_at), (index, change, beta, step_size) = carry, inputs
            log_w = log_w + change * log_ratio(state)
            state, info = self._move(jax.random.fold_in(key, index), state, beta, step_size)
            nan_at = jnp.where((nan_at < 0) & info.is_nan, index, nan_at)
            return (state, log_w, accepted + info.acceptance, nan_at), None

        changes = jnp.asarray(np.diff(schedule), jnp.float32)
        num_moves = len(changes) - 1
        first = (state, jnp.zeros(()), jnp.zeros(()), jnp.where(is_nan(state.position), 0, -1))
        betas = jnp.asarray(schedule[1:-1], jnp.float32)
        inputs = (jnp.arange(1, num_moves + 1), changes[:-1], betas, step_sizes)
        (last, log_w, accepted, nan_at), _ = jax.lax.scan(advance, first, inputs)
        log_w = log_w + changes[-1] * log_ratio(last)
        acceptance = accepted / num_moves if num_moves else jnp.full((), jnp.nan)
        return Draw(log_w, log_ratio(state), acceptance, nan_at)
