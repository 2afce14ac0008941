"""The command line: `jaxvae train | evaluate | sample | plot | presets`."""

from jaxvae.cli.main import main as main
