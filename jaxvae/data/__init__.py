"""Data sets as arrays of bytes, and how their pixels become what a model sees."""

from jaxvae.data.augment import random_affine as random_affine
from jaxvae.data.binarize import BINARIZATIONS as BINARIZATIONS
from jaxvae.data.binarize import make_prepare as make_prepare
from jaxvae.data.binarize import make_prepare_pair as make_prepare_pair
from jaxvae.data.datasets import Dataset as Dataset
from jaxvae.data.datasets import Split as Split
from jaxvae.data.datasets import load_dataset as load_dataset
