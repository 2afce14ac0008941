import zipfile

import numpy as np
import pytest

from jaxvae.data.files.arrays import read_npy, read_npz
from tests.data.files.helpers import assert_cuts_are_refused, assert_stored, held_out, some_images

TRAIN, VALIDATION, TEST = some_images(5, 2, 4), some_images(3, 2, 4, seed=1), some_images(2, 2, 4, seed=2)
LABELS = {"train": np.arange(5), "validation": np.array([4, 0, 2]), "test": np.array([[3], [1]])}
ALL_LABELS = [0, 1, 2, 3, 4, 4, 0, 2, 3, 1]


def save(path, array):
    np.save(path, array)
    return path


def savez(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_of_one_array_a_part_is_held_out(tmp_path, channels):
    images = some_images(30, 2, 4, channels=channels)
    assert_stored(read_npy(save(tmp_path / "a.npy", images)), held_out(images), num_test=3)


def test_channels_may_come_first(tmp_path):
    images = some_images(30, 2, 4, channels=3)
    path = save(tmp_path / "a.npy", np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    assert_stored(read_npy(path), held_out(images), num_test=3)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32, ">f8"])
def test_binary_pixels_of_any_type_are_0_and_255(tmp_path, dtype):
    images = some_images(30, 2, 4) % 2
    path = save(tmp_path / "a.npy", np.asfortranarray(images.astype(dtype)))
    assert_stored(read_npy(path), 255 * held_out(images), num_test=3)


@pytest.mark.parametrize("validation", ["validation", "valid", "val"])
@pytest.mark.parametrize(
    ("images", "labels"), [("{}", "{}_labels"), ("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("x_{}", None)]
)
def test_splits_are_known_by_their_names(tmp_path, images, labels, validation):
    names = {"train": "train", "validation": validation, "test": "test"}
    splits = {"test": TEST, "train": TRAIN, "validation": VALIDATION}
    arrays = {images.format(names[split]): values for split, values in splits.items()}
    if labels:
        arrays |= {labels.format(names[split]): values for split, values in LABELS.items()}
    stored = read_npz(savez(tmp_path / "a.npz", **arrays))
    everything = np.concatenate([TRAIN, VALIDATION, TEST])
    classes = ALL_LABELS if labels else None
    assert_stored(stored, everything, labels=classes, num_validation=3, num_test=2)


def test_validation_images_may_be_missing(tmp_path):
    stored = read_npz(savez(tmp_path / "a.npz", train=TRAIN, test=TEST))
    assert_stored(stored, np.concatenate([TRAIN, TEST]), num_test=2)


def test_of_images_without_splits_a_part_is_held_out_with_its_labels(tmp_path):
    images, labels = some_images(30), np.random.RandomState(0).randint(0, 9, 30)
    stored = read_npz(savez(tmp_path / "a.npz", images=images, labels=np.eye(9)[labels]))
    assert_stored(stored, held_out(images), labels=held_out(labels), num_test=3)
    assert_stored(read_npz(savez(tmp_path / "b.npz", images=images)), held_out(images), num_test=3)


BAD_ARRAYS = {
    "objects": (np.array([1, None]), "to be a whole NPY file; got Object arrays cannot be loaded.*"),
    "no axis": (np.array(3), "to hold at least two images; got 1"),
    "no images": (np.zeros((0, 2, 2)), "to hold at least two images; got 0"),
    "one image": (some_images(1), "to hold at least two images; got 1"),
    "rows": (np.zeros((5, 784)), r"to have shape \(N, H, W\), .*; got \(5, 784\)"),
    "two channels": (np.zeros((5, 4, 4, 2)), r"to have shape \(N, H, W\), .*; got \(5, 4, 4, 2\)"),
    "text": (np.full((5, 2, 2), "a"), "to hold numbers; got type <U1"),
    "records": (np.zeros((5, 2, 2), [("a", "u1")]), "to hold numbers; got type .*"),
    "constant": (np.full((5, 2, 2), 7), "not to be constant; got 5 that are"),
    "NaN": (np.full((5, 2, 2), np.nan), r"to be in \[0, 1\]; got NaN"),
    "floats of 0 to 255": (some_images(5) * 1.0, r"to be in \[0, 1\]; got \d+ to 2\d\d"),
    "negative": (some_images(5).astype(int) - 300, r"to be from 0 to 255; got -2\d\d to -.*"),
}


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_are_no_images_are_refused(tmp_path, name):
    array, message = BAD_ARRAYS[name]
    with pytest.raises(ValueError, match=rf"\AExpected .*a\.npy {message}\.\Z"):
        read_npy(save(tmp_path / "a.npy", array))


BAD_SETS = {
    "unknown names": (
        {"train": TRAIN, "prices": TEST},
        "to hold the images train and test.*; got prices, train",
    ),
    "one unnamed": ({"arr_0": TRAIN}, "to hold the images train and test.*; got arr_0"),
    "nothing": ({}, "to hold the images train and test.*; got no arrays"),
    "labels alone": ({"train": TRAIN, "y_test": np.zeros(2)}, "to hold the images .*; got train, y_test"),
    "two of one": (
        {"train": TRAIN, "x_train": TRAIN, "test": TEST},
        "to hold the images .*; got test, train, x_train",
    ),
    "images beside splits": (
        {"train": TRAIN, "images": TRAIN, "test": TEST},
        "to hold the images .*; got images, test, train",
    ),
    "no test": ({"train": TRAIN}, "to have training and test images; got train"),
    "no training": ({"test": TEST}, "to have training and test images; got test"),
    "an empty split": ({"train": TRAIN, "test": TEST[:0]}, "to be positive; got 0"),
    "labels of one split": (
        {"train": TRAIN, "test": TEST, "y_train": LABELS["train"]},
        "to have labels, or none; got those of train",
    ),
    "labels of another length": (
        {"images": TRAIN, "labels": np.zeros(4, int)},
        r"to have shape \(5,\); got \(4,\)",
    ),
    "several classes": (
        {"images": TRAIN, "labels": np.ones((5, 3))},
        r"to be one class for each image or one-hot; got \(5, 3\)",
    ),
    "no classes": (
        {"images": TRAIN, "labels": np.full(5, 0.5)},
        r"to be classes 0, 1, 2, \.\.\.; got float64 .*",
    ),
    "other sizes": (
        {"train": TRAIN, "test": some_images(2, 4, 2)},
        r"an image of the test images .* to have shape \(1, 2, 4\); got \(1, 4, 2\)",
    ),
    "objects": ({"train": np.array([None, 2]), "test": TEST}, "to be a whole NPZ file; got Object arrays .*"),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_sets_of_arrays_that_do_not_fit_are_refused(tmp_path, name):
    arrays, message = BAD_SETS[name]
    with pytest.raises(ValueError, match=rf"\AExpected .*{message}\.\Z"):
        read_npz(savez(tmp_path / "a.npz", **arrays))


def test_a_zip_file_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("train", "text")
        file.writestr("read me.txt", "text")
    with pytest.raises(
        ValueError, match=r"Expected .*a\.npz to hold the images .*; got read me\.txt, train\."
    ):
        read_npz(tmp_path / "a.npz")


def test_truncated_files_are_refused(tmp_path):
    assert_cuts_are_refused(read_npy, save(tmp_path / "a.npy", TRAIN), sizes=(0, 5, 9, 100, 128, 140))
    path = savez(tmp_path / "a.npz", train=TRAIN, test=TEST)
    assert_cuts_are_refused(read_npz, path, sizes=(0, 3, 50, 300, path.stat().st_size - 1))


@pytest.mark.parametrize("read", [read_npy, read_npz])
def test_a_missing_file_is_refused(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"Expected a file at .*nothing; got nothing\."):
        read(tmp_path / "nothing")
