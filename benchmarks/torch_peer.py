"""The same dense VAE in PyTorch, as fast as it goes there; run by `speed.py --peer torch`.

Reads one case a line from standard input as JSON, runs it once (the first time after setting it up and
warming it up) and answers with the seconds it took, so that the two sides take turns in one run.
"""

import copy
import functools
import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

PIXELS = 784


def stack(*sizes: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers = [nn.Linear(i, o) for i, o in zip(sizes[:-1], sizes[1:], strict=True)]
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


class MADE(nn.Module):
    """A masked network: a latent and a context, which enters every layer, to two numbers for each element."""

    def __init__(self, latent_dim: int, widths: list[int], context_dim: int):
        super().__init__()
        sizes = [latent_dim, *widths, 2 * latent_dim]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip(sizes[:-1], sizes[1:], strict=True))
        self.contexts = nn.ModuleList(nn.Linear(context_dim, o, bias=False) for o in sizes[1:])
        places = torch.arange(1, latent_dim + 1)
        degrees = [places, *(torch.linspace(0, latent_dim - 1, width).round() for width in widths)]
        for i, (below, above) in enumerate(zip(degrees[:-1], degrees[1:], strict=True)):
            self.register_buffer(f"mask_{i}", (above[:, None] >= below).float())
        self.register_buffer(f"mask_{len(widths)}", (places[:, None] > degrees[-1]).float().repeat(2, 1))

    def masked(self) -> list[torch.Tensor]:
        """The weights of the layers, masked."""
        return [layer.weight * self.get_buffer(f"mask_{i}") for i, layer in enumerate(self.layers)]

    def offsets(self, context: torch.Tensor) -> list[torch.Tensor]:
        """What the context and the biases add to each layer."""
        pairs = zip(self.layers, self.contexts, strict=True)
        return [F.linear(context, part.weight, layer.bias) for layer, part in pairs]


def transform(z: torch.Tensor, flow: list, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Gated steps, each of masked weights and offsets, the latent reversed in between: z and log |det|."""
    log_det = z.new_zeros(z.shape[:-1])
    for step, (weights, offsets) in enumerate(flow):
        z = z.flip(-1) if step else z
        hidden = z.to(dtype)
        for i, (weight, offset) in enumerate(zip(weights, offsets, strict=True)):
            hidden = F.linear(hidden.relu_() if i else hidden, weight).add_(offset)
        m, s = hidden.float().chunk(2, -1)
        z = torch.lerp(m, z, torch.sigmoid(s + 2))
        log_det = log_det + F.logsigmoid(s + 2).sum(-1)
    return z, log_det


class VAE(nn.Module):
    """Gaussian posterior, with gated IAF steps or none, standard normal prior, Bernoulli likelihood."""

    def __init__(
        self,
        latent_dim: int,
        encoder_widths: list[int],
        decoder_widths: list[int],
        num_flows: int,
        flow_widths: list[int],
        context_dim: int,
    ):
        super().__init__()
        self.sizes = (latent_dim, latent_dim, context_dim if num_flows else 0)
        self.encoder = stack(PIXELS, *encoder_widths, sum(self.sizes))
        self.decoder = stack(latent_dim, *decoder_widths, PIXELS)
        self.flow = nn.ModuleList(MADE(latent_dim, flow_widths, context_dim) for _ in range(num_flows))

    def posterior(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Location, scale and context of q(z | x)."""
        loc, raw_scale, context = self.encoder(x).float().split(self.sizes, -1)
        return loc, F.softplus(raw_scale), context

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the one-sample ELBO, averaged over the batch."""
        loc, scale, context = self.posterior(x)
        eps = torch.randn_like(loc)
        flow = [(made.masked(), made.offsets(context)) for made in self.flow]
        z, log_det = transform(loc + scale * eps, flow, torch.float32)
        nll = F.binary_cross_entropy_with_logits(self.decoder(z).float(), x, reduction="sum")
        return (nll + (0.5 * (z * z - eps * eps) - scale.log()).sum() - log_det.sum()) / len(x)


def make_train(model: VAE, device: str, batch_size: int, num_steps: int, compiled: str, precision: str):
    """A function that trains for `num_steps` with fused Adam, on data that stay on the device."""
    images = (torch.rand(50_000, PIXELS, device=device) < 0.13).to(torch.uint8)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def forward(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            return model.loss(x)

    if compiled != "eager":
        forward = torch.compile(forward, mode=None if compiled == "compile" else compiled)

    def run() -> None:
        for index in torch.randint(0, len(images), (num_steps, batch_size), device=device):
            optimizer.zero_grad(set_to_none=True)
            forward(images[index].float()).backward()
            optimizer.step()

    return run


def make_evaluate(
    model: VAE, device: str, num_images: int, num_samples: int, chunk: int, compiled: str, precision: str
):
    """A function that estimates log p(x) by importance sampling, `chunk` samples of all images at a time."""
    if num_samples % chunk:
        raise ValueError(f"Expected chunk to divide {num_samples}; got {chunk}.")
    x = (torch.rand(num_images, PIXELS, device=device) < 0.13).float()
    dtype = getattr(torch, precision)
    decoder = copy.deepcopy(model.decoder).to(dtype)

    def log_weight(loc: torch.Tensor, scale: torch.Tensor, flow: list) -> torch.Tensor:
        eps = torch.randn(chunk, *loc.shape, device=device)
        z, log_det = transform(loc + scale * eps, flow, dtype)
        logits = decoder(z.to(dtype)).float()
        nll = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        return (0.5 * (eps * eps - z * z) + scale.log()).sum(-1) - nll + log_det

    if compiled != "eager":
        log_weight = torch.compile(
            log_weight, mode=None if compiled == "compile" else compiled, dynamic=False
        )

    def run() -> None:
        with torch.inference_mode():
            loc, scale, context = model.posterior(x)
            flow = [
                tuple([a.to(dtype) for a in part] for part in (made.masked(), made.offsets(context)))
                for made in model.flow
            ]
            parts = [log_weight(loc, scale, flow).logsumexp(0) for _ in range(num_samples // chunk)]
            torch.stack(parts).logsumexp(0).sub(math.log(num_samples)).sum().item()

    return run


@functools.cache
def make(case: str):
    """The function of one case, warmed up."""
    options = json.loads(case)
    kind, sizes = options.pop("kind"), options.pop("sizes")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    run = {"train": make_train, "evaluate": make_evaluate}[kind](VAE(**sizes).to(device), device, **options)
    run()
    return run


def main() -> None:
    """Answers until standard input ends."""
    for line in sys.stdin:
        run = make(line)
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        print(json.dumps(time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
