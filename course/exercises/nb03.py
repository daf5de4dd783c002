"""The exercises of notebook 03, U2-Net."""

import math

import numpy as np
import torch
from torch import nn

from seglib.models.u2net import ConvNormReLU

from . import Hint, exercise
from .answers import attempt, expect_close, number

SIZE = (33, 47)  # of the image shown to a block: odd, so that the rounding shows
CHANNELS = (3, 4, 5)  # in, mid and out of that block, all different


@exercise("03_u2net/1")
def dilated_field(answer):
    """`answer(dilations)`: the side of the receptive field of a chain of 3x3 convolutions with these dilations."""
    for dilations in ([1, 1, 1], [4], [1, 2, 5], [1, 1, 2, 4, 8, 4, 2, 1]):
        right = 1 + 2 * sum(dilations)
        stepped = 1 + 2 * sum(math.prod(dilations[: i + 1]) for i in range(len(dilations)))
        mistakes = [
            (
                1 + 2 * len(dilations),
                "the dilations are left out: with dilation d a kernel reaches d pixels to each side",
            ),
            (1 + sum(dilations), "a kernel of dilation d reaches d pixels to the left and d to the right"),
            (right - 1, "a single pixel has a receptive field of 1: begin with 1"),
            (1 + sum(2 * d + 1 for d in dilations), "such a kernel spans 2d + 1 pixels but adds only 2d to the field"),
            (sum(2 * d + 1 for d in dilations), "such a kernel spans 2d + 1 pixels but adds only 2d to the field"),
            (1 + 2 * max(dilations), "this is the widest layer alone; the reaches of all layers add up"),
            (1 + 2 * math.prod(dilations), "reaches add up; they do not multiply"),
            (stepped, "dilation is no stride: it leaves the step between neighbours at one pixel for the next layer"),
        ]
        expect_close(
            number(answer(list(dilations))), right, mistakes, "begin with 1 and add 2 * dilation for each layer"
        )


@exercise("03_u2net/2")
def sides_within(answer):
    """`answer(side, height)`: the sides of the maps on the `height` levels of an RSU, from the input's down."""
    for side, height in ((64, 7), (37, 7), (5, 6), (20, 4), (21, 3)):
        result = np.asarray(answer(side, height))
        case = f"side {side} and height {height}"
        if result.ndim != 1 or result.dtype.kind not in "iuf":
            raise Hint("give a list of whole numbers, one for each level")
        up = [-(-side // 2**level) for level in range(height + 1)]
        down = [side // 2**level for level in range(height + 1)]
        if len(result) == height - 1 and np.array_equal(result, up[: height - 1]):
            raise Hint(f"for {case} the last level is missing: dilated, it is as large as the one before it")
        if len(result) != height:
            raise Hint(f"for {case} there should be {height} numbers, one for each level, but there are {len(result)}")
        right = [*up[: height - 1], up[height - 2]]
        mistakes = [
            (up[:height], "there are only height - 2 downsampling steps: the last level is as large as the one before"),
            (up[1:], "the first level is not downsampled yet: it has the side of the input"),
            ([*down[: height - 1], down[height - 2]], "these are rounded down; the block rounds odd sizes up"),
            (down[:height], "these are rounded down, and the last level is downsampled once too often"),
            ([max(1, s) for s in (*down[: height - 1], down[height - 2])], "rounded down; odd sizes are rounded up"),
        ]
        mistakes = [(np.array(wrong), hint) for wrong, hint in mistakes]
        expect_close(result, np.array(right), mistakes, f"for {case} it is {right}")


@exercise("03_u2net/3")
def weights_of_an_rsu(answer):
    """`answer(in_channels, mid_channels, out_channels, height)`: the number of parameters of that RSU."""
    for a, m, b, height in ((3, 16, 64, 7), (64, 16, 64, 4), (256, 128, 512, 4), (8, 2, 4, 3)):

        def total(layer, a=a, m=m, b=b, height=height, merged=2):
            middle = layer(m, m) * (height - 1) + layer(merged * m, m) * (height - 2)
            return layer(a, b) + layer(b, m) + middle + layer(merged * m, b)

        right = total(_convolution)
        mistakes = [
            (total(lambda i, o: 9 * i * o + 2 * o), "these convolutions have a bias each, as the authors' have"),
            (total(lambda i, o: 9 * i * o + o), "the normalisations are missing: a scale and a shift for each channel"),
            (total(lambda i, o: 9 * i * o), "biases and normalisations are missing: three more an output channel"),
            (total(lambda i, o: 9 * i * o + 5 * o), "running means and variances are measured, not learned"),
            (total(lambda i, o: i * o + 3 * o), "a 3x3 kernel has 9 numbers for each pair of channels"),
            (total(_convolution, merged=1), "each convolution on the way up takes two maps: 2 * mid channels"),
            (right - _convolution(a, b), "the convolution that enters the block is missing"),
            (right - _convolution(m, m), "a level is missing: there are `height` convolutions on the way down"),
            (right - _convolution(2 * m, b), "the last convolution of the way up is missing, back to out_channels"),
            (
                right - _convolution(2 * m, b) + _convolution(2 * m, m),
                "the last convolution of the way up gives out_channels, or nothing could be added to it",
            ),
            (right - _convolution(b, m) + _convolution(m, m), "the first one on the way down takes out_channels"),
            (right + _convolution(2 * m, m), "one too many on the way up: it has height - 1 convolutions"),
        ]
        where = f"RSU({a}, {m}, {b}, height={height}) has {right:,}: sum 9 * in * out + 3 * out over enter, down and up"
        expect_close(number(answer(a, m, b, height)), right, mistakes, where)


@exercise("03_u2net/4")
def loss_of_logits(answer):
    """`answer(z, t)`: mean binary cross-entropy of logits z with truths t (0 or 1), finite for any z."""
    z, t = np.array([[2.0, -1.0, 0.5], [-3.0, 0.0, 4.0]]), np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    pixel = np.logaddexp(0, z) - t * z
    mistakes = [
        (pixel.sum(), "this is the sum; give the mean"),
        ((np.logaddexp(0, z) - (1 - t) * z).mean(), "background and foreground are exchanged: t = 1 is the foreground"),
        (np.logaddexp(0, z).mean(), "the ground truth is left out: this takes every pixel for background"),
        (-pixel.mean(), "the sign is turned: a loss is the negative logarithm"),
        ((t * np.logaddexp(0, -z)).mean(), "only the foreground counts here; the background has a loss too"),
        (((1 / (1 + np.exp(-z)) - t) ** 2).mean(), "this is the squared error; take logarithms"),
    ]
    where = "for each pixel it is log(1 + exp(z)) - t z, and then the mean"
    expect_close(_finite(answer, z, t, "already for small logits"), pixel.mean(), mistakes, where)
    for extreme, truth in ((1000.0, 0.0), (-1000.0, 1.0), (1000.0, 1.0), (-1000.0, 0.0)):
        right = max(extreme, 0.0) - truth * extreme
        result = _finite(
            answer,
            np.array([[extreme]]),
            np.array([[truth]]),
            f"for a logit of {extreme:g}, as exp overflows or a logarithm meets 0",
        )
        if not math.isclose(result, right, abs_tol=1e-4):
            raise Hint(
                f"a logit of {extreme:g} where the target is {truth:g} costs {right:g}, but yours gives {result:.4g}: "
                "clipping hides how wrong a sure mistake is, and its gradient is 0"
            )


def _finite(answer, z: np.ndarray, t: np.ndarray, where: str) -> float:
    """The number that `answer` gives; a Hint if it is NaN or infinite."""
    try:
        with np.errstate(all="ignore"):
            result = number(answer(z.copy(), t.copy()))
    except (OverflowError, ZeroDivisionError):
        result = math.nan
    if not math.isfinite(result):
        raise Hint(f"the loss is {result} {where}; take max(z, 0) out of the logarithm, or use np.logaddexp")
    return result


@exercise("03_u2net/5")
def small_rsu(answer):
    """`answer(in_channels, mid_channels, out_channels)`: an RSU of height 3, built from ConvNormReLU."""
    block = attempt(f"SmallRSU{CHANNELS}", lambda: answer(*CHANNELS))
    if not isinstance(block, nn.Module):
        raise Hint("SmallRSU must be a class derived from nn.Module (and do not forget to call super().__init__())")
    calls: list[tuple] = []
    outputs: list[torch.Tensor] = []
    for module in block.modules():
        if isinstance(module, ConvNormReLU):
            module.register_forward_hook(lambda module, inputs, out: _note(calls, outputs, module, inputs[0], out))
    x = torch.randn(2, CHANNELS[0], *SIZE, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            out = attempt(f"your block on an image of shape {tuple(x.shape)}", lambda: block.train()(x))
    except Hint:
        _check_calls(calls)  # the likely cause, if it shows already
        raise
    if out is None:
        raise NotImplementedError
    _check_calls(calls)
    if len(calls) != 6:
        raise Hint(f"six ConvNormReLU belong to it (enter, three down, two up), but {len(calls)} were at work")
    if not isinstance(out, torch.Tensor) or tuple(out.shape) != (2, CHANNELS[2], *SIZE):
        raise Hint(f"the result must be a tensor of shape {(2, CHANNELS[2], *SIZE)}: out_channels at the input's size")
    _check_residual(out, outputs)


def _note(calls: list, outputs: list, module: ConvNormReLU, inputs: torch.Tensor, out: torch.Tensor) -> None:
    calls.append((tuple(inputs.shape[1:]), out.shape[1], module[0].dilation[0]))
    outputs.append(out.clone())


def _check_calls(calls: list[tuple]) -> None:
    """Hint at the first of the block's convolutions, in the order of their work, that is not what it should be."""
    (a, m, b), full, half = CHANNELS, SIZE, tuple(-(-side // 2) for side in SIZE)
    expected = [
        ("the one that enters", a, full, b, 1),
        ("the first on the way down", b, full, m, 1),
        ("the second on the way down", m, half, m, 1),
        ("the last on the way down", m, half, m, 2),
        ("the first on the way up", 2 * m, half, m, 1),
        ("the last on the way up", 2 * m, full, b, 1),
    ]
    for (name, channels, size, outs, dilation), ((inputs, *found_size), found_outs, found_dilation) in zip(
        expected, calls, strict=False
    ):
        found_size = tuple(found_size)
        if found_size != size:
            down = found_size == tuple(side // 2 for side in SIZE)
            why = "CeilMaxPool2d rounds up" if down else "there is one CeilMaxPool2d and one upsample"
            raise Hint(f"{name} should get feature maps of {size[0]} x {size[1]}, but gets {found_size}: {why}")
        if inputs != channels:
            raise Hint(f"{name} should take {channels} channels, but takes {inputs}, with (in, mid, out) = {CHANNELS}")
        if found_outs != outs:
            raise Hint(f"{name} should give {outs} channels, but gives {found_outs}, with (in, mid, out) = {CHANNELS}")
        if found_dilation != dilation:
            raise Hint(f"{name} should have dilation {dilation}, but has {found_dilation}")


def _check_residual(out: torch.Tensor, outputs: list[torch.Tensor]) -> None:
    entered, inner = outputs[0], outputs[-1]
    if torch.allclose(out, inner + entered, atol=1e-5):
        return
    if torch.allclose(out, inner, atol=1e-5):
        raise Hint("the residual is missing: add what the entering convolution gave")
    if torch.allclose(out, (inner + entered) / 2, atol=1e-5):
        raise Hint("the residual is a sum, not a mean")
    raise Hint("the result should be what the last convolution gave plus what the entering one gave, nothing else")


def _convolution(in_channels: int, out_channels: int) -> int:
    """Parameters of a ConvNormReLU: kernel and bias, scale and shift."""
    return 9 * in_channels * out_channels + 3 * out_channels
