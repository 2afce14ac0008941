"""The command line: `jaxvae train | evaluate | sample | plot | report | explore | presets | datasets | data`."""

from jaxvae.cli.main import main as main
