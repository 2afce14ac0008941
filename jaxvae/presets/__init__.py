"""Named experiments; each states only what differs from the defaults of `Config`."""

from collections.abc import Callable

from jaxvae._checks import expect_choice
from jaxvae.config import Config
from jaxvae.presets import datasets, deep, dense
from jaxvae.presets.dense import FLOWS
from jaxvae.presets.tiny import TINY

PRESETS: dict[str, Callable[[], Config]] = {
    "mnist-mean-field": dense.mnist_mean_field,
    "mnist-iaf": dense.mnist_iaf,
    "mnist-dense-best": dense.mnist_dense_best,
    "mnist-tutorial": dense.mnist_tutorial,
    "mnist-2d": dense.mnist_2d,
    "mnist-cvae": dense.mnist_cvae,
    "mnist-cvae-squared-error": dense.mnist_cvae_squared_error,
    "mnist-iwae": dense.mnist_iwae,
    "mnist-resnet-iaf": deep.mnist_resnet_iaf,
    "mnist-resnet-iaf-fast": deep.mnist_resnet_iaf_fast,
    "mnist-gated-conv-iaf": deep.mnist_gated_conv_iaf,
    "mnist-dense-skip-iaf": deep.mnist_dense_skip_iaf,
    "mnist-pixelcnn": deep.mnist_pixelcnn,
    "fashion-mnist": datasets.fashion_mnist,
    "fashion-mnist-grey": datasets.fashion_mnist_grey,
    "omniglot": datasets.omniglot,
    "caltech101-silhouettes": datasets.caltech101_silhouettes,
    "frey-faces": datasets.frey_faces,
    **TINY,
    **FLOWS,
}


def load_preset(name: str) -> Config:
    """The preset called `name`.

    Raises:
        ValueError: if there is none; the message names those that exist and the near ones.
    """
    expect_choice("preset", name, PRESETS)
    return PRESETS[name]()
