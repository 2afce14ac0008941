"""Batches that are sent to the device: their order, their parts, and the training on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.train import Batches, Checkpoints, train
from jaxvae.train.loop import NonFiniteLoss, Plan, Tally
from jaxvae.train.step import make_train_step
from tests.helpers import assert_trees_equal
from tests.train.test_loop import IMAGES, OPTIMIZER, Recorder, fresh, loss_fn, prepare

KEY = jax.random.key(9)
NUMBERS = np.arange(23)
PLAN = Plan(20, batch_size=5, log_every=5, evaluate_every=5, block_size=3)


def rows(step, shard=(0, 1), batch_size=5, key=KEY):
    return Batches(NUMBERS, None, batch_size, key, shard=shard).rows(step)


def test_every_epoch_is_a_permutation_of_its_own():
    batches = Batches(NUMBERS, None, 5, KEY)
    epochs = [np.concatenate([batches[step][0] for step in range(4 * e, 4 * e + 4)]) for e in range(3)]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 20
    assert not np.array_equal(epochs[0], epochs[1])


def test_a_batch_is_a_matter_of_the_key_and_the_step_alone():
    batches = Batches(NUMBERS, None, 5, KEY)
    for step in (9, 0, 17, 9):
        np.testing.assert_array_equal(batches.rows(step), rows(step))
    assert not np.array_equal(rows(9), rows(9, key=jax.random.key(8)))


@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_parts_of_the_processes_are_disjoint_and_make_up_the_batch(count):
    for step in (0, 2, 5):
        parts = [rows(step, (index, count), batch_size=6) for index in range(count)]
        assert {len(part) for part in parts} == {6 // count}
        np.testing.assert_array_equal(np.concatenate(parts), rows(step, batch_size=6))


def test_labels_travel_with_their_images():
    batches = Batches(NUMBERS[:, None], 10 * NUMBERS, 5, KEY)
    for step in range(9):
        images, labels = batches[step]
        np.testing.assert_array_equal(10 * images[:, 0], labels)


def run(*, resident, images=None, plan=PLAN, **options):
    state = options.pop("state", None) or fresh()
    images = np.asarray(IMAGES) if images is None else images
    step = make_train_step(loss_fn, OPTIMIZER)
    return train(state, step, images, plan=plan, resident=resident, prepare=prepare, **options)


def test_training_on_sent_batches_is_training_on_the_device():
    one, two = Recorder(), Recorder()
    resident, _ = run(resident=True, writer=one)
    sent, _ = run(resident=False, writer=two)
    assert resident.step == sent.step == 20
    for a, b in zip(jax.tree.leaves(resident.model), jax.tree.leaves(sent.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert [record["step"] for record in one.records] == [record["step"] for record in two.records]
    for a, b in zip(one.records, two.records, strict=True):
        assert a["train_elbo"] == pytest.approx(b["train_elbo"], rel=1e-5)


def test_a_run_on_sent_batches_in_pieces_is_the_whole_run_bit_for_bit(tmp_path):
    whole, _ = run(resident=False)
    checkpoints = Checkpoints(tmp_path)
    run(resident=False, plan=Plan(7, batch_size=5, block_size=3), checkpoints=checkpoints)
    saved, _ = checkpoints.restore((fresh(seed=5), Tally()))
    assert saved.step == 7
    resumed, _ = run(resident=False, state=saved)
    assert_trees_equal(whole, resumed)


@pytest.mark.parametrize("block_size", [1, 3])
def test_a_loss_that_breaks_is_reported_at_its_step(block_size):
    def broken(model, key, x, y):
        return jnp.where(jnp.all(x == 7), jnp.nan, loss_fn(model, key, x, y))

    # The only image of sevens is in one batch of the first epoch.
    images = np.asarray(IMAGES).copy()
    images[rows(2)[1]] = 7
    plan = Plan(20, batch_size=5, log_every=20, evaluate_every=20, block_size=block_size)
    step = make_train_step(broken, OPTIMIZER)
    with pytest.raises(NonFiniteLoss, match=r"Expected a loss to be finite; got nan at step 3\."):
        train(fresh(), step, images, plan=plan, resident=False)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"Expected batch_size to be at least 1 and below 24; got 24\."):
        rows(0, batch_size=24)
    with pytest.raises(ValueError, match=r"Expected a batch of 5 to be divisible among 2 processes; got 5\."):
        rows(0, (0, 2))
    with pytest.raises(
        ValueError, match=r"Expected the number of this process to be at least 0 and below 2; got 2\."
    ):
        rows(0, (2, 2), batch_size=6)
