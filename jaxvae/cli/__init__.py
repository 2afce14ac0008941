"""The command line; `jaxvae --help` lists its commands."""

from jaxvae.cli.main import main as main
