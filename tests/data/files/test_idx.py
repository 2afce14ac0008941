import gzip

import numpy as np
import pytest

from jaxvae.data.files.idx import find_idx, has_idx, load_idx, read_idx_directory, read_idx_file
from tests.conftest import write_idx
from tests.data.files.helpers import assert_stored, held_out, some_images


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 5)])
def test_values_and_shape_come_back(tmp_path, shape, compress):
    array = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    path = tmp_path / "without-a-telling-name"
    write_idx(path, array, compress=compress)
    np.testing.assert_array_equal(load_idx(path), array)


WHOLE = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
DAMAGED = {
    "empty": (b"", r"to start with an IDX header; got 0 bytes\."),
    "wrong magic": (
        b"\x01" + WHOLE[1:],
        r"to start with the IDX magic 0x000008 and a rank; got 0x01000802\.",
    ),
    "wrong type": (
        WHOLE[:2] + b"\x0d" + WHOLE[3:],
        r"to start with the IDX magic 0x000008 and a rank; got 0x00000d02\.",
    ),
    "no axis": (
        WHOLE[:3] + b"\x00" + WHOLE[4:],
        r"to start with the IDX magic 0x000008 and a rank; got 0x00000800\.",
    ),
    "cut in the header": (WHOLE[:9], r"to hold 2 axis lengths; got 9 bytes\."),
    "truncated": (WHOLE[:-1], r"to hold 6 values; got 5\."),
    "too long": (WHOLE + b"\x00", r"to hold 6 values; got 7\."),
    "truncated gzip": (gzip.compress(WHOLE)[:-9], r"to be a whole gzip file; got "),
    "damaged gzip": (gzip.compress(WHOLE)[:-6] + b"abcdef", r"to be a whole gzip file; got "),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_by_name(tmp_path, name):
    content, message = DAMAGED[name]
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"Expected .*images {message}"):
        load_idx(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected an IDX file at .*nothing; got no file\."):
        load_idx(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"Expected an IDX file x or x\.gz in .*; got neither\."):
        find_idx(tmp_path, "x")


def write_four(directory, **arrays):
    """Of two training and one test image, but for the arrays that are given."""
    for name, array in {
        "train_images": some_images(4, 2, 3),
        "train_labels": np.array([3, 0, 1, 2], np.uint8),
        "t10k_images": some_images(2, 2, 3, seed=1),
        "t10k_labels": np.array([1, 3], np.uint8),
        **arrays,
    }.items():
        split, kind = name.split("_")
        rank = "idx3" if kind == "images" else "idx1"
        write_idx(directory / f"{split}-{kind}-{rank}-ubyte", array)
    return directory


def test_the_four_files_are_training_and_test_images(tmp_path):
    stored = read_idx_directory(write_four(tmp_path))
    images = np.concatenate([some_images(4, 2, 3), some_images(2, 2, 3, seed=1)])
    assert_stored(stored, images, labels=[3, 0, 1, 2, 1, 3], num_test=2)


def test_images_may_have_colours(tmp_path):
    images = some_images(4, 2, 2, channels=3), some_images(2, 2, 2, channels=3, seed=1)
    stored = read_idx_directory(write_four(tmp_path, train_images=images[0], t10k_images=images[1]))
    assert_stored(stored, np.concatenate(images), labels=[3, 0, 1, 2, 1, 3], num_test=2)


def test_of_one_file_a_part_is_held_out(tmp_path):
    images = some_images(30, 2, 3)
    write_idx(tmp_path / "images", images, compress=True)
    assert_stored(read_idx_file(tmp_path / "images"), held_out(images), num_test=3)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_one_of_the_four_names_tells_the_directory(tmp_path, suffix):
    assert not has_idx(tmp_path)
    (tmp_path / f"t10k-labels-idx1-ubyte{suffix}").touch()
    assert has_idx(tmp_path)


NOT_FITTING = {
    "labels of another length": (
        {"train_labels": np.zeros(3, np.uint8)},
        r"the labels of .*train-images-idx3-ubyte to have shape \(4,\); got \(3,\)",
    ),
    "labels where images belong": (
        {"train_images": np.zeros(4, np.uint8)},
        r".*train-images-idx3-ubyte to hold images of shape \(N, H, W\); got shape \(4,\)",
    ),
    "images where labels belong": (
        {"t10k_labels": np.zeros((2, 2, 3), np.uint8)},
        r"the labels of .*t10k-images-idx3-ubyte to have shape \(2,\); got \(2, 2, 3\)",
    ),
    "no images": (
        {"t10k_images": np.zeros((0, 2, 3), np.uint8), "t10k_labels": np.zeros(0, np.uint8)},
        r".*t10k-images-idx3-ubyte to hold images of shape \(N, H, W\); got shape \(0, 2, 3\)",
    ),
    "test images of another size": (
        {"t10k_images": some_images(2, 2, 4)},
        r"an image of the test images of .* to have shape \(1, 2, 3\); got \(1, 2, 4\)",
    ),
    "constant images": (
        {"train_images": np.zeros((4, 2, 3), np.uint8), "t10k_images": np.zeros((2, 2, 3), np.uint8)},
        r"the images of .* not to be constant; got 6 that are",
    ),
}


@pytest.mark.parametrize("name", NOT_FITTING)
def test_files_that_do_not_fit_are_refused(tmp_path, name):
    arrays, message = NOT_FITTING[name]
    with pytest.raises(ValueError, match=rf"\AExpected {message}\.\Z"):
        read_idx_directory(write_four(tmp_path, **arrays))


def test_some_constant_images_are_warned_of(tmp_path):
    images = some_images(4, 2, 3)
    images[1] = 7
    with pytest.warns(UserWarning, match=r"1 of the 6 images of .* are constant\."):
        read_idx_directory(write_four(tmp_path, train_images=images))


def test_a_missing_file_of_the_four_is_named(tmp_path):
    (write_four(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"Expected an IDX file t10k-labels-idx1-ubyte or .*neither\."
    ):
        read_idx_directory(tmp_path)
