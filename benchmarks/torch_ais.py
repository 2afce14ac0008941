# type: ignore  # PyTorch is no dependency
"""Hamiltonian annealed importance sampling in PyTorch, from the posterior in its noise; for `torch_peer.py`.

All chains of all images are one batch. The steps between the ends of a move take the gradient alone: it
starts from x - sigmoid(logits), and the value with its softplus is made at the ends.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch_dense import baked, bind, fold, transform

PIXELS = 784


class Given(NamedTuple):
    """N images, and what is made of them once."""

    x: torch.Tensor
    loc: torch.Tensor
    scale: torch.Tensor
    posterior: list
    prior: list


class Density:
    """Log p(x, z) + log |det dz/deps| of chains `(M, N, D)` of N images, and its gradient."""

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        self.model, self.dtype = model, dtype
        self.decoder = baked(model.decoder).to(dtype)

    def given(self, x: torch.Tensor) -> Given:
        """What the others take."""
        loc, scale, context = self.model.encoder(x)
        flows = (self.model.posterior, context), (self.model.prior, None)
        return Given(x, loc, scale, *(fold(bind(*flow), self.dtype) for flow in flows))

    def gradient(self, eps: torch.Tensor, given: Given) -> torch.Tensor:
        """Without the value."""
        (logits, u, log_det), pull = torch.func.vjp(lambda eps: self._parts(eps, given), eps)
        return pull((given.x - torch.sigmoid(logits), -u, torch.ones_like(log_det)))[0]

    def value_and_gradient(self, eps: torch.Tensor, given: Given) -> tuple[torch.Tensor, torch.Tensor]:
        """Both."""
        (logits, u, log_det), pull = torch.func.vjp(lambda eps: self._parts(eps, given), eps)
        x = given.x.expand_as(logits)
        nll = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        value = log_normal(u) + log_det + given.scale.log().sum(-1) - nll
        return value, pull((x - torch.sigmoid(logits), -u, torch.ones_like(log_det)))[0]

    def _parts(self, eps: torch.Tensor, given: Given) -> tuple[torch.Tensor, ...]:
        """Logits, the prior's noise, and log |det| of both flows."""
        z, log_det = transform(given.loc + given.scale * eps, self.model.posterior, given.posterior)
        u, prior_log_det = transform(z, self.model.prior, given.prior)
        return self.decoder(z.to(self.dtype)), u, log_det + prior_log_det


class Chain(NamedTuple):
    """Chains at once: their places `(M, N, D)`, log p(x, z) there, its gradient, and their momenta."""

    eps: torch.Tensor
    log_joint: torch.Tensor
    gradient: torch.Tensor
    momentum: torch.Tensor

    def log_density(self, beta: float) -> torch.Tensor:
        """At inverse temperature `beta`, with the momentum's."""
        return torch.lerp(log_normal(self.eps), self.log_joint, beta) + log_normal(self.momentum)


def log_normal(v: torch.Tensor) -> torch.Tensor:
    """The standard normal's log density."""
    return -0.5 * (v * v + math.log(2 * math.pi)).sum(-1)


def tempered(beta: float, eps: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient at inverse temperature `beta`; the start's is -eps."""
    return torch.lerp(-eps, gradient, beta)


def make_move(density: Density, num_leapfrog: int, step_size: float) -> Callable:
    """Leapfrog steps and the Metropolis test; the momentum is turned round on rejection."""

    def leapfrog(chain: Chain, beta: float, given: Given) -> Chain:
        eps, _, gradient, momentum = chain
        momentum = torch.add(momentum, tempered(beta, eps, gradient), alpha=0.5 * step_size)
        for _ in range(num_leapfrog - 1):
            eps = torch.add(eps, momentum, alpha=step_size)
            gradient = density.gradient(eps, given)
            momentum = torch.add(momentum, tempered(beta, eps, gradient), alpha=step_size)
        eps = torch.add(eps, momentum, alpha=step_size)
        log_joint, gradient = density.value_and_gradient(eps, given)
        momentum = torch.add(momentum, tempered(beta, eps, gradient), alpha=0.5 * step_size)
        return Chain(eps, log_joint, gradient, momentum)

    def move(chain: Chain, beta: float, given: Given) -> Chain:
        proposal, turned = leapfrog(chain, beta, given), chain._replace(momentum=-chain.momentum)
        change = proposal.log_density(beta) - chain.log_density(beta)
        accepted = (torch.rand_like(change).log() < change)[..., None]
        return Chain(*(choose(accepted, *pair) for pair in zip(proposal, turned, strict=True)))

    return move


def choose(accepted: torch.Tensor, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """The new ones of the chains that are accepted."""
    return torch.where(accepted if new.ndim == accepted.ndim else accepted[..., 0], new, old)


def make_ais(
    model: nn.Module,
    device: str,
    num_images: int,
    num_chains: int,
    num_temperatures: int,
    num_leapfrog: int,
    compiled: str,
    precision: str,
    step_size: float = 0.05,
    persistence: float = 0.5,
) -> Callable[[], None]:
    """A function that estimates log p(x) by chains with a step size that is given."""
    x = (torch.rand(num_images, PIXELS, device=device) < 0.13).float()
    density = Density(model, getattr(torch, precision))
    if compiled != "eager":
        mode = None if compiled == "compile" else compiled
        for name in ("gradient", "value_and_gradient"):
            setattr(density, name, torch.compile(getattr(density, name), mode=mode, dynamic=False))
    move = make_move(density, num_leapfrog, step_size)

    def first(given: Given) -> Chain:
        eps = torch.randn(num_chains, *given.loc.shape, device=device)
        value, gradient = density.value_and_gradient(eps, given)
        # What a CUDA graph gives is overwritten by its next run.
        return Chain(eps, value.clone(), gradient.clone(), torch.randn_like(eps))

    @torch.no_grad()
    def run() -> None:
        given = density.given(x)
        chain = first(given)
        log_w = 0.0
        for i in range(1, num_temperatures + 1):
            log_w = log_w + (chain.log_joint - log_normal(chain.eps)) / num_temperatures
            if i < num_temperatures:
                chain = move(chain, i / num_temperatures, given)
                kept, fresh = persistence * chain.momentum, torch.randn_like(chain.momentum)
                momentum = torch.add(kept, fresh, alpha=(1 - persistence**2) ** 0.5)
                chain = chain._replace(momentum=momentum)
        log_w.logsumexp(0).sub(math.log(num_chains)).sum().item()

    return run
