import numpy as np
import pytest

from jaxvae.data import OnDisk
from jaxvae.data.on_disk import in_blocks

IMAGES = np.random.RandomState(0).randint(0, 256, (20, 1, 4, 5)).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES[:, 0])
    return tmp_path / "a.npy"


@pytest.mark.parametrize(
    "index",
    [
        0, -1, np.int64(7), np.array([3]), np.array([-1, 0, 3, 3]), [5, 2], np.zeros((2, 3), int),
        np.arange(20) % 3 == 0, np.zeros(20, bool), np.zeros(0, int),
    ],
)  # fmt: skip
def test_rows_are_read_as_an_array_gives_them(path, index):
    got = OnDisk(path)[index]
    assert isinstance(got, np.ndarray)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, IMAGES[index], strict=True)


@pytest.mark.parametrize(
    "index", [slice(None), slice(3, 9), slice(-4, None), slice(None, None, -2), slice(5, 5), slice(15, 99)]
)
def test_a_slice_is_a_view_of_which_no_row_is_read_yet(path, index):
    view = OnDisk(path)[index]
    assert isinstance(view, OnDisk)
    assert view.shape == IMAGES[index].shape
    assert len(view) == len(IMAGES[index])
    assert view.nbytes == IMAGES[index].nbytes
    np.save(path, 255 - IMAGES[:, 0])
    np.testing.assert_array_equal(view, 255 - IMAGES[index])
    np.testing.assert_array_equal(view[::-1][:2], 255 - IMAGES[index][::-1][:2])


def test_what_is_taken_is_a_view_in_the_order_that_was_asked_for(path):
    order = np.random.RandomState(1).permutation(20)
    view = OnDisk(path).take(order)
    assert isinstance(view, OnDisk)
    np.testing.assert_array_equal(view, IMAGES[order])
    np.testing.assert_array_equal(view[4:].take(np.array([2, 0])), IMAGES[order][4:][[2, 0]])


def test_all_are_read_as_any_type(path):
    floats = np.asarray(OnDisk(path), np.float32)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, IMAGES)
    assert np.asarray(OnDisk(path)).dtype == OnDisk(path).dtype == np.uint8


def test_a_row_that_is_not_there_is_an_error(path):
    for index in (20, -21, np.array([0, 20])):
        with pytest.raises(IndexError):
            OnDisk(path)[index]
    with pytest.raises(IndexError):
        OnDisk(path)[:3][3]


@pytest.mark.parametrize("num_bytes", [1, 20, 60, 139, 400, 1e6])
def test_blocks_are_all_rows_in_their_order_and_no_larger_than_asked(path, num_bytes):
    for images in (IMAGES, OnDisk(path)):
        blocks = list(in_blocks(images, num_bytes))
        assert all(isinstance(block, np.ndarray) for block in blocks)
        assert all(block.nbytes <= max(20, num_bytes) for block in blocks)
        np.testing.assert_array_equal(np.concatenate(blocks), IMAGES)


def save(path, values):
    np.save(path, values, allow_pickle=values.dtype == object)


BAD = {
    "no images": (lambda path: save(path, IMAGES[0, 0]), r"to have shape .*, C 1 or 3; got \(4, 5\)\."),
    "four channels": (
        lambda path: save(path, np.zeros((2, 4, 6, 5), np.uint8)),
        r"to have shape .*, C 1 or 3; got \(2, 4, 6, 5\)\.",
    ),
    "floats": (lambda path: save(path, IMAGES / 255), r"read from disk, to hold uint8; got float64\."),
    "signed": (lambda path: save(path, IMAGES.astype(np.int8)), r"to hold uint8; got int8\."),
    "objects": (lambda path: save(path, np.array([{}])), r"to be a whole NPY file; got .*\."),
    "text": (lambda path: path.write_text("hello" * 20), r"to be a whole NPY file; got .*\."),
    "nothing": (lambda path: path.write_text(""), r"to be a whole NPY file; got .*\."),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_images_are_refused(tmp_path, name):
    write, message = BAD[name]
    write(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=rf"^Expected .*a.npy.* {message}$"):
        OnDisk(tmp_path / "a.npy")


@pytest.mark.parametrize("size", [1, 19, 60, 399])
def test_a_cut_file_is_refused(path, size):
    path.write_bytes(path.read_bytes()[:-size])
    with pytest.raises(ValueError, match=r"^Expected .*a.npy to be a whole NPY file; got .*\.$"):
        OnDisk(path)
