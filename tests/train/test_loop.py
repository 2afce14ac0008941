import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae import init_state, make_evaluator, make_train_step
from jaxvae.train import Checkpoints, NonFiniteLoss, train
from jaxvae.train.loop import Monitor, Observer, Plan, Tally
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


def run(num_steps=20, state=None, plan=None, **options):
    plan = plan or Plan(num_steps, batch_size=5, log_every=4, evaluate_every=10)
    return train(state or fresh(), STEP, IMAGES, plan=plan, prepare=prepare, **options)


def monitor(selects="elbo"):
    evaluator = make_evaluator(estimate, batch_size=5)
    return Monitor("validation", lambda model: evaluator(model, jax.random.key(0), IMAGES[:5]), selects)


MONITOR = monitor()


def test_records_come_when_asked_for_and_hold_what_they_promise():
    recorder = Recorder()
    state, tally = run(writer=recorder, monitor=MONITOR)
    assert state.step == 20
    assert [record["step"] for record in recorder.records] == [4, 8, 10, 12, 16, 20]
    assert set(recorder.records[0]) == {"step", "epoch", "train_elbo", "gradient_norm", "examples_per_second"}
    evaluated = [record for record in recorder.records if "validation_elbo" in record]
    assert [record["step"] for record in evaluated] == [10, 20]
    assert all(record["validation_elbo"] < record["validation_log_p_x"] for record in evaluated)
    assert recorder.records[0]["epoch"] == pytest.approx(4 * 5 / 23)
    assert recorder.steps[-1] == 20
    assert tally.best_elbo == max(record["validation_elbo"] for record in evaluated)
    assert min(tally.train_seconds, tally.compile_seconds, tally.evaluate_seconds) > 0


@pytest.mark.parametrize("name", ["train_elbo", "gradient_norm"])
def test_what_is_of_the_training_is_the_mean_since_the_record_before(name):
    coarse, fine = Recorder(), Recorder()
    run(8, writer=coarse)
    run(writer=fine, plan=Plan(8, batch_size=5, log_every=1))
    each = [record[name] for record in fine.records]
    means = [np.mean(each[:4]), np.mean(each[4:])]
    np.testing.assert_allclose([record[name] for record in coarse.records], means, rtol=1e-5)


def test_records_hold_the_schedule_s_rate_and_what_the_monitor_measures():
    recorder = Recorder()
    measured = dataclasses.replace(MONITOR, measure=lambda model: {"kl_per_latent": [1.0, 2.0]})
    run(writer=recorder, monitor=measured, learning_rate=lambda step: 0.1 / step)
    for record in recorder.records:
        assert record["learning_rate"] == 0.1 / record["step"]
        evaluated = record["step"] % 10 == 0
        assert record.get("validation_kl_per_latent") == ([1.0, 2.0] if evaluated else None)
        assert ("validation_elbo_standard_error" in record) == evaluated


def test_nothing_is_traced_twice_however_the_dispatches_are_cut():
    traces = []

    def counted(model, key, x, y):
        traces.append(1)
        return loss_fn(model, key, x, y)

    plan = Plan(30, batch_size=5, log_every=3, evaluate_every=10, block_size=2)
    train(fresh(), make_train_step(counted, OPTIMIZER), IMAGES, plan=plan, prepare=prepare)
    assert len(traces) == 1


@pytest.mark.parametrize("dispatches", [3, 5])  # in the middle of an interval; right at an evaluation
def test_a_run_in_pieces_is_the_whole_run_bit_for_bit(tmp_path, dispatches):
    # Blocks of one step: one dispatch each until the loop has measured how fast they are, so slow it.
    plan = Plan(20, batch_size=5, log_every=5, evaluate_every=5, block_size=1)
    whole, pieces, checkpoints = Recorder(), Recorder(), Checkpoints(tmp_path)
    whole_state, whole_tally = run(plan=plan, monitor=MONITOR, writer=whole)
    stop = {"at": dispatches}

    def stop_requested():
        return max(pieces.steps, default=0) >= stop["at"]

    run(plan=plan, monitor=MONITOR, writer=pieces, checkpoints=checkpoints, stop_requested=stop_requested)
    saved, tally = checkpoints.restore((fresh(seed=5), Tally()))
    assert dispatches <= saved.step < 20
    stop["at"] = 99
    resumed, resumed_tally = run(
        plan=plan, state=saved, monitor=MONITOR, tally=tally, writer=pieces, stop_requested=stop_requested
    )
    assert_trees_equal(whole_state, resumed)
    assert whole_tally.best_elbo == resumed_tally.best_elbo
    assert [record["step"] for record in pieces.records] == [5, 10, 15, 20]
    for one, other in zip(whole.records, pieces.records, strict=True):
        assert one["validation_elbo"] == other["validation_elbo"]
        for name in ("train_elbo", "gradient_norm"):
            assert one[name] == pytest.approx(other[name], rel=1e-6)


class Fixed:
    seconds = compile_seconds = 0.0

    def __init__(self, bound):
        self._bound = bound

    def summary(self):
        errors = {"elbo_standard_error": 0.5, "log_p_x_standard_error": 0.5}
        return {"elbo": self._bound, "log_p_x": -10 - self._bound, **errors}


def test_the_averaged_model_is_what_is_evaluated():
    def keep(model):
        seen.append(jax.tree.map(jnp.copy, eqx.filter(model, eqx.is_array)))
        return Fixed(-1.0)

    seen = []
    state, _ = train(
        fresh(ema=True),
        make_train_step(loss_fn, OPTIMIZER, ema_decay=0.9),
        IMAGES,
        plan=Plan(4, batch_size=5),
        prepare=prepare,
        monitor=Monitor("validation", keep, "elbo"),
    )
    assert_trees_equal(seen[-1], state.ema)
    assert any(
        jnp.any(a != b) for a, b in zip(jax.tree.leaves(state.ema), jax.tree.leaves(state.model), strict=True)
    )


@pytest.mark.parametrize(("selects", "best_step", "best"), [("elbo", 6, -1.0), ("log_p_x", 3, -7.0)])
def test_the_best_state_by_the_number_that_selects_is_kept_beside_the_last(
    tmp_path, selects, best_step, best
):
    checkpoints = Checkpoints(tmp_path)
    bounds = iter([-3.0, -1.0, float("nan"), -2.0])
    plan = Plan(12, batch_size=5, evaluate_every=3)
    run(
        plan=plan,
        monitor=Monitor("validation", lambda m: Fixed(next(bounds)), selects),
        checkpoints=checkpoints,
    )
    assert checkpoints.restore((fresh(), Tally()), best=True)[0].step == best_step
    last, tally = checkpoints.restore((fresh(), Tally()))
    assert last.step == 12
    assert tally.best_elbo == best


def test_an_observer_looks_at_its_steps_and_changes_nothing(tmp_path):
    seen, plain, observed = [], Recorder(), Recorder()
    observers = [
        Observer(every, lambda step, _, every=every: seen.append((every, step))) for every in (3, None, 7)
    ]
    one, _ = run(writer=plain, monitor=MONITOR)
    two, _ = run(writer=observed, monitor=MONITOR, observers=observers)
    steps = {every: [step for who, step in seen if who == every] for every in (3, None, 7)}
    assert steps == {3: [3, 6, 9, 12, 15, 18], None: [10, 20], 7: [7, 14]}
    assert_trees_equal(one, two)
    assert [record["step"] for record in plain.records] == [record["step"] for record in observed.records]
    assert plain.records[-1]["train_elbo"] == observed.records[-1]["train_elbo"]
    with pytest.raises(ValueError, match=r"Expected every to be positive; got 0\."):
        Observer(0, print)


def test_a_monitor_that_does_not_select_chooses_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    run(monitor=monitor(selects=None), checkpoints=checkpoints)
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
    plan = Plan(17 if where == "parameters" else 40, batch_size=5, evaluate_every=10)
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
            plan=plan,
            checkpoints=Checkpoints(tmp_path),
        )
    restored, _ = Checkpoints(tmp_path).restore(
        (init_state(jnp.zeros(1), optimizer, jax.random.key(0)), Tally())
    )
    assert restored.step == 10
    assert jnp.isfinite(restored.model).all()


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"Expected batch_size to be at least 1 and below 24; got 24\."):
        run(plan=Plan(5, batch_size=24))
    for name in ("num_steps", "batch_size", "log_every", "evaluate_every", "block_size"):
        with pytest.raises(ValueError, match=rf"Expected {name} to be positive; got 0\."):
            Plan(**{"num_steps": 1, "batch_size": 1, name: 0})
