import hashlib

import numpy as np
import pytest

from jaxvae.data import mnist
from jaxvae.data.binarize import freeze


@pytest.fixture(scope="module")
def bundled():
    return mnist.load_mnist()


def test_the_bundled_arrays_are_the_published_files(bundled):
    images, labels = bundled
    assert (images.shape, images.dtype, labels.shape) == ((70_000, 28, 28), np.uint8, (70_000,))

    def idx_md5(array):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        return hashlib.md5(header + array.tobytes()).hexdigest()

    assert idx_md5(images[:60_000]) == "6bbc9ace898e44ae57da46a324031adb"
    assert idx_md5(labels[:60_000]) == "a25bea736e30d166cdddb491f175f624"
    assert idx_md5(images[60_000:]) == "2646ac647ad5339dbf082846283269ea"
    assert idx_md5(labels[60_000:]) == "27ae3e4e09519cfbb04c329615203637"


def test_the_static_draw_never_changes(bundled):
    # Every published static-MNIST figure of this library rests on this draw. If this fails, mend the
    # draw, not the checksum: another draw is another data set.
    digest = hashlib.sha256(np.packbits(freeze(bundled[0], "static")).tobytes()).hexdigest()
    assert digest == "7e4c14b121490ed667e620b63d21cbd85850801bab82e7fe78ade1aacd2494e8"


def test_a_damaged_bundle_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mnist.xz"
    content = mnist.PATH.read_bytes()
    monkeypatch.setattr(mnist, "PATH", path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"Expected .*mnist.xz to (be a whole xz file|hold content)"):
        mnist.load_mnist()
