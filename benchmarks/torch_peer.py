"""The same VAE in PyTorch, as fast as it goes there; run by `speed.py --peer torch`.

Reads one case a line from standard input as JSON, runs it once (the first time after setting it up and
warming it up) and answers with the seconds it took, so that the two sides take turns in one run; a case of
the kind `parameters` is answered with their number.
"""

import functools
import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch_ais import make_ais
from torch_conv import GatedConvDown, GatedConvUp, ResNetDown, ResNetUp
from torch_dense import MADE, MLP, Linear, baked, bind, fold, transform

PIXELS = 784
DOWN = {"resnet": ResNetDown, "gated-conv": GatedConvDown}
UP = {"resnet": ResNetUp, "gated-conv": GatedConvUp}
SCALES = {"softplus": F.softplus, "exp": torch.exp}


class Encoder(nn.Module):
    """From images to location, scale and context."""

    def __init__(self, network: str, sizes: tuple[int, ...], options: dict):
        super().__init__()
        self.sizes, options = sizes, dict(options)
        conv = network != "dense"
        self.scale = SCALES[options.pop("scale", "exp" if conv else "softplus")]
        self.scale_bias = options.pop("scale_bias", -3.0 if conv else 0.0)
        self.shape = (1, 28, 28) if conv else (PIXELS,)
        if conv:
            down = DOWN[network](**options)
            dense = Linear(down.feature_dim, sum(sizes), options.get("weight_norm", True))
            self.network = nn.Sequential(down, dense)
        else:
            self.network = MLP([PIXELS, *options.pop("widths", (512, 512)), sum(sizes)], **options)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What q(z | x) is made of, for pixels `(B, 784)`."""
        loc, raw_scale, context = self.network(x.view(-1, *self.shape)).float().split(self.sizes, -1)
        return loc, self.scale(raw_scale + self.scale_bias), context


class Decoder(nn.Module):
    """From latents to logits `(..., 784)`."""

    def __init__(self, network: str, latent_dim: int, options: dict):
        super().__init__()
        options = dict(options)
        if network == "dense":
            self.network = MLP([latent_dim, *options.pop("widths", (512, 512)), PIXELS], **options)
        else:
            self.network = UP[network](latent_dim, **options)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """The logits, in float32."""
        return self.network(z.flatten(0, -2)).float().view(*z.shape[:-1], PIXELS)


class VAE(nn.Module):
    """Gaussian posterior, standard normal prior, each with gated IAF steps or none; Bernoulli likelihood."""

    def __init__(
        self, latent_dim: int, encoder: dict, decoder: dict, posterior: dict | None, prior: dict | None
    ):
        super().__init__()
        flows = ({"num_flows": 0} if given is None else dict(given) for given in (posterior, prior))
        counts, options = zip(*((flow.pop("num_flows", 2), flow) for flow in flows), strict=True)
        context_dim = options[0].get("context_dim", latent_dim) if counts[0] else 0
        options[0]["context_dim"] = context_dim
        self.encoder = Encoder(encoder["network"], (latent_dim, latent_dim, context_dim), encoder["options"])
        self.decoder = Decoder(decoder["network"], latent_dim, decoder["options"])
        self.posterior, self.prior = (
            nn.ModuleList(MADE(latent_dim, **option) for _ in range(count))
            for count, option in zip(counts, options, strict=True)
        )

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Minus the one-sample ELBO, averaged over the batch."""
        loc, scale, context = self.encoder(x)
        eps = torch.randn_like(loc)
        z, log_det = transform(loc + scale * eps, self.posterior, bind(self.posterior, context))
        u, prior_log_det = transform(z, self.prior, bind(self.prior, None))
        nll = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = (0.5 * (u * u - eps * eps) - scale.log()).sum() - log_det.sum() - prior_log_det.sum()
        return (nll + kl) / len(x)


def make_update(model: VAE, optimizer: str, ema_decay: float | None, max_gradient_norm: float | None):
    """The optimiser's step, fused where PyTorch has that, and the moving average."""
    parameters = list(model.parameters())
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "adamax": torch.optim.Adamax}
    fast = {"foreach": True} if optimizer == "adamax" else {"fused": True}
    stepper = kinds[optimizer](parameters, lr=1e-3, **fast)
    averages = [p.detach().clone() for p in parameters] if ema_decay is not None else []

    def update() -> None:
        if max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(parameters, max_gradient_norm)
        stepper.step()
        stepper.zero_grad(set_to_none=True)
        if ema_decay is not None:
            with torch.no_grad():
                torch._foreach_lerp_(averages, parameters, 1 - ema_decay)

    return update


def make_train(
    model: VAE,
    device: str,
    batch_size: int,
    num_steps: int,
    compiled: str,
    precision: str,
    dynamic: bool,
    **update_options,
):
    """A function that trains for `num_steps` on data that stay on the device, binarised if `dynamic`."""
    images = torch.rand(50_000, PIXELS, device=device) ** 4
    images = images if dynamic else (images > 0.5).to(torch.uint8)
    update = make_update(model, **update_options)

    def forward(x: torch.Tensor) -> torch.Tensor:
        x = (torch.rand_like(x) < x).float() if dynamic else x.float()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            return model.loss(x)

    if compiled != "eager":
        forward = torch.compile(forward, mode=None if compiled == "compile" else compiled)

    def run() -> None:
        for index in torch.randint(0, len(images), (num_steps, batch_size), device=device):
            forward(images[index]).backward()
            update()

    return run


def make_evaluate(
    model: VAE, device: str, num_images: int, num_samples: int, chunk: int, compiled: str, precision: str
):
    """A function that estimates log p(x) by importance sampling, `chunk` samples of all images at a time."""
    if num_samples % chunk:
        raise ValueError(f"Expected chunk to divide {num_samples}; got {chunk}.")
    x = (torch.rand(num_images, PIXELS, device=device) < 0.13).float()
    dtype = getattr(torch, precision)
    decoder = baked(model.decoder).to(dtype)

    def log_weight(loc: torch.Tensor, scale: torch.Tensor, posterior: list, prior: list) -> torch.Tensor:
        eps = torch.randn(chunk, *loc.shape, device=device)
        z, log_det = transform(loc + scale * eps, model.posterior, posterior)
        u, prior_log_det = transform(z, model.prior, prior)
        logits = decoder(z.to(dtype))
        nll = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        return (0.5 * (eps * eps - u * u) + scale.log()).sum(-1) - nll + log_det + prior_log_det

    if compiled != "eager":
        log_weight = torch.compile(
            log_weight, mode=None if compiled == "compile" else compiled, dynamic=False
        )

    def run() -> None:
        with torch.inference_mode():
            loc, scale, context = model.encoder(x)
            bound = [fold(bind(model.posterior, context), dtype), fold(bind(model.prior, None), dtype)]
            parts = [log_weight(loc, scale, *bound).logsumexp(0) for _ in range(num_samples // chunk)]
            torch.stack(parts).logsumexp(0).sub(math.log(num_samples)).sum().item()

    return run


@functools.cache
def make(case: str):
    """The function of one case, warmed up."""
    options = json.loads(case)
    kind, sizes = options.pop("kind"), options.pop("sizes")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    model = VAE(**sizes).to(device, memory_format=torch.channels_last)
    if kind == "parameters":
        return lambda: sum(p.numel() for p in model.parameters())
    run = {"train": make_train, "evaluate": make_evaluate, "ais": make_ais}[kind](model, device, **options)
    run()
    return run


def main() -> None:
    """Answers until standard input ends."""
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, as in JAX
    torch.backends.cudnn.benchmark = True
    for line in sys.stdin:
        run = make(line)
        start = time.perf_counter()
        number = run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        print(json.dumps(number or time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
