"""What `load_dataset` makes of names, paths and arrays, in memory and on disk."""

import concurrent.futures
import os

import numpy as np
import pytest

from jaxvae import Dataset, load_dataset
from jaxvae.data import BINARIZATIONS, OnDisk, choose_placement, make_prepare

IMAGES = np.random.RandomState(0).randint(0, 256, (60, 4, 5)).astype(np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    return tmp_path / "images.npy"


@pytest.mark.parametrize("binarization", BINARIZATIONS)
def test_what_stays_on_disk_is_what_is_read(path, binarization):
    read = load_dataset(path, binarization=binarization, placement="host")
    left = load_dataset(path, binarization=binarization, placement="stream")
    again = load_dataset(path, binarization=binarization, placement="stream")
    for name in ("train", "validation", "test"):
        assert isinstance(read.split(name).images, np.ndarray)
        assert isinstance(left.split(name).images, OnDisk)
        np.testing.assert_array_equal(left.split(name).images, read.split(name).images)
        np.testing.assert_array_equal(again.split(name).images, read.split(name).images)


def test_frozen_images_are_made_once(path, cache, capsys):
    load_dataset(path, placement="stream")
    (made,) = (entry for entry in (cache / "frozen").iterdir() if entry.is_dir())
    before = (made / "images.npy").stat().st_mtime_ns
    assert "Preparing" in capsys.readouterr().err
    load_dataset(path, placement="stream")
    assert (made / "images.npy").stat().st_mtime_ns == before
    assert capsys.readouterr().err == ""


def test_damaged_frozen_images_are_refused(path, cache):
    load_dataset(path, placement="stream")
    (images,) = (cache / "frozen").rglob("images.npy")
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(
        ValueError,
        match=r"^Expected the cache of the static images of .* to be whole \(delete .*\); got a dam",
    ):
        load_dataset(path, placement="stream")


def test_images_in_memory_are_put_on_disk_to_be_streamed(idx_directory):
    read = load_dataset(idx_directory)
    streamed = load_dataset(idx_directory, placement="stream")
    assert isinstance(streamed.train.images, OnDisk)
    np.testing.assert_array_equal(streamed.train.images, read.train.images)
    np.testing.assert_array_equal(streamed.train.labels, read.train.labels)


@pytest.mark.parametrize("shape", [(9, 4, 5), (9, 3, 4, 5), (9, 4, 5, 3)])
def test_rows_on_disk_are_those_of_the_array(tmp_path, shape):
    values = np.random.RandomState(1).randint(0, 256, shape).astype(np.uint8)
    np.save(tmp_path / "a.npy", values)
    channels_first = values[:, None] if len(shape) == 3 else values
    channels_first = np.moveaxis(values, -1, 1) if shape[-1] == 3 else channels_first
    on_disk = OnDisk(tmp_path / "a.npy")
    assert on_disk.shape == channels_first.shape
    assert on_disk.nbytes == values.nbytes
    np.testing.assert_array_equal(on_disk, channels_first)
    np.testing.assert_array_equal(on_disk[np.array([[7, 2], [0, 7]])], channels_first[[[7, 2], [0, 7]]])
    np.testing.assert_array_equal(on_disk[2:8][1:4], channels_first[3:6])
    np.testing.assert_array_equal(on_disk[2:8].take(np.array([5, 0]))[np.array([1])], channels_first[[2]])


def test_rows_are_read_by_many_threads(path):
    on_disk, rows = OnDisk(path), np.random.RandomState(2).randint(0, 60, (200, 7))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for got, wanted in zip(pool.map(on_disk.__getitem__, rows), rows, strict=True):
            np.testing.assert_array_equal(got[:, 0], IMAGES[wanted])


def test_files_that_cannot_stay_on_disk_are_refused(tmp_path):
    np.save(tmp_path / "floats.npy", IMAGES / 255)
    with pytest.raises(ValueError, match=r"Expected .*floats.npy, which is read from disk, to hold uint8"):
        load_dataset(tmp_path / "floats.npy", placement="stream")
    np.save(tmp_path / "binary.npy", IMAGES // 128)
    with pytest.raises(ValueError, match=r"Expected the binary pixels of .* to be 0 and 255 on disk; got"):
        load_dataset(tmp_path / "binary.npy", placement="stream")
    np.save(tmp_path / "columns.npy", np.asfortranarray(IMAGES))
    with pytest.raises(ValueError, match=r"Expected .*columns.npy.* to hold row after row; got columns\."):
        load_dataset(tmp_path / "columns.npy", placement="stream")
    content = (tmp_path / "binary.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(content[:-9])
    with pytest.raises(ValueError, match=r"Expected .*cut.npy to be a whole NPY file; got"):
        load_dataset(tmp_path / "cut.npy", placement="stream")


def test_a_file_that_is_cut_while_it_is_read_is_an_error(path):
    on_disk = OnDisk(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"Expected .* to be a whole NPY file; got no more bytes"):
        on_disk[np.array([0, 59])]


def test_the_size_of_the_data_and_of_the_memory_choose_the_placement(monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 10}.get(name, 100))
    assert [choose_placement(size) for size in (250, 251, 500, 501)] == ["resident", "host", "host", "stream"]
    assert choose_placement(250, "stream") == "stream"
    with pytest.raises(ValueError, match=r"Expected the placement of the data to be one of .*; got 'disk'\."):
        choose_placement(1, "disk")


def test_arrays_of_any_kind_become_a_data_set():
    labels = np.arange(60) % 3
    dataset = Dataset.from_arrays((IMAGES, labels), None, (IMAGES[:10, ..., None], labels[:10]))
    assert dataset.image_shape == (1, 4, 5)
    assert dataset.validation is None
    np.testing.assert_array_equal(dataset.train.images[:, 0], IMAGES)
    assert dataset.label_counts == (20, 20, 20)
    floats = Dataset.from_arrays(IMAGES / 255, IMAGES[:7] / 255, IMAGES[:10] / 255, binarization="threshold")
    np.testing.assert_array_equal(floats.validation.images[:, 0], IMAGES[:7] >= 128)
    assert floats.train.labels is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((IMAGES, None, IMAGES[:, :3]), r"Expected an image of the test images of the arrays to have shape"),
        (
            (IMAGES, None, IMAGES[:0]),
            r"Expected the number of test images of the arrays to be positive",
        ),
        (
            (IMAGES * 1.0, None, IMAGES * 1.0),
            r"Expected the floats of the arrays to be in \[0, 1\]; got 0",
        ),
        (
            ((IMAGES, np.zeros(9, int)), None, IMAGES),
            r"Expected the labels of .* to have shape \(60,\)",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        Dataset.from_arrays(*arrays)


@pytest.mark.parametrize("binarization", BINARIZATIONS)
def test_binary_images_stay_what_they_are(binarization, key):
    binary = IMAGES // 128
    dataset = Dataset.from_arrays(binary, binary, binary, binarization=binarization)
    for name in ("train", "validation", "test"):
        prepare = make_prepare(binarization, training=name == "train")
        np.testing.assert_array_equal(prepare(key, dataset.split(name).images)[:, 0], binary)


def test_validation_images_are_the_data_set_s_own_or_held_out(tmp_path):
    np.savez(tmp_path / "own.npz", x_train=IMAGES, x_valid=IMAGES[:5], x_test=IMAGES[:6])
    np.savez(tmp_path / "none.npz", x_train=IMAGES, x_test=IMAGES[:6])

    def sizes(name, **options):
        dataset = load_dataset(tmp_path / name, binarization="none", **options)
        return [0 if split is None else len(split.images) for split in dataset[:3]]

    assert sizes("own.npz") == [60, 5, 6]
    assert sizes("own.npz", num_validation=0) == [65, 0, 6]
    assert sizes("own.npz", num_validation=9) == [56, 9, 6]
    assert sizes("none.npz") == [50, 10, 6]
    assert sizes("none.npz", num_validation=3) == [57, 3, 6]


def test_a_name_without_its_files_says_where_they_are_to_be_had(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=r"Expected --data-dir to hold chardata.mat of omniglot \(https.*\); got no",
    ):
        load_dataset("omniglot")
    with pytest.raises(FileNotFoundError, match=r"freyfaces.pkl or frey_rawface.mat of .*; got nothing in "):
        load_dataset("frey-faces", data_dir=tmp_path)


def test_classes_of_a_data_set_without_labels_are_refused(path):
    with pytest.raises(ValueError, match=r"Expected a data set with labels for a conditional model; got"):
        _ = load_dataset(path).label_counts
