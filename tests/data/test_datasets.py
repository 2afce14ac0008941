import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import load_dataset
from jaxvae.data import BINARIZATIONS, make_prepare
from jaxvae.data.binarize import freeze
from jaxvae.data.files.idx import find_idx, load_idx
from tests.conftest import write_idx


def grey(directory, name):
    return load_idx(find_idx(directory, f"{name}-images-idx3-ubyte"))


def test_splits_are_the_files_in_their_order(idx_directory):
    dataset = load_dataset(idx_directory, binarization="none", num_validation=20)
    assert dataset.image_shape == (1, 6, 5)
    np.testing.assert_array_equal(dataset.train.images[:, 0], grey(idx_directory, "train")[:100])
    np.testing.assert_array_equal(dataset.validation.images[:, 0], grey(idx_directory, "train")[100:])
    np.testing.assert_array_equal(dataset.test.images[:, 0], grey(idx_directory, "t10k"))
    labels = load_idx(find_idx(idx_directory, "train-labels-idx1-ubyte"))
    np.testing.assert_array_equal(np.r_[dataset.train.labels, dataset.validation.labels], labels)


def test_no_validation_trains_on_all(idx_directory):
    dataset = load_dataset(idx_directory, num_validation=0)
    assert dataset.validation is None
    assert len(dataset.train.images) == 120
    with pytest.raises(ValueError, match=r"Expected split to be one of test, train; got 'validation'\."):
        dataset.split("validation")


def test_the_bundled_mnist_has_the_standard_splits():
    dataset = load_dataset(binarization="threshold")
    assert [len(split.images) for split in dataset[:3]] == [50_000, 10_000, 10_000]
    assert set(np.unique(dataset.test.images)) == {0, 1}
    assert dataset.test.labels[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.parametrize("binarization", ["static", "dynamic"])
def test_validation_and_test_are_the_frozen_draw(idx_directory, binarization):
    dataset = load_dataset(idx_directory, binarization=binarization, num_validation=20)
    images = np.concatenate([grey(idx_directory, "train"), grey(idx_directory, "t10k")])
    draws = freeze(images, "static")
    np.testing.assert_array_equal(dataset.validation.images[:, 0], draws[100:120])
    np.testing.assert_array_equal(dataset.test.images[:, 0], draws[120:])
    kept = draws if binarization == "static" else images
    np.testing.assert_array_equal(dataset.train.images[:, 0], kept[:100])


def test_the_static_draw_has_the_grey_values_as_its_means():
    values = np.tile(np.array([0, 20, 128, 240, 255], np.uint8), (20_000, 1))
    means = freeze(values, "static").mean(axis=0)
    exact = values[0] / 255
    assert np.all(np.abs(means - exact) <= 5 * np.sqrt(exact * (1 - exact) / 20_000))
    np.testing.assert_array_equal(freeze(values[:3], "static"), freeze(values, "static")[:3])


def test_dynamic_pixels_are_fresh_under_each_key_and_have_the_grey_means():
    prepare = jax.jit(make_prepare("dynamic", training=True))
    images = jnp.tile(jnp.array([0, 20, 128, 255], jnp.uint8), (20_000, 1)).reshape(-1, 1, 2, 2)
    one, two = (prepare(jax.random.key(seed), images) for seed in (0, 1))
    assert jnp.any(one != two)
    assert set(np.unique(one)) == {0.0, 1.0}
    exact = np.array([0, 20, 128, 255]) / 255
    means = np.mean(one, axis=0).ravel()
    assert np.all(np.abs(means - exact) <= 5 * np.sqrt(exact * (1 - exact) / 20_000))


@pytest.mark.parametrize("binarization", BINARIZATIONS)
def test_what_a_model_sees_is_float32_and_binary_but_for_none(idx_directory, binarization, key):
    dataset = load_dataset(idx_directory, binarization=binarization, num_validation=20)
    for name in ("train", "validation", "test"):
        x = make_prepare(binarization, training=name == "train")(key, jnp.asarray(dataset.split(name).images))
        assert x.dtype == jnp.float32
        values = set(np.unique(x))
        assert (values == {0.0, 1.0}) == (binarization != "none")
        assert min(values) == 0.0
        assert max(values) <= 1.0


def broken(tmp_path, **arrays):
    for name, array in {
        "train-images-idx3-ubyte": np.zeros((4, 2, 2), np.uint8),
        "train-labels-idx1-ubyte": np.zeros(4, np.uint8),
        "t10k-images-idx3-ubyte": np.zeros((2, 2, 2), np.uint8),
        "t10k-labels-idx1-ubyte": np.zeros(2, np.uint8),
        **arrays,
    }.items():
        write_idx(tmp_path / name, array)
    return tmp_path


BAD = {
    "labels of another length": (
        {"train-labels-idx1-ubyte": np.zeros(3, np.uint8)},
        r"Expected the labels of .*train-images-idx3-ubyte to have shape \(4,\); got \(3,\)\.",
    ),
    "test images of another size": (
        {"t10k-images-idx3-ubyte": np.zeros((2, 2, 3), np.uint8)},
        r"Expected an image of the test images of .* to have shape \(1, 2, 2\); got \(1, 2, 3\)\.",
    ),
    "labels where images belong": (
        {"train-images-idx3-ubyte": np.zeros(4, np.uint8)},
        r"to hold images of shape \(N, H, W\); got shape \(4,\)\.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_do_not_fit_are_refused(tmp_path, name):
    arrays, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        load_dataset(broken(tmp_path, **arrays), num_validation=1)


def test_other_bad_input_is_refused(tmp_path, idx_directory):
    with pytest.raises(
        ValueError,
        match=r"Expected the data set to be one of .*tfds:NAME or a path; got 'mnits' \(near: mnist",
    ):
        load_dataset("mnits")
    with pytest.raises(
        ValueError, match=r"Expected binarization to be one of .*got 'sttic' \(near: static\)"
    ):
        load_dataset(idx_directory, binarization="sttic")
    with pytest.raises(
        ValueError, match=r"Expected num_validation to be at least 0 and below 120; got 120\."
    ):
        load_dataset(idx_directory, num_validation=120)
    with pytest.raises(ValueError, match="Expected binarization to be one of"):
        make_prepare("sttic", training=True)
