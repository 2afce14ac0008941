import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.train import make_optimizer
from jaxvae.train.optimizers import OPTIMIZERS, make_schedule

pytestmark = pytest.mark.usefixtures("compile_fast")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_descends(name):
    optimizer = make_optimizer(name, 0.1)
    parameters = jnp.array([3.0, -2.0])
    state = optimizer.init(parameters)
    for _ in range(100):
        updates, state = optimizer.update(2 * parameters, state, parameters)
        parameters = parameters + updates
    assert jnp.linalg.norm(parameters) < 0.5


def test_the_gradient_is_clipped_by_its_global_norm():
    optimizer = make_optimizer("rmsprop", 1.0, max_gradient_norm=1.0)
    unclipped = make_optimizer("rmsprop", 1.0)
    gradient = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    got, _ = optimizer.update(gradient, optimizer.init(gradient))
    wanted, _ = unclipped.update({"a": jnp.array([0.6]), "b": jnp.array([0.8])}, unclipped.init(gradient))
    np.testing.assert_allclose(got["a"], wanted["a"], rtol=1e-5)
    np.testing.assert_allclose(got["b"], wanted["b"], rtol=1e-5)


def test_weight_decay_shrinks_under_adamw():
    optimizer = make_optimizer("adamw", 0.1, weight_decay=0.5)
    parameters = jnp.array([2.0])
    updates, _ = optimizer.update(jnp.zeros(1), optimizer.init(parameters), parameters)
    np.testing.assert_allclose(updates, [-0.1], rtol=1e-6)


SCHEDULES = {
    "constant": ({}, {0: 1.0, 50: 1.0, 99: 1.0}),
    "cosine": ({}, {0: 1.0, 50: 0.5, 100: 0.0}),
    "step": ({"decay_every": 30, "decay_factor": 0.1}, {0: 1.0, 29: 1.0, 30: 0.1, 60: 0.01}),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_schedule_has_its_shape(name):
    options, points = SCHEDULES[name]
    schedule = make_schedule(name, 1.0, num_steps=100, **options)
    for step, rate in points.items():
        np.testing.assert_allclose(schedule(step), rate, atol=1e-6)


def test_a_warm_up_rises_from_zero_and_the_rest_follows():
    schedule = make_schedule("cosine", 2.0, num_steps=100, warmup_steps=20)
    np.testing.assert_allclose([schedule(t) for t in (0, 10, 20, 60, 100)], [0, 1, 2, 1, 0], atol=1e-6)


BAD = {
    "optimizer": (
        lambda: make_optimizer("adma", 0.1),
        r"Expected optimizer to be one of .*got 'adma' \(near: adam",
    ),
    "decay": (
        lambda: make_optimizer("adam", 0.1, weight_decay=0.1),
        r"Expected the optimizer of a weight decay to be one of adamw; got 'adam'",
    ),
    "norm": (
        lambda: make_optimizer("adam", 0.1, max_gradient_norm=0.0),
        r"max_gradient_norm to be positive; got 0",
    ),
    "schedule": (
        lambda: make_schedule("cos", 0.1, num_steps=9),
        r"Expected schedule to be one of .*got 'cos'",
    ),
    "rate": (
        lambda: make_schedule("cosine", 0.0, num_steps=9),
        r"Expected learning_rate to be positive; got 0",
    ),
    "warm-up": (
        lambda: make_schedule("cosine", 1.0, num_steps=9, warmup_steps=9),
        r"Expected warmup_steps to be at least 0 and below 9; got 9\.",
    ),
    "a decay for another schedule": (
        lambda: make_schedule("cosine", 1.0, num_steps=9, decay_factor=0.1),
        r"Expected the schedule of a decay to be one of step; got 'cosine'",
    ),
    "factor": (
        lambda: make_schedule("step", 1.0, num_steps=9, decay_factor=0.0),
        r"Expected decay_factor to be positive; got 0\.0\.",
    ),
    "every": (
        lambda: make_schedule("step", 1.0, num_steps=9, decay_every=0),
        r"Expected decay_every to be positive; got 0\.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        call()
