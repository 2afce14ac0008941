"""The PyTorch side of `speed.py`: what it has to know, and its process."""

import json
import pathlib
import subprocess
import sys

import equinox as eqx
import jax
from cases import Case

from jaxvae.build import build_model
from jaxvae.config import Config, FlowConfig
from jaxvae.config.options import Options

_FLOW_OPTIONS = {"num_flows", "widths", "activation", "context_dim", "context_layers", "weight_norm"}
_OPTIMIZERS = ("adam", "adamw", "adamax")


def flow_options(config: FlowConfig) -> dict | None:
    """What the peer has to know of a flow; None for none.

    Raises:
        ValueError: if the flow is one that the peer does not have.
    """
    options = config.options()
    if config.flow not in ("none", "iaf") or set(options) - _FLOW_OPTIONS:
        raise ValueError(f"Expected a flow that the PyTorch peer has, a gated iaf; got {config}.")
    return None if config.flow == "none" else options


def network_options(config: Options) -> dict:
    """What the peer has to know of the encoder or the decoder."""
    return {"network": config.chosen(), "options": config.options()}


def train_options(config: Config) -> dict:
    """What the peer has to know of a train step.

    Raises:
        ValueError: if the optimiser is one that the peer does not have.
    """
    given = config.optimizer
    if given.name not in _OPTIMIZERS:
        raise ValueError(f"Expected an optimiser of {', '.join(_OPTIMIZERS)}; got {given.name}.")
    return {
        "dynamic": config.data.binarization == "dynamic",
        "optimizer": given.name,
        "ema_decay": given.ema_decay,
        "max_gradient_norm": given.max_gradient_norm,
    }


class Peer:
    """The PyTorch side, in a process of its own.

    Raises:
        ValueError: if the model is not one that the peer has.
        RuntimeError: if the peer's has another number of parameters.
    """

    def __init__(self, config: Config):
        if config.pixelcnn.model != "none":
            raise ValueError("Expected a model that the PyTorch peer has; got a PixelCNN.")
        if config.objective.name != "elbo" or config.objective.samples != 1:
            raise ValueError(
                f"Expected the ELBO of one draw, which is the PyTorch peer's; got {config.objective}."
            )
        self._sizes = {
            "latent_dim": config.model.latent_dim,
            "encoder": network_options(config.encoder),
            "decoder": network_options(config.decoder),
            "posterior": flow_options(config.posterior),
            "prior": flow_options(config.prior),
        }
        script = pathlib.Path(__file__).with_name("torch_peer.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        theirs, ours = int(self._ask({"kind": "parameters"})), num_parameters(config)
        if theirs != ours:
            raise RuntimeError(f"Expected the peer's parameters to be as many as ours, {ours}; got {theirs}.")

    def _ask(self, question: dict) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**question, "sizes": self._sizes}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("Expected an answer from the PyTorch peer; got none (see its error above).")
        return float(answer)

    def case(self, name: str, count: int, gigaflop: float, **options) -> Case:
        """A case that the other process sets up, warms up and runs."""
        self._ask(options)
        return Case(name, lambda: self._ask(options), count, gigaflop)


def num_parameters(config: Config) -> int:
    """Of the library's model."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    model = eqx.filter_eval_shape(lambda key: build_model(config, (1, 28, 28), key), key)
    leaves = jax.tree.leaves(eqx.filter(model, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)))
    return sum(leaf.size for leaf in leaves if jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact))
