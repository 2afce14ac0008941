import numpy as np
import pytest

from jaxvae.data.stored import drawn_order


def some_images(count, height=4, width=4, *, channels=None, seed=0):
    """No two alike, and none like its transpose."""
    shape = (count, height, width) if channels is None else (count, height, width, channels)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def held_out(values):
    """The order in which a data set without splits comes back."""
    return values[drawn_order(len(values))]


def assert_stored(stored, images, *, labels=None, num_validation=None, num_test):
    """`images` are (N, H, W) or (N, H, W, C)."""
    images = images[..., None] if images.ndim == 3 else images
    assert stored.images.dtype == np.uint8
    np.testing.assert_array_equal(stored.images, np.moveaxis(images, -1, 1))
    assert (stored.num_validation, stored.num_test) == (num_validation, num_test)
    if labels is None:
        assert stored.labels is None
    else:
        assert stored.labels.dtype == np.int32
        np.testing.assert_array_equal(stored.labels, labels)


def assert_cuts_are_refused(read, path, *, sizes):
    """Of the whole file only the first so many bytes are left."""
    content = path.read_bytes()
    for size in sizes:
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"\AExpected .+; got .+\.\Z"):
            read(path)
