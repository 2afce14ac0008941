"""Readers of data-set files, recognised by what is in them."""

from jaxvae.data.files.recognize import read_files as read_files
