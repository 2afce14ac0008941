"""The command line: `jaxvae train | evaluate | sample | plot | explore | presets`."""

from jaxvae.cli.main import main as main
