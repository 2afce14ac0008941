# type: ignore  # PyTorch is no dependency
"""The library's layers, dense and masked networks in PyTorch; for `torch_peer.py`."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {"relu": F.relu, "elu": F.elu}


class Layer(nn.Module):
    """A weight, a bias and, where weight-normalised, a gain for each output."""

    def __init__(self, shape: tuple[int, ...], out_axis: int, norm: bool, fan_in: float):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape) / fan_in**0.5)
        self.bias = nn.Parameter(torch.zeros(shape[out_axis]))
        self.axes = [axis for axis in range(len(shape)) if axis != out_axis]
        self.gain = nn.Parameter(self.norms().detach().flatten()) if norm else None

    def norms(self) -> torch.Tensor:
        """||v|| of each output, to be multiplied with the weight."""
        return torch.linalg.vector_norm(self.weight, dim=self.axes, keepdim=True)

    def kernel(self) -> torch.Tensor:
        """The weight with its norm."""
        if self.gain is None:
            return self.weight
        norms = self.norms()
        return self.weight * (self.gain.view_as(norms) / norms)

    def bake(self) -> None:
        """Normalises once and for all."""
        self.weight.data, self.gain = self.kernel().detach(), None


def baked(network: nn.Module) -> nn.Module:
    """A copy whose weights are normalised once and for all, and need no gradient."""
    network = copy.deepcopy(network).requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, Layer):
            layer.bake()
    return network


class Linear(Layer):
    """An affine map."""

    def __init__(self, in_dim: int, out_dim: int, norm: bool = False):
        super().__init__((out_dim, in_dim), 0, norm, in_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scales the outputs, which are fewer than the weights."""
        if self.gain is None:
            return F.linear(x, self.weight, self.bias)
        scale = self.gain / self.norms().flatten()
        return torch.addcmul(self.bias, F.linear(x, self.weight), scale)


class MLP(nn.Module):
    """Linear layers with an activation between them; with `skip`, all of them see the input."""

    def __init__(
        self, sizes: list[int], activation: str = "relu", skip: bool = False, weight_norm: bool = False
    ):
        super().__init__()
        ins = [sizes[0], *(size + sizes[0] * skip for size in sizes[1:-1])]
        self.layers = nn.ModuleList(Linear(i, o, weight_norm) for i, o in zip(ins, sizes[1:], strict=True))
        self.activation, self.skip = ACTIVATIONS[activation], skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps a batch."""
        hidden = self.layers[0](x)
        for layer in self.layers[1:]:
            hidden = self.activation(hidden, inplace=True)
            hidden = layer(torch.cat([hidden, x], -1) if self.skip else hidden)
        return hidden


class MaskedLinear(Layer):
    """An affine map of the inputs that the mask leaves, and of a context."""

    def __init__(self, mask: torch.Tensor, context_dim: int, norm: bool):
        super().__init__(tuple(mask.shape), 0, norm, mask.shape[1])
        self.context = nn.Parameter(torch.randn(len(mask), context_dim) * 0.01) if context_dim else None
        self.register_buffer("mask", mask.float())
        # What starts at 0 and gets no gradient stays there: nothing to mask in the forward pass.
        self.weight.data.mul_(self.mask)
        self.weight.register_post_accumulate_grad_hook(self.mask_gradient)
        if self.gain is not None:
            self.gain.data = self.row_norms().detach()

    def mask_gradient(self, weight: torch.Tensor) -> None:
        """In place, once there is one."""
        weight.grad.mul_(self.mask)

    def row_norms(self) -> torch.Tensor:
        """||v|| of each output, the context's weights included."""
        norms = torch.linalg.vector_norm(self.weight, dim=1)
        if self.context is not None:
            norms = torch.hypot(norms, torch.linalg.vector_norm(self.context, dim=1))
        return torch.where(norms > 0, norms, 1)

    def bind(self, added: torch.Tensor | None, context: torch.Tensor | None) -> tuple:
        """The weight, the scale (None for 1) and the offset of the outputs; `added` has no weights."""
        if self.context is not None:
            added = F.linear(context, self.context)
        if self.gain is None:
            return self.weight, None, self.bias if added is None else self.bias + added
        scale = self.gain / self.row_norms()
        return self.weight, scale, self.bias if added is None else torch.addcmul(self.bias, added, scale)


class MADE(nn.Module):
    """A masked network of a latent and a context, to two numbers for each element."""

    def __init__(
        self,
        latent_dim: int,
        widths: tuple[int, ...] = (512, 512),
        context_dim: int = 0,
        context_layers: str = "every",
        activation: str = "relu",
        weight_norm: bool = False,
    ):
        super().__init__()
        places = torch.arange(1, latent_dim + 1)
        degrees = [places, *(torch.linspace(0, latent_dim - 1, width).round() for width in widths)]
        masks = [above[:, None] >= below for below, above in zip(degrees[:-1], degrees[1:], strict=True)]
        masks.append((places[:, None] > degrees[-1]).repeat(2, 1))
        self.adds = context_layers == "add"
        takers = {"every": len(masks), "first": 1, "add": 0}[context_layers]
        self.layers = nn.ModuleList(
            MaskedLinear(mask, context_dim if i < takers else 0, weight_norm) for i, mask in enumerate(masks)
        )
        self.activation = ACTIVATIONS[activation]

    def bind(self, context: torch.Tensor | None) -> list[tuple]:
        """What `apply` takes, the same for every latent."""
        return [
            layer.bind(context if self.adds and i == 0 else None, context)
            for i, layer in enumerate(self.layers)
        ]

    def apply_bound(self, z: torch.Tensor, bound: list[tuple]) -> torch.Tensor:
        """The outputs at the context that was bound."""
        hidden = z
        for i, (weight, scale, offset) in enumerate(bound):
            hidden = F.linear(self.activation(hidden, inplace=True) if i else hidden, weight)
            hidden = hidden.add_(offset) if scale is None else torch.addcmul(offset, hidden, scale)
        return hidden


def transform(z: torch.Tensor, flow: nn.ModuleList, bound: list) -> tuple[torch.Tensor, torch.Tensor]:
    """Gated steps at what was bound, the latent reversed in between: z and log |det|."""
    log_det = z.new_zeros(z.shape[:-1])
    for i, (made, layers) in enumerate(zip(flow, bound, strict=True)):
        z = z.flip(-1) if i else z
        m, s = made.apply_bound(z.to(layers[0][0].dtype), layers).float().chunk(2, -1)
        z = torch.lerp(m, z, torch.sigmoid(s + 2))
        log_det = log_det + F.logsigmoid(s + 2).sum(-1)
    return z, log_det


def bind(flow: nn.ModuleList, context: torch.Tensor | None) -> list:
    """The layers of every step at one context."""
    return [made.bind(context) for made in flow]


def fold(bound: list, dtype: torch.dtype) -> list:
    """The same with the scales in the weights: many samples then share that work."""
    return [
        [
            ((weight if scale is None else weight * scale[:, None]).to(dtype), None, offset.to(dtype))
            for weight, scale, offset in layers
        ]
        for layers in bound
    ]
