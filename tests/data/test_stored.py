import numpy as np
import pytest

from jaxvae.data.stored import as_images, as_labels, as_pixels, hold_out, join_splits

RANDOM = np.random.RandomState(0)
GREY = RANDOM.randint(0, 256, (30, 4, 5)).astype(np.uint8)
TRAIN, VALIDATION, TEST = GREY[:5], GREY[5:8], GREY[8:10]


@pytest.mark.parametrize(
    ("values", "pixels"),
    [
        (np.array([0, 1, 254, 255], np.uint8), [0, 1, 254, 255]),
        (np.array([0, 2], np.int64), [0, 2]),
        (np.array([0, 1], np.int64), [0, 255]),
        (np.array([False, True]), [0, 255]),
        (np.array([0.0, 1.0, 0.5, 0.2]), [0, 255, 128, 51]),
        (np.array([0.499 / 255, 0.501 / 255]), [0, 1]),
        (np.array([0, 0], np.uint8), [0, 0]),
        (np.array([0.25, 1], np.float16), [64, 255]),
    ],
)
def test_pixels_of_any_type_are_256_levels(values, pixels):
    found = as_pixels("x", values)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


BAD_PIXELS = {
    "none": (np.zeros((0, 2, 2)), r"x to hold at least one image; got shape \(0, 2, 2\)"),
    "text": (np.array(["a"]), "x to hold numbers; got type <U1"),
    "complex": (np.array([1j]), "x to hold numbers; got type complex128"),
    "objects": (np.array([None]), "x to hold numbers; got type object"),
    "NaN": (np.array([0.5, np.nan]), r"the floats of x to be in \[0, 1\]; got NaN"),
    "infinite": (np.array([0.5, np.inf]), r"the floats of x to be in \[0, 1\]; got 0\.5 to inf"),
    "above 1": (np.array([0.0, 255.0]), r"the floats of x to be in \[0, 1\]; got 0 to 255"),
    "below 0": (np.array([-0.5, 1.0]), r"the floats of x to be in \[0, 1\]; got -0\.5 to 1"),
    "above 255": (np.array([0, 256]), "the whole numbers of x to be from 0 to 255; got 0 to 256"),
    "negative": (np.array([-1, 5], np.int8), "the whole numbers of x to be from 0 to 255; got -1 to 5"),
}


@pytest.mark.parametrize("name", BAD_PIXELS)
def test_what_are_no_pixels_is_refused(name):
    values, message = BAD_PIXELS[name]
    with pytest.raises(ValueError, match=rf"\AExpected {message}\.\Z"):
        as_pixels("x", values)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_come_first(channels):
    last = RANDOM.rand(2, 4, 5, channels)
    np.testing.assert_array_equal(as_images("x", last)[1, -1], last[1, :, :, -1])
    first = RANDOM.rand(2, channels, 4, 5)
    np.testing.assert_array_equal(as_images("x", first), first)
    np.testing.assert_array_equal(as_images("x", GREY)[:, 0], GREY)


@pytest.mark.parametrize("shape", [(), (5,), (5, 784), (5, 4, 4, 2), (5, 4, 4, 4, 1)])
def test_what_are_no_images_is_refused(shape):
    with pytest.raises(ValueError, match=r"Expected x to have shape \(N, H, W\), .*; got \(.*\)\."):
        as_images("x", np.zeros(shape))


@pytest.mark.parametrize(
    "labels", [[2, 0, 1], [[2], [0], [1]], np.array([2.0, 0, 1]), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]]
)
def test_labels_are_classes_or_one_hot(labels):
    found = as_labels("x", labels, 3)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [2, 0, 1])


BAD_LABELS = {
    "fewer": ([0, 1], r"to have shape \(3,\); got \(2,\)"),
    "fewer one-hot": (np.eye(2), r"to have shape \(3,\); got \(2,\)"),
    "one": (0, r"to have shape \(3,\); got \(\)"),
    "three axes": (np.zeros((3, 1, 1)), r"to have shape \(3,\); got \(3, 1, 1\)"),
    "several classes": ([[1, 1], [1, 0], [0, 1]], r"to be one class for each image or one-hot; got \(3, 2\)"),
    "no class": ([[0, 0], [1, 0], [0, 1]], r"to be one class for each image or one-hot; got \(3, 2\)"),
    "probabilities": (np.full((3, 2), 0.5), r"to be one class for each image or one-hot; got \(3, 2\)"),
    "negative": ([0, -1, 2], r"to be classes 0, 1, 2, \.\.\.; got int64 .*"),
    "fractions": ([0, 0.5, 2], r"to be classes 0, 1, 2, \.\.\.; got float64 .*"),
    "NaN": ([0, np.nan, 2], r"to be classes 0, 1, 2, \.\.\.; got float64 .*"),
    "infinite": ([0, np.inf, 2], r"to be classes 0, 1, 2, \.\.\.; got float64 .*"),
    "large": ([0, 2**40, 2], r"to be classes 0, 1, 2, \.\.\.; got int64 .*"),
    "words": (["a", "b", "c"], r"to be classes 0, 1, 2, \.\.\.; got <U1 .*"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_what_are_no_labels_is_refused(name):
    labels, message = BAD_LABELS[name]
    with pytest.raises(ValueError, match=rf"\AExpected the labels of x {message}\.\Z"):
        as_labels("x", labels, 3)


def test_splits_come_as_training_validation_test():
    splits = {"test": (TEST, [8, 9]), "validation": (VALIDATION, [5, 6, 7]), "train": (TRAIN, range(5))}
    stored = join_splits("x", {name: (images, np.array(labels)) for name, (images, labels) in splits.items()})
    np.testing.assert_array_equal(stored.images, GREY[:10, None])
    np.testing.assert_array_equal(stored.labels, np.arange(10))
    assert stored[2:] == (3, 2)


def test_without_test_images_the_validation_images_are_these():
    stored = join_splits("x", {"train": (TRAIN, None), "validation": (VALIDATION, None)})
    np.testing.assert_array_equal(stored.images, GREY[:8, None])
    assert stored[1:] == (None, None, 3)


def test_a_split_may_be_given_as_none():
    stored = join_splits("x", {"train": (TRAIN, None), "validation": None, "test": (TEST, None)})
    assert stored[1:] == (None, None, 2)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_narrow_images_keep_their_axes(width, channels):
    images = RANDOM.randint(0, 256, (6, 4, width, channels)).astype(np.uint8)
    stored = join_splits("x", {"train": (images[:4], None), "test": (images[4:], None)})
    np.testing.assert_array_equal(stored.images, np.moveaxis(images, -1, 1))


def test_images_of_any_layout_come_contiguous():
    images = RANDOM.randint(0, 256, (6, 4, 5, 3)).astype(np.uint8)
    stored = join_splits("x", {"train": (images[:4], None), "test": (images[4:], None)})
    assert stored.images.flags.c_contiguous
    assert hold_out("x", np.asfortranarray(images), None).images.flags.c_contiguous


def test_dark_splits_are_seen_beside_the_others():
    dark = np.array(TEST % 2)
    stored = join_splits("x", {"train": (TRAIN, None), "test": (dark, None)})
    np.testing.assert_array_equal(stored.images[5:, 0], dark)


BAD_SPLITS = {
    "nothing": ({}, "x to have training and test images; got neither"),
    "no test": ({"train": (TRAIN, None)}, "x to have training and test images; got train"),
    "no training": ({"test": (TEST, None)}, "x to have training and test images; got test"),
    "an empty split": (
        {"train": (TRAIN, None), "test": (TEST[:0], None)},
        "the number of test images of x to be positive; got 0",
    ),
    "another size": (
        {"train": (TRAIN, None), "test": (TEST[:, 1:], None)},
        r"an image of the test images of x to have shape \(1, 4, 5\); got \(1, 3, 5\)",
    ),
    "other channels": (
        {"train": (TRAIN, None), "validation": (np.zeros((2, 4, 5, 3)), None)},
        r"an image of the validation images of x to have shape \(1, 4, 5\); got \(3, 4, 5\)",
    ),
    "no images": (
        {"train": (TRAIN, None), "test": (np.zeros((2, 20)), None)},
        r"the test images of x to have shape \(N, H, W\), .*; got \(2, 20\)",
    ),
    "labels of one split": (
        {"train": (TRAIN, np.zeros(5)), "test": (TEST, None)},
        "all splits of x to have labels, or none; got those of train",
    ),
    "fewer labels": (
        {"train": (TRAIN, np.zeros(5)), "test": (TEST, np.zeros(3))},
        r"the labels of the test images of x to have shape \(2,\); got \(3,\)",
    ),
    "constant": (
        {"train": (0 * TRAIN, None), "test": (0 * TEST, None)},
        "the images of x not to be constant; got 7 that are",
    ),
}


@pytest.mark.parametrize("name", BAD_SPLITS)
def test_splits_that_do_not_fit_are_refused(name):
    splits, message = BAD_SPLITS[name]
    with pytest.raises(ValueError, match=rf"\AExpected {message}\.\Z"):
        join_splits("x", splits)


@pytest.mark.parametrize(("count", "num_test"), [(2, 1), (9, 1), (30, 3), (100_001, 10_000)])
def test_a_tenth_is_held_out_of_images_without_splits(count, num_test):
    images = RANDOM.randint(0, 256, (count, 1, 4)).astype(np.uint8)
    images[:, 0, :2] = [0, 9]
    stored = hold_out("x", images, np.arange(count))
    assert stored[2:] == (None, num_test)
    np.testing.assert_array_equal(np.sort(stored.labels), np.arange(count))
    np.testing.assert_array_equal(stored.images[:, 0], images[stored.labels])


def test_the_images_that_are_held_out_never_change():
    assert hold_out("x", GREY, np.arange(30)).labels[-3:].tolist() == [28, 13, 14]


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_cannot_be_split(count):
    with pytest.raises(ValueError, match=rf"\AExpected x to hold at least two images; got {count}\.\Z"):
        hold_out("x", GREY[:count], None)


def test_some_constant_images_are_warned_of():
    images = np.array(TRAIN)
    images[[1, 3]] = 7
    with pytest.warns(UserWarning, match=r"\A2 of the 7 images of x are constant\.\Z"):
        join_splits("x", {"train": (images, None), "test": (TEST, None)})
