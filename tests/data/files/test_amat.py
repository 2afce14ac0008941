import numpy as np
import pytest

from jaxvae.data.files.amat import read_amat_directory, read_amat_file
from tests.data.files.helpers import assert_stored, held_out, some_images

TRAIN, VALIDATION, TEST = some_images(5), some_images(3, seed=1), some_images(2, seed=2)


def write(path, images, labels=None, number="{}"):
    rows = [[number.format(value) for value in image.ravel()] for image in images]
    for row, label in zip(rows, labels if labels is not None else [], strict=labels is not None):
        row.append(number.format(label))
    path.write_text("".join(" ".join(row) + " \n" for row in rows))
    return path


def test_the_three_files_are_the_splits(tmp_path):
    for name, images in {"test": TEST, "train": TRAIN, "valid": VALIDATION}.items():
        write(tmp_path / f"mnist_{name}.amat", images)
    images = np.concatenate([TRAIN, VALIDATION, TEST])
    assert_stored(read_amat_directory(tmp_path), images, num_validation=3, num_test=2)
    (tmp_path / "mnist_valid.amat").unlink()
    assert_stored(read_amat_directory(tmp_path), np.concatenate([TRAIN, TEST]), num_test=2)


@pytest.mark.parametrize("number", ["{}", "{:.2f}", "  {:.3e}"])
def test_the_last_of_h_w_plus_1_numbers_is_the_class(tmp_path, number):
    images, labels = some_images(30) % 2, np.random.RandomState(0).randint(0, 10, 30)
    stored = read_amat_file(write(tmp_path / "a", images, labels, number))
    assert_stored(stored, 255 * held_out(images), labels=held_out(labels), num_test=3)


def test_levels_are_whole_numbers_or_fractions(tmp_path):
    images = some_images(30)
    assert_stored(read_amat_file(write(tmp_path / "a", images)), held_out(images), num_test=3)
    path = write(tmp_path / "b", images / 255, number="{:.6f}")
    assert_stored(read_amat_file(path), held_out(images), num_test=3)


BAD = {
    "ragged": (
        "1 2 3 4\n1 2 3 5\n1 2 3\n",
        "to be a whole table of numbers; got the number of columns changed.*",
    ),
    "words": ("1 2 3 4\n1 b 3 5\n", "to be a whole table of numbers; got could not convert string 'b'.*"),
    "commas": ("1,2,3,4\n1,2,3,5\n", "to be a whole table of numbers; got could not convert string '1,2.*"),
    "comments": ("# 1 2\n", "to be a whole table of numbers; got could not convert string '#'.*"),
    "empty": ("", "to be a whole table of numbers; got .*no data.*"),
    "blank": (" \n\n", "to be a whole table of numbers; got .*no data.*"),
    "no squares": ("1 2 3\n1 2 4\n", "to have H[*]W numbers a row, H = W, and maybe the class; got 3"),
    "one row": ("1 2 3 4\n", "to hold at least two images; got 1"),
    "NaN": ("0 nan 0 1\n0 0 0 1\n", r"to be in \[0, 1\]; got NaN"),
    "floats of 0 to 255": ("0.0 255.0 0 1\n0 0 0 1\n", r"to be in \[0, 1\]; got 0 to 255"),
    "negative": ("0 -1 0 1\n0 0 0 1\n", r"to be in \[0, 1\]; got -1 to 1"),
    "constant": ("1 1 1 1\n0 0 0 0\n", "not to be constant; got 2 that are"),
    "half a class": ("0 1 0 1 0.5\n1 0 0 0 1\n", r"to be classes 0, 1, 2, \.\.\.; got float32 .*"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_of_images_is_refused(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "a").write_text(content)
    with pytest.raises(ValueError, match=rf"\AExpected .*a {message}\.\Z"):
        read_amat_file(tmp_path / "a")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"1 2 \xff 4\n")
    with pytest.raises(ValueError, match=r"Expected .*a to be a whole table of numbers; got .*decode.*\."):
        read_amat_file(tmp_path / "a")


def test_a_row_that_is_cut_short_is_refused(tmp_path):
    path = write(tmp_path / "a", TRAIN)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        ValueError, match=r"to be a whole table of numbers; got the number of columns changed"
    ):
        read_amat_file(path)


def test_files_that_do_not_fit_are_refused(tmp_path):
    write(tmp_path / "a_train.amat", TRAIN, np.arange(5))
    with pytest.raises(FileNotFoundError, match=r"Expected a file at .*a_test\.amat; got nothing\."):
        read_amat_directory(tmp_path)
    write(tmp_path / "a_test.amat", TEST)
    with pytest.raises(
        ValueError, match=r"Expected all splits of .* to have labels, or none; got those of train\."
    ):
        read_amat_directory(tmp_path)
    write(tmp_path / "a_test.amat", some_images(2, 3, 3), [0, 1])
    with pytest.raises(
        ValueError, match=r"Expected an image of .* to have shape \(1, 4, 4\); got \(1, 3, 3\)\."
    ):
        read_amat_directory(tmp_path)
    write(tmp_path / "b_train.amat", TRAIN)
    with pytest.raises(
        ValueError, match=r"to hold one file \*_train\.amat; got a_train\.amat, b_train\.amat\."
    ):
        read_amat_directory(tmp_path)


@pytest.mark.parametrize("read", [read_amat_file, read_amat_directory])
def test_missing_files_are_refused(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"Expected a file at .*nothing.*; got nothing\."):
        read(tmp_path / "nothing")
