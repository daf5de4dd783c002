"""Notebook 06's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course.exercises import grade, names

NOTEBOOK = "06_dilated_resnet"
MATRIX = np.array([[910, 0, 0, 0], [30, 0, 0, 0], [30, 0, 0, 0], [30, 0, 0, 0]])


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def dilated(x, kernel, rate, mode="constant"):
    reach = len(kernel) // 2 * rate
    padded = np.pad(x, reach, mode=mode)
    taps = range(len(kernel))
    return np.array([sum(kernel[a] * padded[i + a * rate] for a in taps) for i in range(len(x))])


def field(layers, begin=1, early=False, compound=False):
    size, step = begin, 1
    for kernel, stride, rate in layers:
        step *= stride if early else 1
        size += (kernel - 1) * rate * step
        step *= (1 if early else stride) * (rate if compound else 1)
    return size


def scheme(strides, stem_stride, output_stride):
    step, rate, result = stem_stride, 1, []
    for stride in strides:
        before = rate
        if step * stride <= output_stride:
            step *= stride
        else:
            rate *= stride
            stride = 1
        result.append((stride, before, rate))
    return result


def taps(height, width, rate):
    """Counted place by place."""
    ones = torch.ones(1, 1, height, width)
    kernel = torch.ones(1, 1, 3, 3)
    return F.conv2d(ones, kernel, padding=rate, dilation=rate).mean().item()


class Strips(nn.Module):
    """The right block; subclasses have one mistake each."""

    size, bias = 1, True

    def __init__(self, channels):
        super().__init__()
        self.rows = nn.Conv2d(channels, channels, self.size, padding=self.size // 2, bias=self.bias)
        self.columns = nn.Conv2d(channels, channels, 1)

    def gate(self, x):
        return self.rows(x.mean(3, keepdim=True)) + self.columns(x.mean(2, keepdim=True))

    def forward(self, x):
        return x * self.gate(x).sigmoid()


class LargeKernel(Strips):
    size = 3


class NoBias(Strips):
    bias = False


class Unnamed(Strips):
    def __init__(self, channels):
        super().__init__(channels)
        del self.columns


class Swapped(Strips):
    def gate(self, x):
        return self.rows(x.mean(2, keepdim=True)) + self.columns(x.mean(3, keepdim=True))


class Largest(Strips):
    def gate(self, x):
        return self.rows(x.amax(3, keepdim=True)) + self.columns(x.amax(2, keepdim=True))


class GateOnly(Strips):
    def forward(self, x):
        return self.gate(x).sigmoid()


class NoSigmoid(Strips):
    def forward(self, x):
        return x * self.gate(x)


class Added(Strips):
    def forward(self, x):
        return x + self.gate(x).sigmoid()


class TwoSigmoids(Strips):
    def forward(self, x):
        rows, columns = self.rows(x.mean(3, keepdim=True)), self.columns(x.mean(2, keepdim=True))
        return x * rows.sigmoid() * columns.sigmoid()


class OneMean(Strips):
    def forward(self, x):
        return self.gate(x).mean(3)


RIGHT = {1: dilated, 2: scheme, 3: field, 4: taps, 5: Strips, 6: MATRIX}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    assert verdict(number, RIGHT[number]).right is True


def test_torch_and_list_answers_are_accepted():
    def convolved(x, kernel, rate):
        x, kernel = torch.from_numpy(x)[None, None], torch.from_numpy(kernel)[None, None]
        return F.conv1d(x, kernel, padding=kernel.shape[-1] // 2 * rate, dilation=rate)[0, 0]

    assert verdict(1, convolved).right is True
    assert verdict(1, lambda *inputs: dilated(*inputs).tolist()).right is True
    assert verdict(2, lambda *inputs: np.array(scheme(*inputs))).right is True
    assert verdict(6, MATRIX.tolist()).right is True and verdict(6, torch.from_numpy(MATRIX)).right is True


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
    if number == 6 and callable(stub):
        pytest.skip("the answer to exercise 6 is a matrix")
    result = verdict(number, stub)
    assert result.right is None and "not attempted" in result.message


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize(
    "nonsense",
    [
        3.7,
        "text",
        [1, 2],
        object(),
        np.zeros(3),
        int,
        nn.Linear,
        nn.Identity(),
        lambda: 1,
        lambda *inputs: "text",
        lambda *inputs: np.zeros((0, 2)),
        lambda *inputs: [[1], [2, 3]],
        lambda *inputs: 1 / 0,
        lambda *inputs: torch.zeros(2),
        lambda *inputs: float("nan"),
        np.full((4, 4), np.nan),
        [[1, 2], [3]],
        {"a": 1},
    ],
)
def test_nonsense_gets_a_hint_and_never_raises(number, nonsense):
    result = verdict(number, nonsense)
    assert result.right is not True and len(result.message) < 400


def changed(change):
    return lambda *inputs: [change(*triple) for triple in scheme(*inputs)]


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (1, lambda x, k, r: dilated(x, k[::-1], r), "reversed"),
        (1, lambda x, k, r: dilated(x, k, 1), "rate is missing"),
        (1, lambda x, k, r: dilated(x, k, r + 1), "gaps are too wide"),
        (1, lambda x, k, r: dilated(x, k, r, "wrap"), "circular padding"),
        (1, lambda x, k, r: dilated(x, k, r, "edge"), "padded with the last value"),
        (1, lambda x, k, r: dilated(x, k, r, "reflect"), "reflection padding"),
        (1, lambda x, k, r: np.convolve(x, k[::-1], "valid") if r == 1 else dilated(x, k, r), "too short"),
        (1, lambda x, k, r: x[::2], "must have the length of x"),
        (1, lambda x, k, r: x, "the sum over the weights"),
        (3, lambda layers: field([(k, s, 1) for k, s, _ in layers]), "rates are ignored"),
        (3, lambda layers: field([(k, 1, r) for k, _, r in layers]), "strides are ignored"),
        (3, lambda layers: field(layers, begin=0), "start with 1"),
        (3, lambda layers: field(layers, early=True), "too early"),
        (3, lambda layers: field([((k - 1) * r + 2, s, 1) for k, s, r in layers]), "adds n - 1 steps"),
        (3, lambda layers: field([(k + 1, s, r) for k, s, r in layers]), "k - 1 gaps"),
        (3, lambda layers: field(layers, compound=True), "does not change the step"),
        (3, lambda layers: 427, "then multiply step"),
        (2, changed(lambda stride, before, after: (stride, after, after)), "keeps the rate of the previous stage"),
        (2, changed(lambda stride, before, after: (stride, before, before)), "larger dilation"),
        (2, changed(lambda stride, before, after: (stride, 1, 1)), "no dilation replaces"),
        (2, changed(lambda stride, before, after: (stride, 1, after)), "only until a stride is removed"),
        (2, lambda s, e, o: [(n, b, a) for n, (_, b, a) in zip(s, scheme(s, e, o), strict=True)], "must become 1"),
        (2, lambda s, e, o: scheme(s, 1, o), "start with its stride"),
        (2, lambda s, e, o: scheme(s, e, o // 2), "one stride too many"),
        (2, lambda s, e, o: scheme(s, e, 2 * o), "must not be larger"),
        (2, lambda s, e, o: [(7, 7, 7)] * len(s), "keep the stride"),
        (2, lambda s, e, o: scheme(s, e, o)[0], "triples"),
        (4, lambda h, w, r: (3 * h - 2 * r) * (3 * w - 2 * r) / (h * w), "0, not negative"),
        (4, lambda h, w, r: taps(h, w, r) * h * w, "divide by their number"),
        (4, lambda h, w, r: taps(h, w, r) / 9, "fraction of the nine"),
        (4, lambda h, w, r: 1 + 2 * max(h - r, 0) / h, "the rows of weights|the columns of weights|rows and columns"),
        (4, lambda h, w, r: 2 + 2 * max(h - r, 0) / h + 2 * max(w - r, 0) / w, "do not add"),
        (4, lambda h, w, r: taps(h, w, r) - 1, "center weight"),
        (4, lambda h, w, r: 9 * max(h - 2 * r, 0) * max(w - 2 * r, 0) / (h * w), "all nine weights are inside"),
        (4, lambda h, w, r: 9, "have the left weight inside"),
        (5, LargeKernel, "1 x 1 convolution"),
        (5, NoBias, "with bias"),
        (5, Unnamed, "name columns"),
        (5, Swapped, "axis 3"),
        (5, Largest, "not maxima"),
        (5, GateOnly, "multiply the input by it"),
        (5, NoSigmoid, "sigmoid is missing"),
        (5, Added, "instead of adding"),
        (5, TwoSigmoids, "one sigmoid"),
        (5, OneMean, "shape of the input"),
        (6, np.eye(3), "4 rows"),
        (6, MATRIX / 1000, "must be integers"),
        (6, MATRIX - np.eye(4), "negative"),
        (6, 2 * MATRIX, "2000 pixels"),
        (6, MATRIX.T, "rows are the ground truth"),
        (6, np.diag([1000, 0, 0, 0]), "no true pixel"),
        (6, np.full((4, 4), 1000 // 16) + np.diag([0, 0, 0, 8]), "at least 900"),
        (6, np.diag([910, 30, 30, 30]), "never predict"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    result = verdict(number, answer)
    assert result.right is False and any(part in result.message for part in word.split("|")), result.message
