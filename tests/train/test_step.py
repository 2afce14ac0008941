import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae import elbo, init_state, make_log_weight, make_train_step
from jaxvae.model import make_log_weight_terms
from jaxvae.objectives import elbo_terms, make_loss
from jaxvae.train import make_multi_step
from jaxvae.train.step import epoch_order
from tests.helpers import assert_trees_equal
from tests.test_model import SHAPE, make_model

OPTIMIZER = optax.adam(1e-2)
IMAGES = jnp.asarray(np.random.RandomState(2).randint(0, 2, (23, *SHAPE)).astype(np.uint8))


def loss_fn(model, key, x, y):
    return -elbo(make_log_weight(model, x, y), key)


def prepare(key, images):
    return jax.random.bernoulli(key, 0.2 + 0.6 * images).astype(jnp.float32)


def fresh(seed=0, **options):
    return init_state(make_model(jax.random.key(seed)), OPTIMIZER, jax.random.key(9), **options)


def jitted(step, block_size=1, prepare=prepare):
    return eqx.filter_jit(make_multi_step(step, batch_size=5, block_size=block_size, prepare=prepare))


STEP = make_train_step(loss_fn, OPTIMIZER)
MULTI_STEP = jitted(STEP)


def run(num_blocks, state, multi_step=MULTI_STEP, images=IMAGES, labels=None):
    return multi_step((images, labels, jnp.asarray(num_blocks, jnp.int32)), state)[:3]


def test_a_step_is_one_optax_update_of_the_mean_loss():
    state, x = fresh(), IMAGES[:5].astype(jnp.float32)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(9), 0), 5)

    model = make_model(jax.random.key(0))
    of_one = eqx.filter_jit(eqx.filter_value_and_grad(loss_fn))
    ones = [of_one(model, keys[i], x[i], None) for i in range(5)]
    loss, gradient = jax.tree.map(lambda *leaves: jnp.asarray(np.mean(leaves, axis=0)), *ones)
    parameters = eqx.filter(model, eqx.is_inexact_array)
    updates, _ = OPTIMIZER.update(gradient, OPTIMIZER.init(parameters), parameters)
    expected = eqx.apply_updates(model, updates)

    new, value = make_train_step(loss_fn, OPTIMIZER)(state, x)
    np.testing.assert_allclose(value, loss, rtol=1e-5)
    assert new.step == 1
    for got, wanted in zip(jax.tree.leaves(new.model), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("block_size", [1, 3, 4])  # an epoch has four steps
def test_many_steps_in_one_dispatch_are_the_same_steps_one_by_one(block_size):
    whole, total, last = run(12 // block_size, fresh(), jitted(STEP, block_size))
    state, losses = fresh(), []
    for _ in range(12):
        state, _, (loss,) = run(1, state)
        losses.append(float(loss))
    assert_trees_equal(whole, state)
    np.testing.assert_allclose(total, sum(losses), rtol=1e-5)
    np.testing.assert_array_equal(last, losses[-block_size:])


@pytest.mark.parametrize("num_parts", [1, 5])
def test_the_norm_of_a_gradient_is_that_before_clipping_and_many_steps_sum_it(num_parts):
    def slope_loss(model, key, x, y):
        return jnp.sum(model["weight"] * x) + 12.0 * model["bias"]

    optimizer = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0))
    model = {"weight": jnp.zeros(SHAPE), "bias": jnp.zeros(()), "name": "no array"}
    step = make_train_step(slope_loss, optimizer, num_parts=num_parts)
    x = np.random.RandomState(1).normal(size=(5, *SHAPE)).astype(np.float32)
    state, _, norm = step.update((x, None), init_state(model, optimizer, jax.random.key(0)))
    np.testing.assert_allclose(norm, np.sqrt(np.sum(x.mean(axis=0) ** 2) + 12.0**2), rtol=1e-5)
    moved = np.append(state.model["weight"], state.model["bias"])
    np.testing.assert_allclose(np.linalg.norm(moved), 0.1, rtol=1e-5)
    # The same images at each step: of one batch, the order does not matter.
    multi_step = jitted(step, 2, prepare=lambda key, images: images)
    *_, norms = multi_step(
        (x, None, jnp.asarray(3, jnp.int32)), init_state(model, optimizer, jax.random.key(0))
    )
    np.testing.assert_allclose(norms, 6 * norm, rtol=1e-5)


def test_training_raises_the_bound():
    _, _, first = run(1, fresh())
    _, _, last = run(300, fresh())
    assert last[0] < first[0] - 2


def test_an_epoch_visits_each_image_once_in_an_order_of_its_own():
    key = jax.random.key(0)
    orders = [epoch_order(key, jnp.asarray(epoch), 23) for epoch in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(23))
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(epoch_order(key, jnp.asarray(1), 23), orders[1])


def test_batches_of_an_epoch_are_disjoint_and_epochs_differ():
    # The "model" counts how often each image was seen, by way of its gradient.
    def count_loss(model, key, x, y):
        return -jnp.sum(model * x)

    identity = jnp.eye(23)
    step = make_train_step(count_loss, optax.sgd(1.0))
    multi_step = jitted(step, prepare=lambda key, images: images)
    state = init_state(jnp.zeros(23), optax.sgd(1.0), jax.random.key(1))
    seen = []
    for _ in range(3):  # 23 images in batches of 5: four steps an epoch, three images left out
        before = np.asarray(state.model)
        state, _, _ = run(4, state, multi_step, identity)
        seen.append(np.round((np.asarray(state.model) - before) * 5).astype(int))
    for counts in seen:
        assert sorted(counts.tolist()) == [0] * 3 + [1] * 20
    assert any(np.any(seen[0] != counts) for counts in seen[1:])


def test_labels_travel_with_their_images():
    def loss(model, key, x, y):
        return jnp.sum(model) + 1e3 * jnp.sum((x - y) ** 2)

    step = make_train_step(loss, optax.sgd(0.0))
    state = init_state(jnp.zeros(2), optax.sgd(0.0), jax.random.key(1))
    values = jnp.arange(23.0)[:, None]
    multi_step = jitted(step, prepare=lambda key, images: images)
    _, total, _ = run(9, state, multi_step, values, values)
    assert total == 0


def test_nothing_is_traced_twice():
    @chex.assert_max_traces(n=1)
    def counted(model, key, x, y):
        return loss_fn(model, key, x, y)

    step = make_train_step(counted, OPTIMIZER)
    state = fresh()
    for _ in range(3):
        state, _ = step(state, IMAGES[:5].astype(jnp.float32))
    assert state.step == 3


def test_the_state_is_donated_and_what_it_was_made_from_is_not():
    model, key = make_model(jax.random.key(0)), jax.random.key(9)
    state = init_state(model, OPTIMIZER, key, ema=True)
    make_train_step(loss_fn, OPTIMIZER, ema_decay=0.9)(state, IMAGES[:5].astype(jnp.float32))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.model))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(model))
    assert not key.is_deleted()


def test_the_average_follows_the_parameters_with_its_warm_up():
    step = make_train_step(loss_fn, OPTIMIZER, ema_decay=0.5)
    state, expected = fresh(ema=True), make_model(jax.random.key(0))
    for t in range(10):
        state, _ = step(state, IMAGES[:5].astype(jnp.float32))
        decay = min(0.5, (1 + t) / (10 + t))
        expected = jax.tree.map(lambda a, p, d=decay: d * a + (1 - d) * p, expected, state.model)
    for got, wanted in zip(jax.tree.leaves(state.eval_model), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    assert fresh().eval_model.posterior is not None


def test_a_loss_that_is_not_finite_ends_the_dispatch_at_its_block():
    def loss(model, key, x, y):
        return jnp.where(model[0] < -2.5, jnp.nan, jnp.sum(model))

    step = make_train_step(loss, optax.sgd(1.0))
    state = init_state(jnp.zeros(1), optax.sgd(1.0), jax.random.key(1))
    state, _, last = run(100, state, jitted(step, block_size=3))
    assert state.step == 6
    assert jnp.isnan(last).tolist() == [True, True, True]


def test_any_module_can_be_trained():
    class Custom(eqx.Module):
        scale: jax.Array
        activation: object  # a leaf that is no array

    step = make_train_step(lambda m, key, x, y: jnp.sum(m.activation(m.scale * x)), optax.sgd(0.1))
    state = init_state(Custom(jnp.ones(()), jnp.tanh), optax.sgd(0.1), jax.random.key(0))
    state, _, _ = run(3, state, jitted(step))
    assert state.model.scale < 1


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"Expected ema_decay to be at least 0 and below 1; got 1\.5\."):
        make_train_step(loss_fn, OPTIMIZER, ema_decay=1.5)
    for state, step in (
        (fresh(ema=True), STEP),
        (fresh(), make_train_step(loss_fn, OPTIMIZER, ema_decay=0.5)),
    ):
        with pytest.raises(
            ValueError, match="Expected ema of the state and ema_decay of the step to come tog"
        ):
            step(state, IMAGES[:5].astype(jnp.float32))
    for name in ("batch_size", "block_size"):
        with pytest.raises(ValueError, match=rf"Expected {name} to be positive; got 0\."):
            make_multi_step(STEP, **{"batch_size": 1, "block_size": 1, name: 0}, prepare=prepare)


def loss_terms(model, key, x, y):
    return elbo_terms(make_log_weight_terms(model, x, y), key)


def test_the_loss_of_terms_may_depend_on_their_means_and_on_the_step():
    seen = []

    def combine(terms, now):
        seen.append(terms)
        return now * terms["kl"]  # at step 0 nothing is lost, so nothing moves

    step = make_train_step(loss_terms, optax.sgd(1e-2), combine=combine)
    x = IMAGES[:5].astype(jnp.float32)
    model = make_model(jax.random.key(0))
    state, terms = step(init_state(model, optax.sgd(1e-2), jax.random.key(9)), x)
    assert_trees_equal(state.model, model)
    _, loss = STEP(fresh(), x)
    np.testing.assert_allclose(terms["elbo"], -loss, rtol=1e-5)
    assert terms["kl"] > 0
    assert set(seen[0]) == {"elbo", "kl"}
    moved, _ = step(state, x)
    encoders = (m.posterior.encoder.mlp.layers[0].weight for m in (moved.model, model))
    assert not np.array_equal(*encoders)


@pytest.mark.parametrize("num_parts", [2, 4])
def test_an_accumulated_gradient_is_that_of_the_whole_batch(num_parts):
    x = IMAGES[:8].astype(jnp.float32)
    options = {"optimizer": optax.sgd(1e-2), "combine": make_loss(kl_warmup_steps=3)}
    states = []
    for parts in (1, num_parts):
        step = make_train_step(loss_terms, num_parts=parts, **options)
        state = init_state(make_model(jax.random.key(0)), optax.sgd(1e-2), jax.random.key(9))
        for _ in range(3):
            state, terms = step(state, x)
        states.append((state.model, terms))
    for one, two in zip(*(jax.tree.leaves(state) for state in states), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_an_accumulated_step_holds_one_part_in_memory_at_a_time():
    x = jnp.zeros((64, *SHAPE))

    def temporary(num_parts):
        step = make_train_step(loss_terms, optax.sgd(1e-2), combine=make_loss(), num_parts=num_parts)
        model = make_model(jax.random.key(0), widths=(256,))
        state = init_state(model, optax.sgd(1e-2), jax.random.key(9))
        compiled = jax.jit(lambda state, x: step(state, x)[1]).lower(state, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(8) < temporary(1)


def test_many_steps_sum_the_terms():
    step = make_train_step(loss_terms, OPTIMIZER, combine=make_loss())
    _, sums, totals = run(2, fresh(), jitted(step, 2))
    _, loss_sum, losses = run(2, fresh(), jitted(STEP, 2))
    np.testing.assert_allclose(sums["elbo"], -loss_sum, rtol=1e-5)
    assert totals.shape == losses.shape == (2,)


def test_parts_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(ValueError, match=r"Expected a batch of 5 to be divisible into 2 parts; got 5\."):
        make_train_step(loss_fn, OPTIMIZER, num_parts=2)(fresh(), IMAGES[:5].astype(jnp.float32))
    with pytest.raises(ValueError, match=r"Expected num_parts to be positive; got 0\."):
        make_train_step(loss_fn, OPTIMIZER, num_parts=0)
