"""TensorFlow Datasets, by the real builder from a download folder that was filled by hand, and by mocks."""

import errno
import gzip
import shutil
import subprocess
import sys

import numpy as np
import pytest

from jaxvae import load_dataset
from jaxvae.data import CATALOG
from jaxvae.data import tfds as ours
from jaxvae.data.mnist import load_mnist
from tests.conftest import write_idx

tfds = pytest.importorskip("tensorflow_datasets")

# Raised inside of TensorFlow Datasets.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A TFDS directory whose downloads are those of MNIST."""
    from tensorflow_datasets.core.download import resource

    home = tmp_path_factory.mktemp("tfds")
    (home / "downloads").mkdir()
    images, labels = load_mnist()
    arrays = {"train": slice(60_000), "t10k": slice(60_000, None)}
    for url, info in tfds.builder("mnist", data_dir=str(home)).url_infos.items():
        name, kind, *_ = url.split("/")[-1].split("-")
        values = (images if kind == "images" else labels)[arrays[name]]
        path = home / "downloads" / resource.get_dl_fname(url, info.checksum)
        write_idx(path.with_name("raw"), values)
        path.write_bytes(gzip.compress(path.with_name("raw").read_bytes(), 1))
        path.with_name(path.name + ".INFO").write_text("{}")
    return home


@pytest.fixture(scope="module")
def prepared(home, tmp_path_factory):
    """A cache with MNIST."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXVAE_CACHE", str(cache))
        load_dataset("tfds:mnist", data_dir=home)
    return cache


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_builder_s_mnist_is_the_bundled_one_image_for_image(prepared, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE", str(prepared))
    one, two = (load_dataset(name, binarization="none") for name in ("tfds:mnist", "mnist"))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)


def test_what_is_prepared_is_read_without_tensorflow(prepared):
    code = (
        "import sys, time; sys.modules['tensorflow'] = sys.modules['tensorflow_datasets'] = None\n"
        "from jaxvae import load_dataset\n"
        "start = time.perf_counter()\n"
        "print(load_dataset('tfds:mnist').train.images.shape, time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"JAXVAE_CACHE": str(prepared)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("(50000, 1, 28, 28)")


def test_nothing_but_arrays_is_kept(prepared):
    kept = sorted(path.name for path in (prepared / "tfds").rglob("*"))
    assert kept == ["about.json", "images.npy", "labels.npy", "mnist", "mnist.lock"]


def entries(cache):
    return [path for path in cache.rglob("*") if path.suffix != ".lock" and path.name != "tfds"]


def test_a_truncated_archive_is_one_line_and_leaves_nothing(home, tmp_path, cache):
    copy = tmp_path / "copy"
    shutil.copytree(home / "downloads", copy / "downloads", ignore=shutil.ignore_patterns("extracted"))
    (path,) = (copy / "downloads").glob("*train-images*.gz")
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"^Expected tfds:mnist to be prepared .*; got .*\.$") as caught:
        load_dataset("tfds:mnist", data_dir=copy)
    assert "\n" not in str(caught.value)
    assert entries(cache) == []


def test_a_wrong_checksum_is_one_line_and_leaves_nothing(tmp_path, cache, monkeypatch):
    from tensorflow_datasets.core.download import downloader

    def download(self, url, destination, verify=True):
        path = destination / "file"
        path.write_bytes(b"something else")
        return downloader.DownloadResult(path, downloader.checksums_lib.compute_url_info(path))

    monkeypatch.setattr(downloader._Downloader, "_sync_download", download)
    with pytest.raises(ValueError, match=r"^Expected tfds:mnist to be prepared .*; got .*[Cc]hecksum"):
        load_dataset("tfds:mnist", data_dir=tmp_path)
    assert entries(cache) == []


def test_no_network_is_one_line_and_leaves_nothing(tmp_path, cache, monkeypatch):
    import requests
    from tensorflow_datasets.core.download import downloader

    def fail(url, **options):
        raise requests.exceptions.ConnectionError(f"Failed to resolve {url}")

    monkeypatch.setattr(downloader, "_open_url", fail)
    with pytest.raises(ValueError, match=r"^Expected tfds:mnist to be prepared .*; got Failed to resolve ht"):
        load_dataset("tfds:mnist", data_dir=tmp_path)
    assert entries(cache) == []


def test_a_full_disk_is_not_the_fault_of_the_data_set(tmp_path, cache, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ours, "_build", fail)
    with pytest.raises(OSError, match=r"^Expected space for tfds:mnist in .*; got: No space left"):
        load_dataset("tfds:mnist")
    assert entries(cache) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", r"^Expected tfds:mnits to be prepared by TensorFlow Datasets; got .*mnits"),
        (
            "../mnist",
            r"^Expected a data set of TensorFlow Datasets to be named tfds:NAME; got 'tfds:\.\.",
        ),
    ],
)
def test_an_unknown_name_is_one_line_and_leaves_nothing(name, message, cache):
    with pytest.raises(ValueError, match=message):
        load_dataset(f"tfds:{name}")
    assert entries(cache) == []


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, cache, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match=r"to be installed \(pip install 'jaxvae\[tfds\]'\); got no te"):
        load_dataset("tfds:mnist")
    assert capsys.readouterr().err == ""
    assert entries(cache) == []


class Builder:
    """Stands for what a builder has prepared."""

    def __init__(self, features, counts, convert):
        from types import SimpleNamespace as Has

        self._features, self._convert = features, convert
        splits = {name: Has(num_examples=count) for name, count in counts.items()}
        self.info = Has(features=features, splits=splits)

    def as_dataset(self, *, split, decoders, shuffle_files):
        import tensorflow

        assert not shuffle_files
        count, random = self.info.splits[split].num_examples, np.random.RandomState(len(split))
        arrays = {"image": self._convert(random.randint(0, 256, (count, 4, 5, 3)).astype(np.uint8))}
        if "label" in self._features:
            arrays["label"] = np.arange(count) % 3
        return tensorflow.data.Dataset.from_tensor_slices(arrays)


def load(monkeypatch, features, *, convert=np.asarray, placement="host", **counts):
    monkeypatch.setattr(ours, "_build", lambda *_: Builder(features, counts, convert))
    return load_dataset("tfds:something", binarization="none", placement=placement)


def test_its_own_three_splits_are_kept(monkeypatch):
    dataset = load(monkeypatch, {"image": 0, "label": 0}, test=4, train=20, validation=3)
    assert [len(split.images) for split in dataset] == [20, 3, 4]
    assert dataset.image_shape == (3, 4, 5)
    assert dataset.train.labels[:4].tolist() == [0, 1, 2, 0]
    assert dataset.test.labels.tolist() == [0, 1, 2, 0]
    random = np.random.RandomState(len("validation"))
    images = random.randint(0, 256, (3, 4, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(dataset.validation.images, np.moveaxis(images, -1, 1))


def test_a_data_set_without_labels_or_test_images(monkeypatch):
    dataset = load(monkeypatch, {"image": 0}, train=24, validation=3)
    assert [len(split.images) for split in dataset] == [20, 4, 3]
    assert dataset.train.labels is None


@pytest.mark.parametrize("features", [{"text": 0}, {"audio": 0, "label": 0}])
def test_a_data_set_without_images_is_refused(monkeypatch, features, cache):
    with pytest.raises(ValueError, match=r"Expected tfds:something to have an image and a train split; got"):
        load(monkeypatch, features, train=5, test=5)
    assert entries(cache) == []


@pytest.mark.parametrize("placement", ["host", "stream"])
def test_binary_images_become_0_and_255(monkeypatch, placement):
    def binary(images):
        return images // 128

    dataset = load(monkeypatch, {"image": 0}, convert=binary, placement=placement, train=1_300, test=4)
    images = np.random.RandomState(len("train")).randint(0, 256, (1_300, 4, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(dataset.train.images, 255 * np.moveaxis(images // 128, -1, 1)[:-216])
    assert set(np.unique(dataset.test.images)) == {0, 255}


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda images: images.astype(np.uint16), r"Expected the images of tfds:something to be uint8; got"),
        (lambda images: images / np.float32(255), r"Expected the images of tfds:something to be uint8; got"),
        (lambda images: np.repeat(images, 4, -1), r"Expected the images of tfds:something to have shape \(N"),
    ],
)
def test_images_of_another_kind_are_refused_and_leave_nothing(monkeypatch, convert, message, cache):
    with pytest.raises(ValueError, match=message):
        load(monkeypatch, {"image": 0}, convert=convert, train=24, test=3)
    assert entries(cache) == []


def test_the_names_that_are_ours_are_not_its(cache):
    assert not any(name.startswith("tfds:") for name in CATALOG)


MOCKED = {
    "cifar10": ((3, 32, 32), ("train", "test"), [4, 1, 5]),
    "fashion_mnist": ((1, 28, 28), ("train", "test"), [4, 1, 5]),
    "binarized_mnist": ((1, 28, 28), ("train", "validation", "test"), [9, 1, 5]),
}


@pytest.mark.parametrize("name", MOCKED)
def test_other_names_by_tfds_s_own_mocks(name, monkeypatch):
    shape, splits, sizes = MOCKED[name]
    build = ours._build

    def build_mock(*arguments):
        builder = build(*arguments)
        made = [tfds.core.SplitInfo(name=s, shard_lengths=[5], num_bytes=0) for s in splits]
        builder.info.set_splits(tfds.core.SplitDict(made))
        return builder

    monkeypatch.setattr(ours, "_build", build_mock)
    with tfds.testing.mock_data(num_examples=5):
        dataset = load_dataset(f"tfds:{name}", binarization="none", num_validation=1)
    assert dataset.image_shape == shape
    assert [len(split.images) for split in dataset] == sizes
    assert (dataset.train.labels is None) == (name == "binarized_mnist")


def test_a_mocked_data_set_of_text_is_refused(cache):
    with tfds.testing.mock_data(), pytest.raises(ValueError, match=r"to have an image .*; got .*'text'"):
        load_dataset("tfds:imdb_reviews")
    assert entries(cache) == []
