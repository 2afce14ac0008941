import numpy as np
import pytest
from scipy.io import savemat

from jaxvae.data.files.matlab import read_mat
from tests.data.files.helpers import assert_cuts_are_refused, assert_stored, some_images

TRAIN, VALIDATION, TEST = some_images(6), some_images(3, seed=1), some_images(2, seed=2)


def save(path, **variables):
    savemat(path, variables, do_compression=True)
    return path


def columns(images):
    """MATLAB's `reshape(images, H*W, N)` of images `(H, W, N)`."""
    return np.stack([image.ravel(order="F") for image in images], axis=1)


def omniglot(**others):
    return {"data": columns(TRAIN) / 255, "testdata": columns(TEST) / 255, **others}


def silhouettes(**others):
    splits = {"train": TRAIN, "val": VALIDATION, "test": TEST}
    return {f"{name}_data": columns(images).T % 2 for name, images in splits.items()} | others


def test_omniglot_is_read_column_by_column(tmp_path):
    alphabets = np.array([2, 0, 1, 4, 4, 3]), np.array([3, 1])
    targets = {"target": np.eye(5)[alphabets[0]].T, "testtarget": np.eye(5)[alphabets[1]].T}
    images = np.concatenate([TRAIN, TEST])
    stored = read_mat(save(tmp_path / "a", **omniglot(**targets)))
    assert_stored(stored, images, labels=np.concatenate(alphabets), num_test=2)
    assert_stored(read_mat(save(tmp_path / "b", **omniglot())), images, num_test=2)


def test_the_published_omniglot_has_validation_images(tmp_path):
    data, testdata = np.random.RandomState(0).randint(0, 256, (2, 4, 24_345)).astype(np.uint8)
    data[:2], testdata[:2] = [[0], [9]], [[0], [9]]
    stored = read_mat(save(tmp_path / "a", data=data, testdata=testdata[:, :8070]))
    assert (stored.num_validation, stored.num_test, len(stored.images)) == (1345, 8070, 24_345 + 8070)


def test_silhouettes_are_read_column_by_column_with_the_figure_at_1(tmp_path):
    labels = {
        "train_labels": np.array([[101], [1], [7], [7], [2], [3]], np.uint8),
        "val_labels": np.array([[1], [2], [3]], np.uint8),
        "test_labels": np.array([[5], [1]], np.uint8),
    }
    images = 255 * (1 - np.concatenate([TRAIN, VALIDATION, TEST]) % 2)
    classes = [100, 0, 6, 6, 1, 2, 0, 1, 2, 4, 0]
    stored = read_mat(save(tmp_path / "a", **silhouettes(**labels)))
    assert_stored(stored, images, labels=classes, num_validation=3, num_test=2)
    stored = read_mat(save(tmp_path / "b", **silhouettes()))
    assert_stored(stored, images, num_validation=3, num_test=2)


def test_frey_faces_are_read_row_by_row(tmp_path):
    faces = some_images(1965, 28, 20)
    stored = read_mat(save(tmp_path / "a", ff=faces.reshape(1965, 560).T))
    np.random.RandomState(123).shuffle(faces)
    assert_stored(stored, faces, num_validation=200, num_test=200)


BAD = {
    "other variables": ({"y": 1, "x": 2}, r"to hold data and testdata \(OMNIGLOT\), .*; got x, y"),
    "no variables": ({}, r"to hold data and testdata .*; got no variables"),
    "no squares": (omniglot(data=np.zeros((5, 6))), r"to hold square images; got shape \(5, 6\)"),
    "no pixels": (omniglot(data=np.zeros((0, 6))), r"to hold square images; got shape \(0, 6\)"),
    "text": (omniglot(data="abcd"), "data of .* to hold .*; got .*"),
    "a structure": (omniglot(data={"a": 1}), "data of .* to hold numbers; got type .*"),
    "cells": (omniglot(data=np.full((4, 6), 1, object)), "data of .* to hold .*; got type .*"),
    "another size": (omniglot(testdata=np.eye(9)), r"to have shape \(1, 4, 4\); got \(1, 3, 3\)"),
    "NaN": (omniglot(data=np.full((16, 6), np.nan)), r"to be in \[0, 1\]; got NaN"),
    "floats of 0 to 255": (omniglot(data=columns(TRAIN) * 1.0), r"to be in \[0, 1\]; got [\d.]+ to 2\d\d"),
    "alphabets of the training images alone": (omniglot(target=np.eye(6)), "to have labels, or none; got .*"),
    "alphabets of other images": (
        omniglot(target=np.eye(5), testtarget=np.eye(2)),
        r"to have shape \(6,\); got \(5,\)",
    ),
    "grey silhouettes": (
        silhouettes(val_data=columns(TEST).T),
        r"val_data .* to be 0 .* and 1; got up to 2\d\d",
    ),
    "silhouettes that are no rows": (silhouettes(val_data=np.eye(8)), r"to hold square images; got shape .*"),
    "classes from 0": (
        silhouettes(train_labels=np.arange(6), val_labels=np.ones(3), test_labels=np.ones(2)),
        r"to be classes 0, 1, 2, \.\.\.; got .*-1.*",
    ),
    "fewer classes": (silhouettes(val_labels=np.ones(2)), r"val_data .* to have shape \(3,\); got \(2,\)"),
    "fewer faces": (
        {"ff": np.zeros((560, 9))},
        r"to hold 1,965 images of 28 x 20 pixels; got shape \(9, 560\)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_variables_that_do_not_fit_are_refused(tmp_path, name):
    variables, message = BAD[name]
    with pytest.raises(ValueError, match=rf"\AExpected .*{message}\.\Z"):
        read_mat(save(tmp_path / "a", **variables))


@pytest.mark.parametrize("compress", [False, True])
def test_truncated_files_are_refused(tmp_path, compress):
    path = tmp_path / "a"
    savemat(path, omniglot(), do_compression=compress)
    sizes = (0, 4, 60, 127, 130, 140, 300, path.stat().st_size - 1)
    assert_cuts_are_refused(read_mat, path, sizes=sizes)


def test_variables_that_cannot_be_told_apart_are_refused(tmp_path):
    path = save(tmp_path / "a", **omniglot())
    content = path.read_bytes()
    path.write_bytes(content + content[128:])
    with pytest.raises(ValueError, match=r"a to be a whole MATLAB file; got Duplicate variable name"):
        read_mat(path)


@pytest.mark.parametrize("head", [b"MATLAB 7.3 MAT-file, Platform: GLNXA64", b"\x89HDF\r\n\x1a\n"])
def test_version_7_3_is_refused(tmp_path, head):
    (tmp_path / "a.mat").write_bytes(head + bytes(600))
    with pytest.raises(
        ValueError, match=r"a\.mat to be of MATLAB up to version 7 \(save it with -v7\); got HDF5"
    ):
        read_mat(tmp_path / "a.mat")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a file at .*nothing; got nothing\."):
        read_mat(tmp_path / "nothing")
