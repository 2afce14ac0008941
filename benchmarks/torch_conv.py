# type: ignore  # PyTorch is no dependency
"""The library's convolutional networks in PyTorch, channels last; for `torch_peer.py`."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch_dense import Layer, Linear


class Conv(Layer):
    """A convolution with `same` padding, or a transposed one."""

    def __init__(
        self,
        in_maps: int,
        out_maps: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        transposed: bool = False,
        norm: bool = True,
    ):
        ends = (in_maps, out_maps) if transposed else (out_maps, in_maps)
        fan_in = in_maps * kernel_size**2 / (stride**2 if transposed else 1)
        super().__init__((*ends, kernel_size, kernel_size), int(transposed), norm, fan_in)
        self.options = {"stride": stride, "padding": kernel_size // 2}
        if transposed:
            self.options["output_padding"] = stride - 1
        self.function = F.conv_transpose2d if transposed else F.conv2d

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps a batch `(B, C, H, W)`."""
        return self.function(x, self.kernel(), self.bias, **self.options)


def flatten(maps: torch.Tensor) -> torch.Tensor:
    """Vectors from maps; with the channels last, as they are in memory, nothing is copied."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def unflatten(vectors: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """The reverse, to a shape `(H, W, C)`."""
    return vectors.view(-1, *shape).permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """A pre-activation block."""

    def __init__(
        self, in_maps: int, out_maps: int, stride: int, up: bool, branch_scale: float = 0.1, norm: bool = True
    ):
        super().__init__()
        options = {"stride": stride, "transposed": up and stride > 1, "norm": norm}
        self.first = Conv(in_maps, out_maps, **options)
        self.second = Conv(out_maps, out_maps, norm=norm)
        self.shortcut = Conv(in_maps, out_maps, 1, norm=norm) if in_maps != out_maps else nn.Identity()
        self.stride, self.up, self.branch_scale = stride, up, branch_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps a batch."""
        branch = self.second(F.elu(self.first(F.elu(x)), inplace=True))
        if self.stride > 1:
            x = F.interpolate(x, scale_factor=self.stride) if self.up else F.avg_pool2d(x, self.stride)
        return torch.add(self.shortcut(x), branch, alpha=self.branch_scale)


class ResNetDown(nn.Module):
    """From images to features."""

    def __init__(
        self,
        maps: tuple[int, ...] = (64, 64, 64),
        strides: tuple[int, ...] = (1, 2, 2),
        num_blocks: int = 2,
        width: int = 450,
        weight_norm: bool = True,
    ):
        super().__init__()
        self.stem = Conv(1, maps[0], norm=weight_norm)
        self.blocks = nn.Sequential()
        for into, out, stride in zip((maps[0], *maps[:-1]), maps, strides, strict=True):
            for i in range(num_blocks):
                ends = (out if i else into, out)
                self.blocks.append(ResidualBlock(*ends, 1 if i else stride, up=False, norm=weight_norm))
        self.dense = Linear((28 // math.prod(strides)) ** 2 * maps[-1], width, weight_norm)
        self.feature_dim = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features of a batch."""
        hidden = F.elu(self.blocks(self.stem(x)))
        return F.elu(self.dense(flatten(hidden)))


class ResNetUp(nn.Module):
    """From vectors to logits."""

    def __init__(
        self,
        in_dim: int,
        maps: tuple[int, ...] = (64, 64, 64),
        strides: tuple[int, ...] = (1, 2, 2),
        num_blocks: int = 2,
        weight_norm: bool = True,
    ):
        super().__init__()
        side = 28 // math.prod(strides)
        self.shape = (side, side, maps[-1])
        self.dense = Linear(in_dim, math.prod(self.shape), weight_norm)
        self.blocks = nn.Sequential()
        for into, out, stride in zip(maps[::-1], (maps[0], *maps[:-1])[::-1], strides[::-1], strict=True):
            for i in range(num_blocks):
                last = i == num_blocks - 1
                ends = (into, out if last else into)
                self.blocks.append(ResidualBlock(*ends, stride if last else 1, up=True, norm=weight_norm))
        self.head = Conv(maps[0], 1, norm=weight_norm)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """The logits of a batch."""
        return self.head(F.elu(self.blocks(unflatten(self.dense(z), self.shape))))


class GatedConv(nn.Module):
    """A convolution times the sigmoid of another."""

    def __init__(self, in_maps: int, out_maps: int, kernel_size: int, **options):
        super().__init__()
        self.conv = Conv(in_maps, 2 * out_maps, kernel_size, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps a batch."""
        return F.glu(self.conv(x), 1)


class GatedConvDown(nn.Module):
    """From images to features."""

    def __init__(
        self,
        maps: tuple[int, ...] = (32, 32, 64, 64, 64),
        strides: tuple[int, ...] = (1, 2, 1, 2, 1),
        kernel_size: int = 5,
        width: int = 256,
        weight_norm: bool = True,
    ):
        super().__init__()
        self.layers = nn.Sequential(
            *(
                GatedConv(into, out, kernel_size, stride=stride, norm=weight_norm)
                for into, out, stride in zip((1, *maps[:-1]), maps, strides, strict=True)
            )
        )
        self.dense = Linear((28 // math.prod(strides)) ** 2 * maps[-1], 2 * width, weight_norm)
        self.feature_dim = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features of a batch."""
        return F.glu(self.dense(flatten(self.layers(x))), 1)


class GatedConvUp(nn.Module):
    """From vectors to logits."""

    def __init__(
        self,
        in_dim: int,
        maps: tuple[int, ...] = (32, 32, 32, 64, 64),
        strides: tuple[int, ...] = (1, 2, 1, 2, 1),
        kernel_size: int = 5,
        weight_norm: bool = True,
    ):
        super().__init__()
        side = 28 // math.prod(strides)
        self.shape = (side, side, maps[-1])
        self.dense = Linear(in_dim, 2 * math.prod(self.shape), weight_norm)
        outs = (maps[0], *maps[:-1])
        self.layers = nn.Sequential(
            *(
                GatedConv(into, out, kernel_size, stride=stride, transposed=stride > 1, norm=weight_norm)
                for into, out, stride in zip(maps[::-1], outs[::-1], strides[::-1], strict=True)
            )
        )
        self.head = Conv(maps[0], 1, 1, norm=weight_norm)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """The logits of a batch."""
        return self.head(self.layers(unflatten(F.glu(self.dense(z), 1), self.shape)))
