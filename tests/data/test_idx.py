import gzip

import numpy as np
import pytest

from jaxvae.data.idx import find_idx, load_idx
from tests.conftest import write_idx


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
