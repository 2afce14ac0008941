import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import (
    annealed_log_likelihood,
    bidirectional_gap,
    importance_log_likelihood,
    make_evaluator,
    make_log_weight,
    noise_space,
    simulate,
)
from jaxvae.estimators import linear_schedule
from jaxvae.evaluate import Evaluation, load_evaluation
from tests.helpers import assert_within_standard_errors, exact_log_p, linear_gaussian
from tests.test_model import SHAPE, make_model


def estimate(model, key, x, y):
    log_weight_fn = make_log_weight(model, x.astype(jnp.float32), y)
    return importance_log_likelihood(log_weight_fn, key, num_samples=30, chunk_size=8)


def make_images(count):
    return np.random.RandomState(1).randint(0, 2, (count, *SHAPE)).astype(np.uint8)


def evaluate(model, images, batch_size=4, **options):
    evaluator = make_evaluator(estimate, batch_size=batch_size)
    return evaluator(model, jax.random.key(3), images, **options)


@pytest.mark.parametrize("batch_size", [1, 3, 11, 64])
def test_the_batch_size_changes_nothing_beyond_rounding(key, batch_size):
    model, images = make_model(key), make_images(11)
    reference, other = evaluate(model, images), evaluate(model, images, batch_size)
    assert other.log_p.shape == (11,)
    for name in ("log_p", "elbo", "standard_error", "effective_sample_size"):
        np.testing.assert_allclose(getattr(other, name), getattr(reference, name), rtol=1e-4, err_msg=name)


def test_an_image_is_not_moved_by_those_beside_it(key):
    model, images = make_model(key), make_images(8)
    others = np.concatenate([images[:1], 1 - images[1:]])
    one, two = evaluate(model, images), evaluate(model, others)
    assert one.log_p[0] == two.log_p[0]
    assert np.all(one.log_p[1:] != two.log_p[1:])


def test_images_of_a_split_have_draws_of_their_own(key):
    images = np.repeat(make_images(1), 5, axis=0)
    log_p = evaluate(make_model(key), images).log_p
    assert len(set(log_p.tolist())) == 5


def test_every_image_is_scored_as_if_alone(key):
    model, images = make_model(key), make_images(3)
    result = evaluate(model, images)
    for i, image in enumerate(images):
        image_key = jax.random.fold_in(jax.random.key(3), i)
        alone = estimate(model, image_key, jnp.asarray(image, jnp.float32), None)
        np.testing.assert_allclose(result.log_p[i], alone.log_p, rtol=1e-5)


def test_labels_reach_the_model(key):
    model, images = make_model(key, label_dim=3), make_images(5)
    one, two = (evaluate(model, images, labels=np.eye(3)[[i] * 5].astype(np.float32)) for i in (0, 1))
    assert np.all(one.log_p != two.log_p)


def test_the_mean_over_images_is_exact_within_its_error():
    random = np.random.RandomState(0)
    images = random.normal(size=(300, 1, 2, 2)).astype(np.float32)
    evaluator = make_evaluator(
        lambda m, k, x, y: importance_log_likelihood(
            make_log_weight(m, x, y), k, num_samples=2000, chunk_size=500
        )
    )
    result = evaluator(linear_gaussian(), jax.random.key(0), images)
    summary = result.summary()
    exact = np.array([exact_log_p(x) for x in images])
    assert_within_standard_errors(summary["log_p_x"], exact.mean(), summary["log_p_x_monte_carlo_error"])
    np.testing.assert_allclose(
        summary["log_p_x_standard_error"], np.std(exact, ddof=1) / np.sqrt(300), rtol=0.02
    )
    np.testing.assert_allclose(summary["elbo_standard_error"], np.std(result.elbo, ddof=1) / np.sqrt(300))
    assert summary["elbo"] < summary["log_p_x"]


def test_the_summary_has_the_keys_of_results_json(key):
    summary = evaluate(make_model(key), make_images(5)).summary()
    assert set(summary) == {
        "elbo",
        "elbo_standard_error",
        "log_p_x",
        "log_p_x_standard_error",
        "log_p_x_monte_carlo_error",
        "lower",
        "upper",
        "gap",
        "gap_standard_error",
        "effective_sample_size",
        "pareto_k",
        "reliable",
        "acceptance",
        "estimator",
        "num_samples",
        "num_images",
        "seconds",
    }
    assert (summary["estimator"], summary["num_samples"], summary["num_images"]) == ("importance", 30, 5)
    assert summary["lower"] == summary["log_p_x"]
    assert np.isnan([summary[name] for name in ("upper", "gap", "gap_standard_error", "acceptance")]).all()
    assert np.isnan(summary["pareto_k"])  # of 30 samples


def test_the_summary_of_bounds_says_what_the_chains_were(key):
    def bound(model, key, _, y):
        simulate_key, key = jax.random.split(key)
        x, z = simulate(model, simulate_key)
        there = noise_space(model, x)
        noise, schedule = there.bijector.inverse(z), linear_schedule(4)
        options = {"num_chains": 3, "num_leapfrog": 2, "schedule": schedule}
        return bidirectional_gap(there.log_joint_fn, there.start, noise, key, **options)

    evaluation = make_evaluator(bound, batch_size=2)(linear_gaussian(), key, np.arange(5))
    summary = evaluation.summary()
    assert "num_samples" not in summary
    chains = {name: summary[name] for name in ("num_chains", "num_temperatures", "num_leapfrog")}
    assert chains == {"num_chains": 3, "num_temperatures": 4, "num_leapfrog": 2}
    gaps = evaluation.upper - evaluation.log_p
    np.testing.assert_allclose(summary["gap"], summary["upper"] - summary["lower"], rtol=1e-5)
    np.testing.assert_allclose(summary["gap_standard_error"], np.std(gaps, ddof=1) / np.sqrt(5), rtol=1e-5)
    assert 0 < summary["acceptance"] <= 1
    assert np.isnan(summary["pareto_k"])


def test_a_second_evaluation_compiles_nothing(key):
    traces = []

    def counted(model, key, x, y):
        traces.append(1)
        return estimate(model, key, x, y)

    evaluator = make_evaluator(counted, batch_size=4)
    for seed in range(3):
        result = evaluator(make_model(jax.random.key(seed)), key, make_images(11))
    assert len(traces) == 1
    assert result.compile_seconds == 0


def test_memory_does_not_grow_with_the_samples(key):
    def temporary_bytes(num_samples):
        def score(key, x):
            log_weight_fn = make_log_weight(model, x)
            return importance_log_likelihood(log_weight_fn, key, num_samples=num_samples, chunk_size=10).log_p

        keys, x = jax.random.split(key, 4), jnp.asarray(make_images(4), jnp.float32)
        return jax.jit(jax.vmap(score)).lower(keys, x).compile().memory_analysis().temp_size_in_bytes

    model = make_model(key)
    # The tail of the weights is kept, three square roots of the samples, for each of four images.
    tail = 4 * 4 * 3 * (100 - 10)
    assert temporary_bytes(10_000) - temporary_bytes(100) < 4 * tail


def test_an_evaluation_in_pieces_is_the_whole_one_bit_for_bit(key, tmp_path):
    inputs, seen = (make_model(key), key, make_images(10)), []
    evaluator = make_evaluator(estimate, batch_size=4)
    whole = evaluator(*inputs, on_batch=seen.append)
    assert [len(part.log_p) for part in seen] == [4, 8, 10]
    for part in seen:
        part.save(tmp_path / "part.npz", "these")
        done = evaluator(*inputs, begun=load_evaluation(tmp_path / "part.npz", "these"))
        assert done.seconds >= part.seconds
        for name in ("log_p", "elbo", "standard_error", "effective_sample_size", "estimator", "num_samples"):
            np.testing.assert_array_equal(getattr(done, name), getattr(whole, name))
    assert not list(tmp_path.glob("*.part"))


def test_a_part_that_cannot_be_used_is_none(tmp_path):
    path = tmp_path / "part.npz"
    assert load_evaluation(path, "these") is None
    Evaluation(*[np.ones(3)] * 9, "importance", 30, 1, 0, 0.5, 0.25).save(path, "these")
    assert load_evaluation(path, "these").num_samples == 30
    assert load_evaluation(path, "others") is None
    content = path.read_bytes()
    for damaged in (b"", b"x" * 100, content[:400], content[: len(content) // 2]):
        path.write_bytes(damaged)
        assert load_evaluation(path, "these") is None
    np.savez(path, made_from="these", log_p=np.zeros(3))
    assert load_evaluation(path, "these") is None


@pytest.mark.parametrize("batch_size", [2, 3, 10])
def test_a_density_that_is_nan_is_reported_with_its_image(key, batch_size):
    def score(model, key, x, y):
        return importance_log_likelihood(lambda k: jnp.sum(x) + 0 * jax.random.normal(k), key, num_samples=3)

    images = np.ones((7, 1, 2, 2), np.float32)
    images[4] = np.nan
    with pytest.raises(ValueError, match=r"Expected every log density to be a number; got NaN for image 4\."):
        make_evaluator(score, batch_size=batch_size)(None, key, images).expect_numbers()


def test_a_density_that_is_nan_is_reported_with_its_temperature(key):
    # NaN where the chains of one image come, later.
    def log_joint_fn(x, z):
        third = x[0, 0, 0] == 3
        return jnp.where(third & (z[0] > 8), jnp.nan, -0.5 * jnp.sum((z - 20.0 * third) ** 2))

    def score(model, key, x, y):
        options = {"num_chains": 4, "schedule": linear_schedule(12)}
        return annealed_log_likelihood(
            lambda z: log_joint_fn(x, z), linear_gaussian().prior(), key, **options
        )

    images = np.arange(6, dtype=np.float32).reshape(6, 1, 1, 1)
    with pytest.raises(ValueError, match=r"got NaN for image 3 at temperature \d+ of 12\."):
        make_evaluator(score, batch_size=6)(None, key, images).expect_numbers()


def test_bad_input_is_refused(key):
    with pytest.raises(ValueError, match=r"Expected batch_size to be positive; got 0\."):
        make_evaluator(estimate, batch_size=0)
    with pytest.raises(ValueError, match=r"Expected the number of images to be positive; got 0\."):
        evaluate(make_model(key), make_images(0))
