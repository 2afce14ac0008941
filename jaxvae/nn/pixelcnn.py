"""PixelCNN: the logits of every pixel from the pixels before it and a context, and draws from them."""

from collections.abc import Callable, Sequence

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae._checks import expect_choice, expect_positive, expect_shape, expected
from jaxvae._typing import Image, Key
from jaxvae.nn.activations import elu
from jaxvae.nn.conv import Maps
from jaxvae.nn.convolve import convolve
from jaxvae.nn.weight_norm import WeightNorm


class JointConv(eqx.Module):
    """A weight-normalised sum of convolutions, gain * sum_i V_i * x_i / ||V|| + bias, without padding.

    Args:
        kernels: `(kh, kw, in)` of each V_i.
        out_maps: channels of the output.
        dtype: of the operands and the outputs, float32 or bfloat16.
        key: for the initial weights.
    """

    weights: tuple[Float[Array, "kh kw in out"], ...]
    norm: WeightNorm
    dtype: jnp.dtype = eqx.field(static=True)

    def __init__(self, kernels: Sequence[tuple[int, int, int]], out_maps: int, *, dtype, key: Key):
        fan_in = sum(height * width * maps for height, width, maps in kernels)
        self.weights = tuple(
            fan_in**-0.5 * jax.random.normal(k, (*kernel, out_maps))
            for kernel, k in zip(kernels, jax.random.split(key, len(kernels)), strict=True)
        )
        self.norm = WeightNorm(self._norms(), jnp.zeros((out_maps,)))
        self.dtype = jnp.dtype(dtype)

    def __call__(self, *inputs: Maps) -> Maps:
        """Maps one example, of which each input exceeds the output by the size of its kernel, less one."""
        if self.norm.is_initializing:
            return self.norm(self._convolve(inputs, 1.0), self._norms()).astype(self.dtype)
        return self._convolve(inputs, self.norm.gain / self._norms()) + self.norm.bias.astype(self.dtype)

    def _convolve(self, inputs: Sequence[Maps], scale: Array | float) -> Maps:
        parts = [
            convolve(x, scale * weight, stride=1, padding="valid", dtype=self.dtype)
            for x, weight in zip(inputs, self.weights, strict=True)
        ]
        return sum(parts[1:], start=parts[0])

    def _norms(self) -> Float[Array, " out"]:
        return jnp.sqrt(sum(jnp.sum(weight**2, axis=(0, 1, 2)) for weight in self.weights))


class GatedLayer(eqx.Module):
    """A layer of both stacks, with the gates tanh(a) sigmoid(b).

    van den Oord et al. 2016, eq. 5 and figure 2, arXiv:1606.05328. The vertical maps of a place see the row
    that it is in and rows above; the horizontal ones see the column that it is in, columns to the left, and
    the new vertical maps.

    Args:
        in_maps: of both stacks.
        maps: of both stacks that come out.
        context_maps: of the context, which enters both gates.
        kernel: `(rows, reach)`, the rows, and as many columns of the horizontal stack, that a place sees; and
            the columns on either side of it that the vertical stack sees.
        dtype: of the maps and of the operands of products.
        key: for the initial weights.
    """

    vertical: JointConv
    horizontal: JointConv
    output: JointConv
    kernel: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self, in_maps: int, maps: int, context_maps: int, *, kernel: tuple[int, int], dtype, key: Key
    ):
        keys = jax.random.split(key, 3)
        rows, reach = self.kernel = kernel
        context = (1, 1, context_maps)
        above, left = (rows, 2 * reach + 1, in_maps), (1, rows, in_maps)
        self.vertical = JointConv([above, context], 2 * maps, dtype=dtype, key=keys[0])
        self.horizontal = JointConv([left, (1, 1, maps), context], 2 * maps, dtype=dtype, key=keys[1])
        self.output = JointConv([(1, 1, maps)], maps, dtype=dtype, key=keys[2])

    def go_down(self, above: Maps, context: Maps) -> Maps:
        """The vertical maps, from those before with `rows - 1` more rows above."""
        _, reach = self.kernel
        return _gate(self.vertical(jnp.pad(above, ((0, 0), (reach, reach), (0, 0))), context))

    def go_right(self, left: Maps, vertical: Maps, context: Maps) -> Maps:
        """What is added to the horizontal maps, from those with `rows - 1` more columns at the left."""
        return self.output(_gate(self.horizontal(left, vertical, context)))


def _gate(x: Maps) -> Maps:
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)


class PixelCNN(eqx.Module):
    """The logits of binary pixels, each from a context and the pixels before it in raster order.

    The gated network of van den Oord et al. 2016 (arXiv:1606.05328, section 2), with a vertical and a
    horizontal stack, which leave no blind spot; residual connections in the horizontal one; after it two
    1 x 1 convolutions. Every layer is weight-normalised. A pixel sees those before it at most R rows and R
    columns away, with R = (first_kernel_size - 1) / 2 + (num_layers - 1) (kernel_size - 1) / 2: with a
    kernel_size of 1 the first layer's window alone, the small receptive field that makes a VAE keep what is
    global in its latents (Chen et al. 2017, section 3.1, arXiv:1611.02731).

    The channels of one pixel are independent given the pixels before it.

    Args:
        image_shape: `(C, H, W)`.
        context_maps: F, of the context, which enters every gate.
        num_layers: the first one among them.
        maps: of both stacks of each layer.
        first_kernel_size: of the first layer, odd and at least 3.
        kernel_size: of the other layers, odd.
        dtype: of the maps and of the operands of products, float32 or bfloat16.
        key: for the initial weights.

    Raises:
        ValueError: if a size is not positive or a kernel's is even; on an unknown dtype; from a call, if the
            context is of another shape than was said.
    """

    layers: tuple[GatedLayer, ...]
    head: tuple[JointConv, JointConv]
    image_shape: tuple[int, ...] = eqx.field(static=True)
    context_maps: int = eqx.field(static=True)

    def __init__(
        self,
        image_shape: Sequence[int],
        context_maps: int,
        *,
        num_layers: int = 5,
        maps: int = 32,
        first_kernel_size: int = 7,
        kernel_size: int = 3,
        dtype=jnp.float32,
        key: Key,
    ):
        channels, height, width = self.image_shape = tuple(image_shape)
        self.context_maps = context_maps
        sizes = {"channels": channels, "height": height, "width": width, "context_maps": context_maps}
        for name, size in {**sizes, "num_layers": num_layers, "maps": maps}.items():
            expect_positive(name, size)
        expect_choice("dtype", jnp.dtype(dtype).name, ["float32", "bfloat16"])
        kernels = (("first_kernel_size", first_kernel_size, 3), ("kernel_size", kernel_size, 1))
        for name, size, lowest in kernels:
            if size < lowest or size % 2 == 0:
                raise expected(name, f"to be odd and at least {lowest}", size)
        *keys, first_key, second_key = jax.random.split(key, num_layers + 2)
        # The first layer gets the image moved down, and to the right: its own place is then before the pixel.
        reach = first_kernel_size // 2
        first, other = (reach, reach), (kernel_size // 2 + 1, kernel_size // 2)
        plan = [(channels, first)] + [(maps, other)] * (num_layers - 1)
        self.layers = tuple(
            GatedLayer(in_maps, maps, context_maps, kernel=kernel, dtype=dtype, key=k)
            for (in_maps, kernel), k in zip(plan, keys, strict=True)
        )
        self.head = (
            JointConv([(1, 1, maps)], maps, dtype=dtype, key=first_key),
            # In float32, since logits need more digits than maps do.
            JointConv([(1, 1, maps)], channels, dtype=jnp.float32, key=second_key),
        )

    def __call__(self, x: Image, context: Float[Array, "F H W"]) -> Image:
        """The float32 logits `(C, H, W)` of the pixels of one image, in one pass."""
        chex.assert_shape(x, self.image_shape)
        context, x = self._channels_last(context), jnp.moveaxis(x, 0, -1)
        vertical, horizontal = _before(x, 1, axis=0)[:-1], _before(x, 1, axis=1)[:, :-1]
        for i, layer in enumerate(self.layers):
            rows, _ = layer.kernel
            vertical = layer.go_down(_before(vertical, rows - 1, axis=0), context)
            update = layer.go_right(_before(horizontal, rows - 1, axis=1), vertical, context)
            horizontal = horizontal + update if i else update
        return jnp.moveaxis(self._logits(horizontal), -1, 0)

    def sample(self, key: Key, context: Float[Array, "F H W"]) -> Image:
        """Draws one binary image, as `uniform < sigmoid(logits)` pixel by pixel.

        Each pixel costs one place of the horizontal stack, and each row one row of the vertical stack: what
        the convolutions see of the places before is kept.

        Args:
            key: for the uniforms, `jax.random.uniform(key, (H, W, C))`.
            context: `(F, H, W)`.
        """
        channels, height, width = self.image_shape
        uniforms = jax.random.uniform(key, (height, 1, width, channels))
        contexts = self._channels_last(context)[:, None]

        def draw_row(carry: tuple[list[Maps], Maps], inputs: tuple[Maps, Maps]):
            kept, vertical = carry
            verticals, next_kept = [], []
            for layer, before in zip(self.layers, kept, strict=True):
                above = jnp.concatenate([before, vertical])
                vertical = layer.go_down(above, inputs[1])
                verticals.append(vertical)
                next_kept.append(above[1:])
            row = self._draw_pixels(*inputs, verticals)
            return (next_kept, row), row

        start = self._zeros(lambda rows, maps: (rows, width, maps))
        _, x = jax.lax.scan(draw_row, start, (uniforms, contexts))
        return jnp.moveaxis(x[:, 0], -1, 0)

    def _draw_pixels(self, uniforms: Maps, context: Maps, verticals: list[Maps]) -> Maps:
        """One row, from all arrays of one row."""

        def draw_pixel(carry: tuple[list[Maps], Maps], inputs: tuple[Maps, Maps, list[Maps]]):
            kept, horizontal = carry
            uniform, context, verticals = inputs
            next_kept = []
            for i, (layer, before) in enumerate(zip(self.layers, kept, strict=True)):
                left = jnp.concatenate([before, horizontal], axis=1)
                update = layer.go_right(left, verticals[i], context)
                horizontal = horizontal + update if i else update
                next_kept.append(left[:, 1:])
            pixel = (uniform < jax.nn.sigmoid(self._logits(horizontal))).astype(jnp.float32)
            return (next_kept, pixel), pixel

        start = self._zeros(lambda columns, maps: (1, columns, maps))
        inputs = jax.tree.map(lambda maps: maps[0, :, None, None], (uniforms, context, verticals))
        _, row = jax.lax.scan(draw_pixel, start, inputs)
        return row[None, :, 0, 0]

    def _zeros(self, make_shape: Callable[[int, int], tuple[int, ...]]) -> tuple[list[Maps], Maps]:
        """What the layers see before the first place: kept inputs of each, and the newest of the first."""
        channels = self.image_shape[0]
        maps = [channels] + [layer.output.norm.gain.size for layer in self.layers[:-1]]
        kept = [
            jnp.zeros(make_shape(layer.kernel[0] - 1, size), layer.output.dtype if i else jnp.float32)
            for i, (layer, size) in enumerate(zip(self.layers, maps, strict=True))
        ]
        return kept, jnp.zeros(make_shape(1, channels))

    def _logits(self, horizontal: Maps) -> Maps:
        first, second = self.head
        return second(elu(first(elu(horizontal))))

    def _channels_last(self, context: Float[Array, "F H W"]) -> Maps:
        expect_shape("the context", context.shape, (self.context_maps, *self.image_shape[1:]))
        return jnp.moveaxis(context, 0, -1)


def _before(x: Maps, count: int, axis: int) -> Maps:
    """The maps with so many rows or columns of zeros before them."""
    return jnp.pad(x, [(count if i == axis else 0, 0) for i in range(3)])
