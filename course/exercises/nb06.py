"""Checkers for notebook 06, dilated ResNet."""

import math

import numpy as np
import torch
from torch import nn

from seglib.metrics import iou, mean_iou, pixel_accuracy

from . import Hint, exercise
from .answers import array, attempt, expect_close, number


@exercise("06_dilated_resnet/1")
def dilated_convolution(answer):
    """Check that `answer(x, kernel, rate)` returns the 1-D dilated convolution of x, zero-padded to the same length."""
    x = np.array([1.0, 3.0, 0.0, 2.0, 5.0, 4.0, 1.0, -2.0, 6.0])
    for kernel in (np.array([-1.0, 2.0, 0.5]), np.array([1.0, -3.0, 2.0, 0.0, 4.0])):
        for rate in (1, 2, 3):
            result = _array(answer(x.copy(), kernel.copy(), rate))
            reach = len(kernel) // 2 * rate
            if result.shape == (len(x) - 2 * reach,) and reach:
                raise Hint(f"the result is too short: put {reach} zeros, len(kernel) // 2 * rate, before and after x")
            if result.shape != x.shape:
                raise Hint(f"the result must have the length of x, {len(x)}; yours has shape {result.shape}")
            mistakes = [
                (
                    _dilated(x, kernel[::-1], rate),
                    "the kernel is reversed; in PyTorch its first weight multiplies the value on the left",
                ),
                (_dilated(x, kernel, 1), "the rate is missing: weight a multiplies x[i + rate * a]"),
                (
                    _dilated(x, kernel, rate + 1),
                    "the gaps are too wide: with rate 2, one value is skipped between two weights",
                ),
                (
                    _dilated(x, kernel, rate, "wrap"),
                    "this is circular padding; pad with zeros",
                ),
                (_dilated(x, kernel, rate, "edge"), "the ends are padded with the last value; pad with zeros"),
                (_dilated(x, kernel, rate, "reflect"), "this is reflection padding; pad with zeros"),
            ]
            where = "y[i] is the sum over the weights a of kernel[a] * x[i + rate * (a - len(kernel) // 2)], 0 outside"
            expect_close(result, _dilated(x, kernel, rate), mistakes, where)


@exercise("06_dilated_resnet/2")
def dilation_scheme(answer):
    """Check that `answer(strides, stem_stride, output_stride)` returns a triple for each stage.

    The triple contains the stride, the dilation of the first block, and the dilation of the other blocks.
    """
    cases = [
        ((1, 2, 2, 2), 4, 8),
        ((1, 2, 2, 2), 4, 16),
        ((1, 2, 2, 2), 4, 32),
        ((1, 2, 2, 2), 4, 4),
        ((2, 1, 4, 2), 2, 8),
        ((1, 2, 2), 2, 4),
    ]
    for strides, stem_stride, output_stride in cases:
        result = _array(answer(list(strides), stem_stride, output_stride))
        if result.shape != (len(strides), 3):
            raise Hint(
                f"for {len(strides)} stages the answer has {len(strides)} triples (stride, first rate, other rate); "
                f"yours has shape {result.shape}"
            )
        right = _scheme(strides, stem_stride, output_stride)
        mistakes = [
            (
                [(s, after, after) for s, _, after in right],
                "the first block of a stage keeps the rate of the previous stage, whose output it reads",
            ),
            (
                [(s, before, before) for s, before, _ in right],
                "in a stage whose stride was removed, the other blocks need a larger dilation than the first",
            ),
            ([(s, 1, 1) for s, _, _ in right], "strides were removed, but no dilation replaces them"),
            (
                [(s, 1, after) for s, _, after in right],
                "the first block has the rate of the previous stage, which is 1 only until a stride is removed",
            ),
            (
                [(s, *rates) for s, (_, *rates) in zip(strides, right, strict=True)],
                "the rates are right, but the strides that they replace must become 1",
            ),
            (
                _scheme(strides, 1, output_stride),
                "the stem has already downsampled the image: start with its stride",
            ),
            (
                _scheme(strides, stem_stride, output_stride // 2),
                "one stride too many was removed: the step may be equal to output_stride",
            ),
            (_scheme(strides, stem_stride, output_stride * 2), "the last step must not be larger than output_stride"),
        ]
        where = (
            f"scheme({list(strides)}, {stem_stride}, {output_stride}) should be {right}: if step * stride is at "
            "most output_stride, keep the stride; otherwise set it to 1 and multiply the rate by it"
        )
        expect_close(result, right, [(np.array(wrong), hint) for wrong, hint in mistakes if wrong != right], where)


@exercise("06_dilated_resnet/3")
def receptive_field(answer):
    """Check that `answer(layers)` returns the receptive field of layers [(kernel, stride, rate), ...], in pixels."""
    stem = [(7, 2, 1), (3, 2, 1)]
    for layers in (
        [(3, 1, 2)],
        [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
        [(3, 2, 1), (5, 1, 3)],
        [(3, 2, 3), (3, 1, 1)],
        [*stem, *[(3, 1, 1)] * 3, (3, 2, 1), (3, 1, 1), (3, 1, 2), (3, 1, 4)],
    ):
        right = _field(layers)
        spans = [(k - 1) * r + 1 for k, _, r in layers]  # extent of the dilated kernels
        steps = [math.prod(s for _, s, _ in layers[:i]) for i in range(len(layers) + 1)]
        mistakes = [
            (
                _field([(k, s, 1) for k, s, _ in layers]),
                "the rates are ignored: with rate r, neighboring weights are r steps apart",
            ),
            (_field([(k, 1, r) for k, _, r in layers]), "the strides are ignored: after a stride of 2, a step is 2"),
            (right - 1, "a single pixel has a receptive field of 1: start with 1"),
            (
                1 + sum((n - 1) * step for n, step in zip(spans, steps[1:], strict=True)),
                "a layer's stride is applied too early: it only affects later layers",
            ),
            (
                1 + sum(n * step for n, step in zip(spans, steps, strict=False)),
                "a kernel that spans n positions adds n - 1 steps",
            ),
            (
                1 + sum(k * r * step for (k, _, r), step in zip(layers, steps, strict=False)),
                "a kernel of size k has k - 1 gaps between its weights, not k",
            ),
            (
                _compounded(layers),
                "a rate only affects its own layer and does not change the step; only strides multiply",
            ),
        ]
        where = "add (kernel - 1) * rate * step for each layer, then multiply step by its stride"
        expect_close(number(answer(list(layers))), right, mistakes, where)


@exercise("06_dilated_resnet/4")
def mean_weights_inside(answer):
    """Check that `answer(height, width, rate)` returns the mean number of kernel weights inside the feature map.

    The kernel has nine weights, and the mean is over all positions of its center.
    """
    for height, width, rate in ((45, 60, 12), (12, 12, 12), (45, 60, 24), (45, 60, 36), (5, 40, 6), (9, 7, 3)):
        rows, columns = (size + 2 * max(size - rate, 0) for size in (height, width))
        right = rows * columns / (height * width)
        signed = (3 * height - 2 * rate) * (3 * width - 2 * rate) / (height * width)
        within = max(height - 2 * rate, 0) * max(width - 2 * rate, 0)  # positions with all nine weights inside
        mistakes = [
            (signed, "if the rate is larger than the feature map, the count is 0, not negative: use max(..., 0)"),
            (rows * columns, "this is the sum over all positions; divide by their number"),
            (right / 9, "this is the fraction of the nine weights; return their number"),
            (rows / height, "this counts only the rows of weights: multiply by the number of columns"),
            (columns / width, "this counts only the columns of weights: multiply by the number of rows"),
            (
                rows / height + columns / width,
                "rows and columns are independent: multiply the numbers, do not add them",
            ),
            (9 * within / (height * width), "this counts only the positions at which all nine weights are inside"),
            (right - 1, "the center weight is one of the nine, and it is always inside"),
        ]
        where = (
            f"for {height} x {width} and rate {rate} it is {right:.4g}: of `size` positions, max(size - rate, 0) have "
            "the left weight inside, as many have the right weight inside, and all have the center weight inside"
        )
        expect_close(number(answer(height, width, rate)), right, mistakes, where)


@exercise("06_dilated_resnet/5")
def strip_pooling(answer):
    """Check that `answer(channels)` returns a strip pooling module.

    The module multiplies x by sigmoid(conv(row means) + conv(column means)).
    """
    torch.manual_seed(0)
    block = answer(5)
    if not isinstance(block, nn.Module):
        raise Hint("the answer must be a class derived from nn.Module")
    for name in ("rows", "columns"):
        layer = getattr(block, name, None)
        if not isinstance(layer, nn.Conv2d):
            raise Hint(f"the block has no nn.Conv2d with the name {name}")
        if layer.kernel_size != (1, 1) or layer.bias is None or layer.weight.shape[:2] != (5, 5):
            raise Hint(f"{name} must be a 1 x 1 convolution from 5 to 5 channels with bias")
    x = torch.randn(2, 5, 6, 9)
    with torch.no_grad():
        result = attempt("the forward pass", lambda: block(x.clone()))
        if not isinstance(result, torch.Tensor) or result.shape != x.shape:
            raise Hint(
                f"the result must have the shape of the input, {tuple(x.shape)}; keep the dimensions of the means"
            )
        along_rows, along_columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True)
        total = block.rows(along_rows) + block.columns(along_columns)
        swapped = block.rows(along_columns) + block.columns(along_rows)
        largest = block.rows(x.amax(3, keepdim=True)) + block.columns(x.amax(2, keepdim=True))
        mistakes = [
            (
                x * swapped.sigmoid(),
                "the input of rows is the mean over the width, axis 3; columns gets the mean over the height, axis 2",
            ),
            (total.sigmoid(), "the gate is right; multiply the input by it"),
            (x * total, "the sigmoid is missing"),
            (x + total.sigmoid(), "multiply the input by the gate, instead of adding it"),
            (
                x * block.rows(along_rows).sigmoid() * block.columns(along_columns).sigmoid(),
                "add first, then one sigmoid",
            ),
            (x * largest.sigmoid(), "take means of rows and columns, not maxima"),
        ]
    where = "the result should be x * sigmoid(rows(x.mean(3, keepdim=True)) + columns(x.mean(2, keepdim=True)))"
    expect_close(result, x * total.sigmoid(), mistakes, where)


@exercise("06_dilated_resnet/6")
def accurate_and_blind(answer):
    """Check that `answer` is a confusion matrix (4, 4) with accuracy at least 0.9 and mIoU below 0.3.

    The matrix must count 1000 pixels, and every class must occur in the ground truth.
    """
    result = _array(answer)
    if result.shape != (4, 4):
        raise Hint(f"four classes make a matrix of 4 rows and 4 columns; yours has shape {result.shape}")
    if not np.isfinite(result).all() or (result < 0).any() or (result != result.round()).any():
        raise Hint("the entries count pixels, so they must be integers and not negative")
    if result.sum() != 1000:
        raise Hint(f"your matrix counts {result.sum():.0f} pixels; it should count 1000")
    result = result.astype(np.int64)  # the metrics accept only integers
    empty = [c for c in range(4) if result[c].sum() == 0]
    if empty:
        turned = " (rows are the ground truth, columns the prediction)" if not any((result.sum(0) == 0)[empty]) else ""
        raise Hint(f"class {empty[0]} has no true pixel, and every class should occur in the ground truth{turned}")
    accuracy, score = pixel_accuracy(result), mean_iou(result)
    if accuracy < 0.9:
        raise Hint(f"the accuracy is {accuracy:.3f}: at least 900 of the 1000 pixels must be on the diagonal")
    if score >= 0.3:
        scores = ", ".join(f"{value:.2f}" for value in iou(result))
        raise Hint(
            f"the accuracy is {accuracy:.3f}, but mIoU is {score:.3f} (classes {scores}); let one class have nearly "
            "all pixels, and never predict the other three"
        )


def _array(result) -> np.ndarray:
    """Convert an answer to an array of floats. Raise a Hint if it is not numeric."""
    try:
        result = array(result)
    except ValueError:  # lists of different lengths
        raise Hint("the rows of your answer differ in length") from None
    if result.dtype.kind not in "biuf":
        raise Hint(f"the answer must contain numbers, but it has type {result.dtype}")
    return result.astype(float)


def _dilated(x: np.ndarray, kernel: np.ndarray, rate: int, beyond: str = "constant") -> np.ndarray:
    reach = len(kernel) // 2 * rate
    padded = np.pad(x, reach, mode=beyond)
    return sum(weight * padded[a * rate : a * rate + len(x)] for a, weight in enumerate(kernel))


def _field(layers: list[tuple[int, int, int]]) -> int:
    field, step = 1, 1
    for kernel, stride, rate in layers:
        field, step = field + (kernel - 1) * rate * step, step * stride
    return field


def _compounded(layers: list[tuple[int, int, int]]) -> int:
    """Return the receptive field that results if dilations are multiplied like strides."""
    field, step = 1, 1
    for kernel, stride, rate in layers:
        field, step = field + (kernel - 1) * rate * step, step * stride * rate
    return field


def _scheme(strides: tuple[int, ...], stem_stride: int, output_stride: int) -> list[tuple[int, int, int]]:
    step, rate, stages = stem_stride, 1, []
    for stride in strides:
        before = rate
        if step * stride > output_stride:
            rate, stride = rate * stride, 1
        step *= stride
        stages.append((stride, before, rate))
    return stages
