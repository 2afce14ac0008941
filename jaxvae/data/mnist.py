"""MNIST, bundled with the package: all 70,000 grey images and labels, without loss."""

import hashlib
import lzma
import pathlib

import numpy as np

from jaxvae._checks import expected

PATH = pathlib.Path(__file__).with_name("mnist.xz")
_NUM_IMAGES = 70_000
# Of the uncompressed content; `pack_mnist.py` prints it.
_SHA256 = "c2069063c1105f2bf96266aef1ff68c6e13bdda7a54e37bf19c16f1db24efc83"


def load_mnist() -> tuple[np.ndarray, np.ndarray]:
    """Reads the bundled MNIST.

    Returns:
        Images `(70000, 28, 28)` uint8 and labels `(70000,)` uint8, the 60,000 training ones first.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        content = lzma.decompress(PATH.read_bytes())
    except lzma.LZMAError as error:
        raise expected(f"{PATH}", "to be a whole xz file", str(error)) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != _SHA256:
        raise expected(f"{PATH}", f"to hold content of SHA-256 {_SHA256}", digest)
    values = np.frombuffer(content, np.uint8)
    return values[:-_NUM_IMAGES].reshape(_NUM_IMAGES, 28, 28), values[-_NUM_IMAGES:]
