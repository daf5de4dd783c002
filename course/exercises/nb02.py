"""The exercises of notebook 02, U-Net."""

import math

import numpy as np
import torch
from torch import nn

from seglib.models.unet import Up

from . import Hint, exercise
from .answers import attempt, expect_close, number


@exercise("02_unet/1")
def transposed_convolution(answer):
    """`answer(x, kernel)`: the transposed convolution with stride 2 of x (H, W) with a kernel (2, 2), as (2H, 2W)."""
    for x in (np.array([[3.0, 1.0], [0.0, 2.0]]), np.array([[1.0, -2.0, 4.0], [0.5, 3.0, 0.0]])):
        kernel = np.array([[1.0, 2.0], [7.0, -1.0]])
        result = np.asarray(answer(x.copy(), kernel.copy()), float)
        rows, columns = x.shape
        if result.shape == (rows + 1, columns + 1):
            raise Hint("your copies of the kernel overlap: with stride 2 the next copy begins two pixels further on")
        if result.shape != (2 * rows, 2 * columns):
            raise Hint(
                f"x of shape {x.shape} must become {(2 * rows, 2 * columns)}, twice as high and twice as wide; "
                f"yours has shape {result.shape}"
            )
        mistakes = [
            (np.kron(x, np.ones((2, 2))), "every pixel was repeated, but not multiplied with the kernel"),
            (np.kron(x, kernel[::-1, ::-1]), "the kernel is rotated by 180 degrees; use it as it is"),
            (np.kron(x, kernel.T), "the kernel is transposed; a row of the kernel becomes a row of the output"),
            (np.kron(kernel, x), "you placed x at each number of the kernel; place the kernel at each pixel of x"),
        ]
        expect_close(
            result,
            np.kron(x, kernel),
            mistakes,
            "pixel (i, j) times the kernel belongs to rows 2i and 2i+1 and columns 2j and 2j+1",
        )


@exercise("02_unet/2")
def dice_with_ignored(answer):
    """`answer(probability, truth)`: 1 - Dice of the foreground, (H, W) each; 255 ignored, no foreground gives 0."""
    probability = np.array([[0.9, 0.7, 0.2, 0.6], [0.8, 0.4, 0.1, 0.3]])
    truth = np.array([[1, 1, 0, 255], [1, 0, 0, 255]])
    kept = truth != 255
    p, t = probability[kept], truth[kept].astype(float)
    everywhere = np.where(kept, truth, 0)
    right = _dice_loss(p, t)
    mistakes = [
        (1 - right, "this is the Dice coefficient; the loss is what it lacks to 1"),
        (_dice_loss(probability, truth), "the label 255 was used as a number; pick the pixels with truth != 255 first"),
        (_dice_loss(probability, everywhere), "the ignored pixels count as background: leave them out of both sums"),
        (1 - (p * t).sum() / (p.sum() + t.sum()), "the factor 2 before the overlap is missing"),
        (1 - (p * t).sum() / (p + t - p * t).sum(), "this is a soft IoU; Dice divides by the sum of both areas"),
        (1 - 2 * (p * t).sum() / ((p**2).sum() + (t**2).sum()), "leave out the squares below the line"),
        ((right + _dice_loss(1 - p, 1 - t)) / 2, "this is the mean over both classes; take the foreground alone"),
        (_dice_loss((p > 0.5).astype(float), t), "do not round the probabilities: a rounded one has no gradient"),
    ]
    result = number(answer(probability.copy(), truth.copy()))
    expect_close(
        result, right, mistakes, "2 sum(p t) / (sum(p) + sum(t)) over the pixels with truth != 255, taken from 1"
    )
    for empty in (np.zeros((2, 4), int), np.full((2, 4), 255)):
        try:
            with np.errstate(all="ignore"):
                result = number(answer(probability.copy(), empty))
        except ZeroDivisionError:
            result = math.nan
        if not math.isfinite(result):
            raise Hint("without any foreground pixel this divides 0 by 0; return 0 there, as nothing can be learned")
        if abs(result) > 1e-6:
            raise Hint(f"without any true foreground pixel the loss should be 0, but it is {result:.3g}")


@exercise("02_unet/3")
def weights_of_a_double_conv(answer):
    """`answer(in_channels, out_channels)`: the number of parameters of a DoubleConv."""
    for a, b in ((3, 64), (64, 128), (512, 32)):
        right = 9 * a * b + 9 * b * b + 4 * b
        mistakes = [
            (9 * a * b + 9 * b * b, "the two batch normalisations are missing: a scale and a shift for each channel"),
            (right + 2 * b, "the convolutions have no bias here: batch normalisation would take it away again"),
            (right - 2 * b, "each of the two batch normalisations has a scale and a shift for each channel"),
            (right + 4 * b, "the running mean and variance are measured, not learned: they are buffers, no parameters"),
            (9 * a * b + 2 * b, "this is one convolution with its batch normalisation; the block has two"),
            (2 * (9 * a * b + 2 * b), "the second convolution takes what the first gives: it has out_channels inputs"),
            (a * b + b * b + 4 * b, "a 3x3 convolution has 9 numbers for each pair of an input and an output channel"),
            (3 * a * b + 3 * b * b + 4 * b, "a 3x3 kernel has 9 numbers, not 3"),
        ]
        where = f"DoubleConv({a}, {b}) has {right:,}: 9 * in * out for a convolution, 2 * out for its normalisation"
        expect_close(number(answer(a, b)), right, mistakes, where)


@exercise("02_unet/4")
def receptive_field(answer):
    """`answer(layers)`: the side of the receptive field after layers [(kernel, stride), ...], in pixels."""
    block = [(3, 1), (3, 1)]
    encoder = [*block, *([(2, 2), *block] * 4)]
    for layers in (block, [(3, 2), (3, 1)], [*block, (2, 2), *block], encoder):
        kernels, strides = zip(*layers, strict=True)
        right = _field(layers)
        mistakes = [
            (math.prod(strides), "this is the step between two outputs; the field is wider"),
            (1 + sum(k - 1 for k in kernels), "strides are left out: after a stride of 2, a step is 2 pixels"),
            (right - 1, "a single pixel has a receptive field of 1: begin with 1"),
            (right + 1, "one too many: a kernel of size k adds k - 1 steps, and the field begins with 1"),
            (
                1 + sum((k - 1) * math.prod(strides[: i + 1]) for i, k in enumerate(kernels)),
                "a layer's own stride comes too early: it counts only for the layers after it",
            ),
            (1 + sum(k * math.prod(strides[:i]) for i, k in enumerate(kernels)), "a kernel of size k adds k - 1 steps"),
            (1 + sum((k - 1) * s for k, s in layers), "multiply the strides of all the layers before, not one alone"),
        ]
        where = "add (kernel - 1) * step for each layer, then multiply step by its stride"
        expect_close(number(answer(list(layers))), right, mistakes, where)


@exercise("02_unet/5")
def small_unet(answer):
    """`answer(num_classes, width)`: a U-Net of two levels, built from DoubleConv, Down, Up and a 1x1 convolution."""
    model = attempt("SmallUNet(num_classes=3, width=4)", lambda: answer(num_classes=3, width=4))
    if not isinstance(model, nn.Module):
        raise Hint("SmallUNet must be a class derived from nn.Module (and do not forget to call super().__init__())")
    skips: list[tuple[int, ...]] = []
    for module in model.modules():
        if isinstance(module, Up):
            module.register_forward_pre_hook(lambda module, inputs: skips.append(tuple(inputs[1].shape)))
    model.train()  # normalised by the batch, untrained features are large enough to separate logits from probabilities
    for height, width in ((32, 48), (33, 47)):
        skips.clear()
        out = _forward(model, height, width, skips)
        if out is None:
            raise NotImplementedError
        if not isinstance(out, torch.Tensor) or out.ndim != 4:
            raise Hint("forward must return the logits, one tensor (N, num_classes, H, W)")
        _check_output(out, height, width)
        if len(skips) != 2:
            raise Hint(f"two levels need two of the package's Up blocks, but {len(skips)} were at work")
        _check_skips(skips, height, width)


def _forward(model: nn.Module, height: int, width: int, skips: list):
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            return attempt(f"your model on an image of shape {tuple(image.shape)}", lambda: model(image))
    except Hint:
        _check_skips(skips, height, width)  # the likely cause, if one was passed already
        raise


def _check_output(out: torch.Tensor, height: int, width: int) -> None:
    if tuple(out.shape[-2:]) == (height // 2, width // 2):
        raise Hint(f"the logits have half the image's size, {tuple(out.shape[-2:])}: the second Up is missing")
    if out.shape[1] != 3:
        raise Hint(f"there are {out.shape[1]} channels for 3 classes: end with nn.Conv2d(width, num_classes, 1)")
    if tuple(out.shape) != (1, 3, height, width):
        raise Hint(f"an image of {height} x {width} must give logits {(1, 3, height, width)}, not {tuple(out.shape)}")
    if (out >= 0).all() and (out == 0).any():
        raise Hint("no output is negative and some are exactly 0: drop the ReLU after the last convolution")
    if ((out >= 0) & (out <= 1)).all():
        raise Hint("all outputs are between 0 and 1: leave softmax or sigmoid to the loss and give logits")


def _check_skips(skips: list[tuple[int, ...]], height: int, width: int) -> None:
    """Hint if a skip is not what the encoder has at that size; as many as there are, the coarser one first."""
    expected = [(4 * 2, height // 2, width // 2), (4, height, width)]
    for skip, right, other in zip(skips, expected, expected[::-1], strict=False):
        if skip[1:] == other:
            raise Hint("the skips come in the wrong order: the first Up needs the coarser one, at half the size")
        if skip[1:] != right:
            raise Hint(f"a skip is {skip[1:]} (channels, height, width), but with width=4 it should be {right}")


def _dice_loss(p: np.ndarray, t: np.ndarray) -> float:
    return 1 - 2 * float((p * t).sum()) / float(p.sum() + t.sum())


def _field(layers: list[tuple[int, int]]) -> int:
    field, step = 1, 1
    for kernel, stride in layers:
        field, step = field + (kernel - 1) * step, step * stride
    return field
