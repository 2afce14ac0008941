import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae import init_state, make_evaluator, make_train_step
from jaxvae.train import Checkpoints, NonFiniteLoss, train
from jaxvae.train.loop import Monitor, Schedule, Tally
from tests.helpers import assert_trees_equal
from tests.test_evaluate import estimate
from tests.train.test_step import IMAGES, OPTIMIZER, fresh, loss_fn, prepare


class Recorder:
    def __init__(self):
        self.records, self.steps = [], []

    def advance(self, step):
        self.steps.append(step)

    def write(self, record):
        self.records.append(record)


STEP = make_train_step(loss_fn, OPTIMIZER)


def run(num_steps=20, state=None, schedule=None, **options):
    schedule = schedule or Schedule(num_steps, batch_size=5, log_every=4, evaluate_every=10)
    return train(state or fresh(), STEP, IMAGES, schedule=schedule, prepare=prepare, **options)


def monitor(selects=True):
    evaluator = make_evaluator(estimate, batch_size=5, prepare=lambda key, images: images.astype(jnp.float32))
    return Monitor("validation", lambda model: evaluator(model, jax.random.key(0), IMAGES[:5]), selects)


def test_records_come_when_asked_for_and_hold_what_they_promise():
    recorder = Recorder()
    state, tally = run(writer=recorder, monitor=monitor())
    assert state.step == 20
    assert [record["step"] for record in recorder.records] == [4, 8, 10, 12, 16, 20]
    assert set(recorder.records[0]) == {"step", "epoch", "train_elbo", "examples_per_second"}
    evaluated = [record for record in recorder.records if "validation_elbo" in record]
    assert [record["step"] for record in evaluated] == [10, 20]
    assert all(record["validation_elbo"] < record["validation_log_p_x"] for record in evaluated)
    assert recorder.records[0]["epoch"] == pytest.approx(4 * 5 / 23)
    assert recorder.steps[-1] == 20
    assert tally.best_elbo == max(record["validation_elbo"] for record in evaluated)
    assert min(tally.train_seconds, tally.compile_seconds, tally.evaluate_seconds) > 0


def test_the_train_elbo_is_the_mean_since_the_record_before():
    recorder, losses, state = Recorder(), [], fresh()
    run(8, writer=recorder)
    for _ in range(8):
        part = Recorder()
        step = int(state.step) + 1
        state, _ = run(schedule=Schedule(step, 5, log_every=1), state=state, writer=part)
        losses.append(part.records[0]["train_elbo"])
    means = [np.mean(losses[:4]), np.mean(losses[4:])]
    np.testing.assert_allclose([record["train_elbo"] for record in recorder.records], means, rtol=1e-5)


def test_a_run_in_pieces_is_the_whole_run_bit_for_bit(tmp_path):
    whole, whole_tally = run(monitor=monitor())
    checkpoints = Checkpoints(tmp_path)
    calls = []

    def stop_after_three_dispatches():
        calls.append(1)
        return len(calls) > 3

    run(monitor=monitor(), checkpoints=checkpoints, stop_requested=stop_after_three_dispatches)
    saved, tally = checkpoints.restore((fresh(seed=5), Tally()))
    assert 0 < saved.step < 20
    resumed, resumed_tally = run(state=saved, monitor=monitor(), tally=tally)
    assert_trees_equal(whole, resumed)
    assert float(whole_tally.best_elbo) == float(resumed_tally.best_elbo)


def test_the_best_state_is_kept_beside_the_last(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    elbos = iter([-3.0, -1.0, -2.0])

    class Fixed:
        seconds = compile_seconds = 0.0

        def summary(self):
            return {"elbo": next(elbos), "log_p_x": 0.0}

    schedule = Schedule(9, batch_size=5, evaluate_every=3)
    run(schedule=schedule, monitor=Monitor("validation", lambda m: Fixed(), True), checkpoints=checkpoints)
    assert checkpoints.restore((fresh(), Tally()), best=True)[0].step == 6
    last, tally = checkpoints.restore((fresh(), Tally()))
    assert last.step == 9
    assert tally.best_elbo == -1


def test_a_monitor_that_does_not_select_chooses_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    run(monitor=monitor(selects=False), checkpoints=checkpoints)
    assert not (tmp_path / "best").exists()
    assert checkpoints.restore((fresh(), Tally()), best=True)[0].step == 20


@pytest.mark.parametrize("where", ["loss", "parameters"])
def test_what_is_not_finite_stops_the_run_and_names_the_good_checkpoint(tmp_path, where):
    def broken(model, key, x, y):
        # The loss falls by one a step; its gradient, or itself, breaks at 15.
        grows = jnp.where(model[0] < -15, jnp.inf, 0.0)
        return model[0] + (grows if where == "loss" else 0.0)

    optimizer = optax.sgd(1.0)
    if where == "parameters":
        optimizer = optax.chain(
            optimizer, optax.scale_by_schedule(lambda t: jnp.where(t >= 16, jnp.nan, 1.0))
        )
    state = init_state(jnp.zeros(1), optimizer, jax.random.key(0))
    schedule = Schedule(17 if where == "parameters" else 40, batch_size=5, evaluate_every=10)
    what = (
        "a loss to be finite; got inf"
        if where == "loss"
        else "parameters to be finite; got some that are not"
    )
    message = rf"Expected {what} at step 17\. The last good checkpoint is .*/10\."
    with pytest.raises(NonFiniteLoss, match=message):
        train(
            state,
            make_train_step(broken, optimizer),
            IMAGES,
            schedule=schedule,
            checkpoints=Checkpoints(tmp_path),
        )
    restored, _ = Checkpoints(tmp_path).restore(
        (init_state(jnp.zeros(1), optimizer, jax.random.key(0)), Tally())
    )
    assert restored.step == 10
    assert jnp.isfinite(restored.model).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"Expected batch_size to be at least 1 and below 24; got 24\."):
        run(schedule=Schedule(5, batch_size=24))
    for name in ("num_steps", "batch_size", "log_every", "evaluate_every"):
        with pytest.raises(ValueError, match=rf"Expected {name} to be positive; got 0\."):
            Schedule(**{"num_steps": 1, "batch_size": 1, name: 0})
