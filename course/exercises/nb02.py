"""Checkers for notebook 02, U-Net."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from . import Hint, exercise
from .answers import array, attempt, expect_close, number


@exercise("02_unet/1")
def weights_of_a_double_conv(answer):
    """Check that `answer(in_channels, out_channels)` returns the number of parameters of a DoubleConv."""
    for a, b in ((3, 64), (64, 128), (512, 32)):
        right = 9 * a * b + 9 * b * b + 4 * b
        mistakes = [
            (9 * a * b + 9 * b * b, "the two batch normalizations are missing: a scale and a shift for each channel"),
            (right + 2 * b, "the convolutions have no bias here: batch normalization would cancel it"),
            (right - 2 * b, "each of the two batch normalizations has a scale and a shift for each channel"),
            (
                right + 4 * b,
                "the running mean and variance are not learned: they are buffers, not parameters",
            ),
            (9 * a * b + 2 * b, "this is one convolution with its batch normalization; the block has two"),
            (
                2 * (9 * a * b + 2 * b),
                "the second convolution gets the output of the first: it has out_channels inputs",
            ),
            (a * b + b * b + 4 * b, "a 3x3 convolution has 9 weights for each pair of an input and an output channel"),
            (3 * a * b + 3 * b * b + 4 * b, "a 3x3 kernel has 9 weights, not 3"),
        ]
        where = f"DoubleConv({a}, {b}) has {right:,}: 9 * in * out per convolution, 2 * out per normalization"
        expect_close(number(answer(a, b)), right, mistakes, where)


@exercise("02_unet/2")
def transposed_convolution(answer):
    """Check that `answer(x, kernel)` returns the transposed convolution with stride 2.

    x has shape (H, W), the kernel (2, 2), and the result (2H, 2W).
    """
    for x in (np.array([[3.0, 1.0], [0.0, 2.0]]), np.array([[1.0, -2.0, 4.0], [0.5, 3.0, 0.0]])):
        kernel = np.array([[1.0, 2.0], [7.0, -1.0]])
        result = array(answer(x.copy(), kernel.copy()), float)
        rows, columns = x.shape
        if result.shape == (rows + 1, columns + 1):
            raise Hint("your copies of the kernel overlap: with stride 2, the next copy starts two pixels later")
        if result.shape != (2 * rows, 2 * columns):
            raise Hint(
                f"x of shape {x.shape} must become {(2 * rows, 2 * columns)}, twice as high and twice as wide; "
                f"yours has shape {result.shape}"
            )
        mistakes = [
            (np.kron(x, np.ones((2, 2))), "every pixel was repeated, but not multiplied by the kernel"),
            (np.kron(x, kernel[::-1, ::-1]), "the kernel is rotated by 180 degrees; use it as it is"),
            (np.kron(x, kernel.T), "the kernel is transposed; a row of the kernel becomes a row of the output"),
            (np.kron(kernel, x), "you multiplied x by each weight of the kernel; place the kernel at each pixel of x"),
        ]
        expect_close(
            result,
            np.kron(x, kernel),
            mistakes,
            "pixel (i, j) times the kernel goes to rows 2i and 2i+1 and columns 2j and 2j+1 of the output",
        )


@exercise("02_unet/3")
def attention_gate(answer):
    """Check that `answer(skip_channels, gate_channels, mid_channels)` returns an attention gate.

    The module multiplies the features of the skip connection by one factor between 0 and 1 per position.
    """
    gate_module = attempt(
        "AttentionGate(skip_channels=4, gate_channels=6, mid_channels=3)",
        lambda: answer(skip_channels=4, gate_channels=6, mid_channels=3),
    )
    if not isinstance(gate_module, nn.Module):
        raise Hint("AttentionGate must be a class derived from nn.Module (and do not forget super().__init__())")
    generator = torch.Generator().manual_seed(0)
    skip, gate = torch.randn(2, 4, 5, 7, generator=generator), torch.randn(2, 6, 5, 7, generator=generator)
    gate_module.eval()  # in training mode, batch normalization would combine positions
    output = _gated(gate_module, skip, gate)
    if output is None:
        raise NotImplementedError
    if not isinstance(output, torch.Tensor) or output.shape != skip.shape:
        raise Hint(f"forward must return a tensor with the shape of the skip, {tuple(skip.shape)}")
    _expect_one_map(output / skip)
    _expect_both_inputs(gate_module, skip, gate, output)
    _expect_gate_parameters(gate_module)
    if not any(isinstance(module, nn.BatchNorm2d) for module in gate_module.modules()):
        _expect_one_relu(gate_module, skip, gate, output)


def _gated(module: nn.Module, skip: torch.Tensor, gate: torch.Tensor):
    with torch.no_grad():
        inputs = skip.clone(), gate.clone()
        result = attempt(f"forward with {tuple(skip.shape)} and {tuple(gate.shape)}", lambda: module(*inputs))
    if not (torch.equal(inputs[0], skip) and torch.equal(inputs[1], gate)):
        raise Hint(
            "forward changes its input in place (as in skip *= ...), which training does not allow: use skip * ..."
        )
    return result


def _expect_one_map(factor: torch.Tensor) -> None:
    """Raise a Hint unless the factor is between 0 and 1, varies by position, and is the same in all channels."""
    if not torch.allclose(factor, factor[:, :1].expand_as(factor), atol=1e-4):
        raise Hint("the channels are scaled differently: the last convolution has one output channel, not several")
    if (factor > 1).all() and (factor < 2).all():
        raise Hint("the factor is between 1 and 2: return skip * factor alone, and do not add the skip to it")
    if (factor <= 0).any() or (factor >= 1).any():
        raise Hint("the factor is not between 0 and 1: apply a sigmoid after the last convolution")
    if torch.allclose(factor, factor[:, :1, :1, :1].expand_as(factor), atol=1e-6):
        raise Hint("the factor is the same everywhere: compute it at each position, from skip and gate")
    if torch.allclose(factor.sum(dim=(2, 3)), torch.ones(()), atol=1e-4):
        raise Hint("the factors sum to 1, as after a softmax: use a sigmoid, which treats each position separately")


def _expect_both_inputs(module: nn.Module, skip: torch.Tensor, gate: torch.Tensor, output: torch.Tensor) -> None:
    """Raise a Hint unless the factor depends on both skip and gate features, and only on those at the same position."""
    if torch.allclose(_gated(module, skip, gate + 1), output, atol=1e-6):
        raise Hint("the gate has no effect: add its 1x1 convolution to that of the skip")
    factor = output / skip
    if torch.allclose(_gated(module, 2 * skip, gate) / (2 * skip), factor, atol=1e-5):
        raise Hint("the factor does not depend on the skip: add its 1x1 convolution to that of the gate")
    changed = gate.clone()
    changed[..., 0, 0] += 1
    difference = (_gated(module, skip, changed) - output).abs()
    if (difference.amax(dim=1)[:, 1:, 1:] > 1e-5).any():
        raise Hint("a change of the gate at one position changes the factor at others: use only 1x1 convolutions")


def _expect_gate_parameters(module: nn.Module) -> None:
    weights = [tuple(parameter.shape) for parameter in module.parameters() if parameter.ndim == 4]
    if sorted(weights) != [(1, 3, 1, 1), (3, 4, 1, 1), (3, 6, 1, 1)]:
        raise Hint(
            "three 1x1 convolutions are needed, skip_channels -> mid_channels, gate_channels -> mid_channels and "
            f"mid_channels -> 1; yours have weights of shapes {sorted(weights)}"
        )


def _expect_one_relu(module: nn.Module, skip: torch.Tensor, gate: torch.Tensor, output: torch.Tensor) -> None:
    """Raise a Hint unless one ReLU follows the sum of the two convolutions."""
    weights = {tuple(p.shape[:2]): p.detach() for p in module.parameters() if p.ndim == 4}
    before, after = (sum(p.detach().view(1, -1, 1, 1) for p in module.parameters() if p.shape == (n,)) for n in (3, 1))
    total = F.conv2d(skip, weights[3, 4]) + F.conv2d(gate, weights[3, 6]) + before
    expected = skip * torch.sigmoid(F.conv2d(total.relu(), weights[1, 3]) + after)
    if not torch.allclose(output, expected, atol=1e-5):
        raise Hint("apply one ReLU to the sum of the two convolutions, before the last convolution")


@exercise("02_unet/4")
def receptive_field(answer):
    """Check that `answer(layers)` returns the receptive field of layers [(kernel, stride), ...], in pixels."""
    block = [(3, 1), (3, 1)]
    encoder = [*block, *([(2, 2), *block] * 4)]
    for layers in (block, [(3, 2), (3, 1)], [*block, (2, 2), *block], encoder):
        kernels, strides = zip(*layers, strict=True)
        right = _field(layers)
        mistakes = [
            (math.prod(strides), "this is the step between two outputs; the receptive field is larger"),
            (1 + sum(k - 1 for k in kernels), "the strides are ignored: after a stride of 2, a step is 2 pixels"),
            (right - 1, "a single pixel has a receptive field of 1: start with 1"),
            (right + 1, "one too many: a kernel of size k adds k - 1 steps, and the field starts at 1"),
            (
                1 + sum((k - 1) * math.prod(strides[: i + 1]) for i, k in enumerate(kernels)),
                "a layer's stride is applied too early: it only affects later layers",
            ),
            (1 + sum(k * math.prod(strides[:i]) for i, k in enumerate(kernels)), "a kernel of size k adds k - 1 steps"),
            (1 + sum((k - 1) * s for k, s in layers), "multiply the strides of all previous layers, not just one"),
        ]
        where = "add (kernel - 1) * step for each layer, then multiply step by its stride"
        expect_close(number(answer(list(layers))), right, mistakes, where)


@exercise("02_unet/5")
def dice_with_ignored(answer):
    """Check that `answer(probability, target)` returns 1 - Dice of the foreground.

    Both arguments have shape (H, W). Pixels with target 255 are ignored; without any foreground the result is 0.
    """
    probability = np.array([[0.9, 0.7, 0.2, 0.6], [0.8, 0.4, 0.1, 0.3]])
    target = np.array([[1, 1, 0, 255], [1, 0, 0, 255]])
    kept = target != 255
    p, t = probability[kept], target[kept].astype(float)
    everywhere = np.where(kept, target, 0)
    right = _dice_loss(p, t)
    mistakes = [
        (1 - right, "this is the Dice coefficient; the loss is 1 minus Dice"),
        (
            _dice_loss(probability, target),
            "the label 255 was used as a value; select the pixels with target != 255 first",
        ),
        (_dice_loss(probability, everywhere), "the ignored pixels count as background: leave them out of both sums"),
        (1 - (p * t).sum() / (p.sum() + t.sum()), "the factor 2 before the overlap is missing"),
        (1 - (p * t).sum() / (p + t - p * t).sum(), "this is a soft IoU; Dice divides by the sum of both areas"),
        (1 - 2 * (p * t).sum() / ((p**2).sum() + (t**2).sum()), "do not square the terms of the denominator"),
        ((right + _dice_loss(1 - p, 1 - t)) / 2, "this is the mean over both classes; use only the foreground"),
        (_dice_loss((p > 0.5).astype(float), t), "do not round the probabilities: rounding has no useful gradient"),
    ]
    result = number(answer(probability.copy(), target.copy()))
    expect_close(result, right, mistakes, "1 - 2 sum(p t) / (sum(p) + sum(t)) over the pixels with target != 255")
    for empty in (np.zeros((2, 4), int), np.full((2, 4), 255)):
        try:
            with np.errstate(all="ignore"):
                result = number(answer(probability.copy(), empty))
        except ZeroDivisionError:
            result = math.nan
        if not math.isfinite(result):
            raise Hint("if there is no foreground pixel, this divides by 0; return 0 in that case")
        if abs(result) > 1e-6:
            raise Hint(f"if the target has no foreground pixel, the loss should be 0, but it is {result:.3g}")


def _dice_loss(p: np.ndarray, t: np.ndarray) -> float:
    return 1 - 2 * float((p * t).sum()) / float(p.sum() + t.sum())


def _field(layers: list[tuple[int, int]]) -> int:
    field, step = 1, 1
    for kernel, stride in layers:
        field, step = field + (kernel - 1) * step, step * stride
    return field
