"""`jaxvae explore`."""

import dataclasses
import pathlib

import tyro

from jaxvae._checks import InputError, expect_in_range, expect_positive
from jaxvae.runs import View, load_run


@dataclasses.dataclass(frozen=True)
class Explore:
    """Look at a run's model in the browser: move its latents, draw, encode, interpolate."""

    directory: tyro.conf.Positional[pathlib.Path]
    """A run directory."""
    port: int = 8000
    """Where to serve; the next free port where this one is in use, any where it is 0."""
    host: str = "127.0.0.1"
    """The address to serve on; with another than this machine's own, others can see the page too."""
    num_samples: int = 1000
    """Importance samples of an image's log p(x)."""

    def run(self) -> None:
        """Serves the page until Ctrl-C."""
        expect_in_range("--port", self.port, 0, 2**16)
        expect_positive("--num-samples", self.num_samples)
        try:
            from jaxvae.explore.app import MAX_BYTES, make_app
            from jaxvae.explore.server import address_of, listen, serve
        except ImportError as error:
            package = f"{error.name}".split(".")[0]
            what = "Flask and waitress to be installed"
            raise InputError(f"Expected {what} (pip install 'jaxvae[explore]'); got no {package}.") from error
        from jaxvae.explore.explorer import Explorer

        run = load_run(self.directory)
        with listen(self.host, self.port) as listener:
            address = address_of(listener, self.host)
            port = int(address.rsplit(":", 1)[1])
            if self.port not in (0, port):
                print(f"Port {self.port} is in use; serving on {port}.", flush=True)
            print("Preparing the model; a deep one takes a minute.", flush=True)
            dataset = run.load_dataset()
            explorer = Explorer(View(run, run.load_model()), dataset, self.num_samples)
            print(f"{self.directory}: {address} (Ctrl-C to stop)", flush=True)
            serve(make_app(explorer, self.host), listener, MAX_BYTES)
