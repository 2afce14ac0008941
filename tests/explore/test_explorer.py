"""What the page is told of a model, beside what the library says of it."""

import distrax
import equinox as eqx
import numpy as np
import pytest

from jaxvae import VAE
from jaxvae.explore.explorer import Explorer
from jaxvae.runs import View, evaluate_run, measure_latents


def test_an_image_is_its_mean_in_bytes_whatever_is_beside_it(explorer, conditional):
    z = np.random.RandomState(0).normal(size=(9, 3))
    images = explorer.decode(z, 4)
    assert images.shape == (9, 6, 5, 1)
    assert images.dtype == np.uint8
    run, _ = conditional
    mean = View(run, run.load_model()).decode(z, np.full(9, 4))
    assert np.array_equal(images, np.round(255 * mean).transpose(0, 2, 3, 1))
    assert np.array_equal(explorer.decode(z[5:6], 4)[0], images[5])
    assert not np.array_equal(explorer.decode(z[5:6], 5)[0], images[5])


def test_the_description_has_the_latents_by_their_activity(explorer, conditional):
    description = explorer.describe()
    use = measure_latents(*conditional, "test")
    assert description["activity"] == pytest.approx(use.activity, abs=1e-4)
    assert description["order"] == np.argsort(-use.activity).tolist()
    assert description["num_active"] == use.num_active
    assert description["image_shape"] == (6, 5, 1)
    assert (description["num_classes"], description["num_images"], description["num_encoded"]) == (10, 37, 37)
    assert (description["is_density"], description["is_drawn"]) == (True, False)


def test_a_slider_reaches_the_bulk_of_the_prior_and_every_encoded_image(explorer, conditional):
    run, dataset = conditional
    means, priors = measure_latents(*conditional, "test").statistics.mean, explorer.describe()["priors"]
    model, classes = run.load_model(), dataset.test.labels
    assert len(priors) == 10
    for y, prior in enumerate(priors):
        of_class = model.prior(np.eye(10, dtype=np.float32)[y])
        assert prior["center"] == pytest.approx(np.asarray(of_class.mean()), abs=2e-4)
        assert prior["scale"] == pytest.approx(np.asarray(of_class.stddev()), abs=2e-4)
        low, high = np.array(prior["low"]), np.array(prior["high"])
        assert np.all(low <= np.array(prior["center"]) - 3 * np.array(prior["scale"]) + 1e-3)
        assert np.all((means[classes == y] >= low - 1e-3) & (means[classes == y] <= high + 1e-3))


def test_the_plane_is_of_the_two_most_active_latents(explorer, grey_explorer, conditional):
    description = explorer.describe()
    plane = description["plane"]
    assert plane["latents"] == sorted(description["order"][:2])
    means = measure_latents(*conditional, "test").statistics.mean
    assert np.array(plane["points"]) == pytest.approx(means[:, plane["latents"]], abs=1e-4)
    assert plane["classes"] == conditional[1].test.labels.tolist()
    assert grey_explorer.describe()["plane"]["latents"] == [0, 1]


def test_an_encoding_is_the_posteriors_and_its_reconstruction_that_of_the_mean(explorer, conditional):
    image, label = explorer.stored(30)
    assert label == conditional[1].test.labels[30]
    encoding, statistics = explorer.encode(image, label), measure_latents(*conditional, "test").statistics
    assert encoding["mean"] == pytest.approx(statistics.mean[30], abs=1e-5)
    assert np.square(encoding["scale"]) == pytest.approx(statistics.variance[30], rel=1e-4)
    assert encoding["kl"] == pytest.approx(statistics.kl[30], rel=1e-4)
    assert encoding["pixels"] == (255 * image.ravel()).tolist()
    assert encoding["reconstruction"] == explorer.decode(np.array([encoding["mean"]]), label).ravel().tolist()


def test_a_score_is_what_the_evaluation_says_of_the_image(explorer, conditional):
    evaluation = evaluate_run(*conditional, "test")
    score = explorer.score(*explorer.stored(0))
    assert score["log_p"] == pytest.approx(evaluation.log_p[0], abs=1e-4)
    assert score["elbo"] == pytest.approx(evaluation.elbo[0], abs=1e-4)
    assert score["standard_error"] == pytest.approx(evaluation.standard_error[0], rel=1e-3)
    assert score["effective_sample_size"] == pytest.approx(evaluation.effective_sample_size[0], rel=1e-3)
    assert score["reliable"] == evaluation.reliable[0]


def test_a_drawing_becomes_what_the_test_images_are(explorer, grey_explorer, conditional):
    pixels = np.zeros((6, 5, 1))
    pixels[1, 2], pixels[3, 4], pixels[5, 0] = 255, 127.4, 130
    binary, grey = explorer.from_drawing(pixels), grey_explorer.from_drawing(pixels)
    assert binary.shape == grey.shape == conditional[1].image_shape
    assert (binary[0, 1, 2], binary[0, 3, 4], binary[0, 5, 0]) == (1, 0, 1)
    assert (grey[0, 1, 2], grey[0, 3, 4], grey[0, 5, 0]) == (255, 127, 130)
    assert np.array_equal(grey_explorer.encode(grey, None)["pixels"], np.round(pixels).ravel())


def test_draws_differ_and_are_of_the_classs_prior(explorer):
    draws = np.stack([explorer.draw(2) for _ in range(200)])
    prior = explorer.describe()["priors"][2]
    error = np.array(prior["scale"]) / 200**0.5
    assert np.all(np.abs(draws.mean(axis=0) - prior["center"]) < 5 * error)
    assert draws.std(axis=0) == pytest.approx(prior["scale"], rel=0.3)


def test_a_slider_reaches_what_is_encoded_beyond_the_prior(grey):
    run, dataset = grey
    trained = run.load_model()

    def posterior(x, y=None):
        loc = 9 + trained.posterior(x, y).mean()
        return distrax.Independent(distrax.Normal(loc, 1.0), 1)

    model = eqx.tree_at(lambda model: model.posterior, trained, posterior)
    description = Explorer(View(run, model), dataset).describe()
    (prior,), furthest = description["priors"], np.max(description["plane"]["points"], axis=0)
    assert np.all(furthest > 5)
    assert prior["high"] == pytest.approx(furthest, abs=1e-3)
    assert prior["low"] == pytest.approx(-furthest, abs=1e-3)


def test_nothing_is_traced_while_the_page_is_in_use(conditional):
    (run, dataset), traces = conditional, []
    trained = run.load_model()

    def counting(name):
        def traced(*inputs):
            traces.append(name)
            return getattr(trained, name)(*inputs)

        return traced

    model = VAE(*map(counting, ("posterior", "prior", "likelihood")))
    explorer = Explorer(View(run, model), dataset, num_samples=7)
    before = list(traces)
    assert set(before) == {"posterior", "prior", "likelihood"}
    for label in (3, 4):
        for count in (1, 2, 9, 16):
            explorer.decode(np.tile(explorer.draw(label), (count, 1)), label)
        explorer.encode(*explorer.stored(label))
    assert traces == before
