"""Data sets as arrays of bytes, and how their pixels become what a model sees."""

from jaxvae.data.augment import random_affine as random_affine
from jaxvae.data.binarize import BINARIZATIONS as BINARIZATIONS
from jaxvae.data.binarize import make_prepare as make_prepare
from jaxvae.data.binarize import make_prepare_pair as make_prepare_pair
from jaxvae.data.cache import cache_directory as cache_directory
from jaxvae.data.cache import fingerprint as fingerprint
from jaxvae.data.catalog import CATALOG as CATALOG
from jaxvae.data.catalog import is_there as is_there
from jaxvae.data.datasets import Dataset as Dataset
from jaxvae.data.datasets import Split as Split
from jaxvae.data.datasets import expect_labels as expect_labels
from jaxvae.data.datasets import load_dataset as load_dataset
from jaxvae.data.datasets import read_stored as read_stored
from jaxvae.data.on_disk import OnDisk as OnDisk
from jaxvae.data.on_disk import in_blocks as in_blocks
from jaxvae.data.placement import choose_placement as choose_placement
