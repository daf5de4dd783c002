"""Checkers for notebook 03, U2-Net."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import Hint, exercise
from .answers import attempt, expect_close, number

SIZE = (33, 47)  # height and width of a block's input; odd, so that wrong rounding is noticed
CHANNELS = (3, 4, 5)  # in_channels, mid_channels and out_channels of the block, all different


@exercise("03_u2net/1")
def dilated_field(answer):
    """Check that `answer(dilations)` returns the receptive field of a sequence of 3x3 convolutions, in pixels."""
    for dilations in ([1, 1, 1], [4], [1, 2, 5], [1, 1, 2, 4, 8, 4, 2, 1]):
        right = 1 + 2 * sum(dilations)
        stepped = 1 + 2 * sum(math.prod(dilations[: i + 1]) for i in range(len(dilations)))
        mistakes = [
            (
                1 + 2 * len(dilations),
                "the dilations are ignored: with dilation d, a kernel reaches d pixels to each side",
            ),
            (1 + sum(dilations), "a kernel with dilation d reaches d pixels to the left and d to the right"),
            (right - 1, "a single pixel has a receptive field of 1: start with 1"),
            (1 + sum(2 * d + 1 for d in dilations), "such a kernel spans 2d + 1 pixels but adds only 2d to the field"),
            (sum(2 * d + 1 for d in dilations), "such a kernel spans 2d + 1 pixels but adds only 2d to the field"),
            (1 + 2 * max(dilations), "this is only the widest layer; add the contributions of all layers"),
            (1 + 2 * math.prod(dilations), "add the contributions of the layers instead of multiplying them"),
            (
                stepped,
                "dilation is not a stride: for the next layer, neighbors are still one pixel apart",
            ),
        ]
        expect_close(
            number(answer(list(dilations))), right, mistakes, "start with 1 and add 2 * dilation for each layer"
        )


@exercise("03_u2net/2")
def sides_within(answer):
    """Check that `answer(side, height)` returns the side length of the feature map on each level of an RSU.

    `side` is the side length of the input, and `height` is the number of levels.
    """
    for side, height in ((64, 7), (37, 7), (5, 6), (20, 4), (21, 3)):
        result = np.asarray(answer(side, height))
        case = f"side {side} and height {height}"
        if result.ndim != 1 or result.dtype.kind not in "iuf":
            raise Hint("return a list of integers, one for each level")
        up = [-(-side // 2**level) for level in range(height + 1)]
        down = [side // 2**level for level in range(height + 1)]
        if len(result) == height - 1 and np.array_equal(result, up[: height - 1]):
            raise Hint(f"for {case} the last level is missing: it is dilated and as large as the level before")
        if len(result) != height:
            raise Hint(f"for {case} there should be {height} numbers, one for each level, but there are {len(result)}")
        right = [*up[: height - 1], up[height - 2]]
        mistakes = [
            (up[:height], "there are only height - 2 downsampling steps: the last one is as large as the level before"),
            (up[1:], "the first level is not downsampled: it has the side length of the input"),
            ([*down[: height - 1], down[height - 2]], "these are rounded down; the block rounds odd sizes up"),
            (down[:height], "these are rounded down, and the last level must not be downsampled"),
            ([max(1, s) for s in (*down[: height - 1], down[height - 2])], "rounded down; odd sizes are rounded up"),
        ]
        mistakes = [(np.array(wrong), hint) for wrong, hint in mistakes]
        expect_close(result, np.array(right), mistakes, f"for {case} the side lengths are {right}")


@exercise("03_u2net/3")
def weights_of_an_rsu(answer):
    """Check that `answer(in_channels, mid_channels, out_channels, height)` returns the parameter count of an RSU."""
    for a, m, b, height in ((3, 16, 64, 7), (64, 16, 64, 4), (256, 128, 512, 4), (8, 2, 4, 3)):

        def total(layer, a=a, m=m, b=b, height=height, merged=2):
            middle = layer(m, m) * (height - 1) + layer(merged * m, m) * (height - 2)
            return layer(a, b) + layer(b, m) + middle + layer(merged * m, b)

        right = total(_convolution)
        mistakes = [
            (total(lambda i, o: 9 * i * o + 2 * o), "each convolution has a bias, as in the authors' code"),
            (total(lambda i, o: 9 * i * o + o), "the normalizations are missing: a scale and a shift for each channel"),
            (total(lambda i, o: 9 * i * o), "biases and normalizations are missing: 3 parameters per output channel"),
            (total(lambda i, o: 9 * i * o + 5 * o), "running means and variances are buffers, which are not learned"),
            (total(lambda i, o: i * o + 3 * o), "a 3x3 kernel has 9 weights for each pair of channels"),
            (total(_convolution, merged=1), "each decoder convolution gets two feature maps: 2 * mid channels"),
            (right - _convolution(a, b), "the input convolution of the block is missing"),
            (right - _convolution(m, m), "a level is missing: the encoder has `height` convolutions"),
            (right - _convolution(2 * m, b), "the last convolution of the decoder is missing, with out_channels"),
            (
                right - _convolution(2 * m, b) + _convolution(2 * m, m),
                "the last decoder convolution has out_channels outputs, because of the residual connection",
            ),
            (right - _convolution(b, m) + _convolution(m, m), "the first encoder convolution gets out_channels inputs"),
            (right + _convolution(2 * m, m), "one convolution too many: the decoder has height - 1 convolutions"),
        ]
        where = f"RSU({a}, {m}, {b}, height={height}) has {right:,}: 9 * in * out + 3 * out for each convolution"
        expect_close(number(answer(a, m, b, height)), right, mistakes, where)


@exercise("03_u2net/4")
def add_rsu(answer):
    """Check that `answer(in_channels, mid_channels, out_channels)` returns an RSU with additive skip connections.

    The RSU has three levels.
    """
    block = attempt(f"AddRSU{CHANNELS}", lambda: answer(*CHANNELS))
    if not isinstance(block, nn.Module):
        raise Hint("AddRSU must be a class derived from nn.Module (and do not forget to call super().__init__())")
    calls: list[_Call] = []
    for module in block.modules():
        if type(module).__name__ == "ConvNormReLU":  # the reader's class or the library's
            module.register_forward_hook(lambda module, inputs, out: _record(calls, module, inputs[0], out))
    x = torch.randn(2, CHANNELS[0], *SIZE, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            out = block(x)
    except NotImplementedError:
        raise
    except Exception as error:  # an earlier call may explain the exception
        _check_calls(calls)
        raise Hint(f"your block stopped with {type(error).__name__}: {error}".splitlines()[0]) from None
    if out is None:
        raise NotImplementedError
    _check_calls(calls)
    if len(calls) != 6:
        raise Hint(f"the block should call six ConvNormReLU modules in sequence, but it called {len(calls)}")
    if not isinstance(out, torch.Tensor) or tuple(out.shape) != (2, CHANNELS[2], *SIZE):
        raise Hint(f"the result must be a tensor of shape {(2, CHANNELS[2], *SIZE)}: out_channels at the input's size")
    if len({id(call.module) for call in calls}) != 6:
        raise Hint("one ConvNormReLU is called twice, so two layers have the same weights: build six of them")
    if not torch.allclose(calls[2].input, F.max_pool2d(calls[1].output, 2, ceil_mode=True), atol=1e-5):
        raise Hint("the second encoder convolution should get the max-pooled output of the first: use CeilMaxPool2d")
    if not torch.allclose(calls[3].input, calls[2].output, atol=1e-5):
        raise Hint("the last encoder convolution should get the output of the second as it is")
    _check_sums(calls)
    _check_residual(out, calls[0].output, calls[-1].output)


@dataclass
class _Call:
    """A call of a ConvNormReLU: the module, its input, its output and its dilation."""

    module: nn.Module
    input: torch.Tensor
    output: torch.Tensor
    dilation: int


def _record(calls: list[_Call], module: nn.Module, inputs: torch.Tensor, out: torch.Tensor) -> None:
    calls.append(_Call(module, inputs.clone(), out.clone(), module[0].dilation[0]))


def _check_calls(calls: list[_Call]) -> None:
    """Raise a Hint for the first wrong convolution of the block, in the order of the calls."""
    (a, m, b), full, half = CHANNELS, SIZE, tuple(-(-side // 2) for side in SIZE)
    expected = [
        ("the input convolution", a, full, b, 1),
        ("the first encoder convolution", b, full, m, 1),
        ("the second encoder convolution", m, half, m, 1),
        ("the last encoder convolution", m, half, m, 2),
        ("the first decoder convolution", m, half, m, 1),
        ("the last decoder convolution", m, full, b, 1),
    ]
    for (name, channels, size, out_channels, dilation), call in zip(expected, calls, strict=False):
        in_size = tuple(call.input.shape[-2:])
        if in_size != size:
            down = in_size == tuple(side // 2 for side in SIZE)
            why = "CeilMaxPool2d rounds up" if down else "there is one CeilMaxPool2d and one upsample"
            raise Hint(f"{name} should get feature maps of {size[0]} x {size[1]}, but gets {in_size}: {why}")
        in_channels = call.input.shape[1]
        if in_channels != channels:
            why = "; skip connections are added here, not concatenated" if in_channels == 2 * channels else ""
            raise Hint(
                f"{name} should take {channels} channels, but takes {in_channels}, "
                f"with (in, mid, out) = {CHANNELS}{why}"
            )
        if call.output.shape[1] != out_channels:
            raise Hint(
                f"{name} should output {out_channels} channels, but outputs {call.output.shape[1]}, "
                f"with (in, mid, out) = {CHANNELS}"
            )
        if call.dilation != dilation:
            raise Hint(f"{name} should have dilation {dilation}, but has {call.dilation}")


def _check_sums(calls: list[_Call]) -> None:
    """Raise a Hint if an input of the decoder is not the sum of the upsampled features and the skip connection."""
    for name, call, below, skip in (
        ("the first decoder convolution", calls[4], calls[3].output, calls[2].output),
        ("the last decoder convolution", calls[5], calls[4].output, calls[1].output),
    ):
        size = skip.shape[-2:]
        nearest = F.interpolate(below, size=size, mode="nearest")
        cornered = F.interpolate(below, size=size, mode="bilinear", align_corners=True)
        below = F.interpolate(below, size=size, mode="bilinear", align_corners=False)
        if torch.allclose(call.input, below, atol=1e-5):
            raise Hint(f"{name} gets only the features from below: add the skip connection of its level")
        if torch.allclose(call.input, (below + skip) / 2, atol=1e-5):
            raise Hint(f"{name} should get the sum of two feature maps, not their mean")
        if torch.allclose(call.input, below + skip, atol=1e-5):
            continue
        if torch.allclose(call.input, nearest + skip, atol=1e-5):
            raise Hint(f"the features for {name} are upsampled by nearest neighbor; use `upsample`, which is bilinear")
        if torch.allclose(call.input, cornered + skip, atol=1e-5):
            raise Hint(f"the features for {name} are upsampled with align_corners=True; use `upsample`")
        raise Hint(f"{name} should get the upsampled features from below plus the encoder features of its level")


def _check_residual(out: torch.Tensor, entered: torch.Tensor, inner: torch.Tensor) -> None:
    if torch.allclose(out, inner + entered, atol=1e-5):
        return
    if torch.allclose(out, inner, atol=1e-5):
        raise Hint("the residual connection is missing: add the output of the input convolution")
    if torch.allclose(out, (inner + entered) / 2, atol=1e-5):
        raise Hint("the residual connection is a sum, not a mean")
    raise Hint("the result should be the output of the last convolution plus that of the input convolution")


@exercise("03_u2net/5")
def loss_of_logits(answer):
    """Check that `answer(z, t)` returns the mean binary cross-entropy of logits z and targets t, finite for any z."""
    z, t = np.array([[2.0, -1.0, 0.5], [-3.0, 0.0, 4.0]]), np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    pixel = np.logaddexp(0, z) - t * z
    mistakes = [
        (pixel.sum(), "this is the sum; return the mean"),
        ((np.logaddexp(0, z) - (1 - t) * z).mean(), "foreground and background are swapped: t = 1 is foreground"),
        (np.logaddexp(0, z).mean(), "the targets are ignored: this treats every pixel as background"),
        (-pixel.mean(), "the sign is wrong: the loss is the negative logarithm"),
        (
            (t * np.logaddexp(0, -z)).mean(),
            "only foreground pixels contribute here; background pixels have a loss, too",
        ),
        (((1 / (1 + np.exp(-z)) - t) ** 2).mean(), "this is the squared error; take logarithms"),
    ]
    where = "the loss is the mean of log(1 + exp(z)) - t z over the pixels"
    expect_close(_finite(answer, z, t, "even for small logits"), pixel.mean(), mistakes, where)
    for extreme, target in ((1000.0, 0.0), (-1000.0, 1.0), (1000.0, 1.0), (-1000.0, 0.0)):
        right = max(extreme, 0.0) - target * extreme
        result = _finite(
            answer,
            np.array([[extreme]]),
            np.array([[target]]),
            f"for a logit of {extreme:g}, because exp overflows or the logarithm of 0 is taken",
        )
        if not math.isclose(result, right, abs_tol=1e-4):
            raise Hint(
                f"for a logit of {extreme:g} and target {target:g} the loss is {right:g}, but yours is {result:.4g}: "
                "clipping limits the loss of confident mistakes and makes their gradient 0"
            )


def _finite(answer, z: np.ndarray, t: np.ndarray, where: str) -> float:
    """Return the loss `answer(z, t)`. Raise a Hint if it is NaN or infinite."""
    try:
        with np.errstate(all="ignore"):
            result = number(answer(z.copy(), t.copy()))
    except (OverflowError, ZeroDivisionError):
        result = math.nan
    if not math.isfinite(result):
        raise Hint(f"the loss is {result} {where}; move max(z, 0) out of the logarithm, or use np.logaddexp")
    return result


def _convolution(in_channels: int, out_channels: int) -> int:
    """Return the parameter count of a ConvNormReLU: kernel and bias, scale and shift."""
    return 9 * in_channels * out_channels + 3 * out_channels
