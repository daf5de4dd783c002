"""Notebook 02's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import numpy as np
import pytest
import torch
from torch import nn

from course.exercises import grade, names
from seglib.models.unet import DoubleConv

NOTEBOOK = "02_unet"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def rejected(number: int, answer, *words: str) -> None:
    result = verdict(number, answer)
    assert result.right is False, result
    for word in words:
        assert word in result.message


class AttentionGate(nn.Module):
    """The right answer to exercise 3; each subclass makes one mistake."""

    outputs = 1

    def __init__(self, skip_channels: int, gate_channels: int, mid_channels: int):
        super().__init__()
        self.skip = nn.Conv2d(skip_channels, mid_channels, 1)
        self.gate = nn.Conv2d(gate_channels, mid_channels, 1)
        self.score = nn.Conv2d(mid_channels, self.outputs, 1)

    def factor(self, skip, gate):
        return self.score(torch.relu(self.skip(skip) + self.gate(gate))).sigmoid()

    def forward(self, skip, gate):
        return skip * self.factor(skip, gate)


def dice(probability, target):
    valid = target != 255
    p, t = probability[valid], target[valid]
    return 1 - 2 * (p * t).sum() / (p.sum() + t.sum()) if t.sum() else 0.0


def count(a, b):
    return 9 * a * b + 2 * b + 9 * b * b + 2 * b


def field(layers):
    size, step = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * step
        step *= stride
    return size


RIGHT = {1: count, 2: np.kron, 3: AttentionGate, 4: field, 5: dice}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    answer = RIGHT[number]
    assert verdict(number, answer if isinstance(answer, type) else lambda *inputs: answer(*inputs)).right is True


def test_torch_answers_are_accepted():
    def upsample(x, kernel):
        x, kernel = torch.from_numpy(x)[None, None], nn.Parameter(torch.from_numpy(kernel)[None, None])
        return torch.nn.functional.conv_transpose2d(x, kernel, stride=2)[0, 0]

    assert verdict(2, upsample).right is True
    assert verdict(1, lambda a, b: torch.tensor(sum(p.numel() for p in DoubleConv(a, b).parameters()))).right is True


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
    class Untouched(nn.Module):
        def __init__(self, skip_channels, gate_channels, mid_channels):
            super().__init__()

        def forward(self, skip, gate): ...

    result = verdict(number, Untouched if number == 3 and callable(stub) else stub)
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
        lambda *inputs, **more: np.zeros((0, 2)),
        lambda *inputs, **more: [[1], [2, 3]],
        lambda *inputs, **more: 1 / 0,
        lambda *inputs, **more: nn.Identity(),
        lambda *inputs, **more: nn.ReLU,
        lambda *inputs, **more: torch.zeros(2, 2),
    ],
)
def test_nonsense_is_rejected_and_never_raises(number, nonsense):
    result = verdict(number, nonsense)
    assert result.right is not True and len(result.message) < 400


def plain_sum(p, t):
    return 1 - 2 * (p * t).sum() / (p.sum() + t.sum())


def without_ignored(function):
    """Return a Dice loss that drops ignored pixels and applies `function` to the others."""

    def answer(probability, target):
        inside = target != 255
        return function(probability[inside], target[inside].astype(float))

    return answer


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (2, lambda x, k: np.kron(x, np.ones((2, 2))), "repeated"),
        (2, lambda x, k: np.kron(x, k[::-1, ::-1]), "180 degrees"),
        (2, lambda x, k: np.kron(x, k.T), "transposed"),
        (2, lambda x, k: np.kron(k, x), "at each pixel"),
        (2, lambda x, k: np.zeros((x.shape[0] + 1, x.shape[1] + 1)), "overlap"),
        (2, lambda x, k: np.zeros((8, 8)), "twice as high"),
        (2, lambda x, k: np.kron(x, k) + 1, "rows 2i"),
        (5, lambda p, t: 1 - dice(p, t), "coefficient"),
        (5, plain_sum, "255 was used as a value"),
        (5, lambda p, t: plain_sum(p, np.where(t == 255, 0, t)), "out of both sums"),
        (5, without_ignored(lambda p, t: 1 - (p * t).sum() / (p.sum() + t.sum())), "factor 2"),
        (5, without_ignored(lambda p, t: 1 - (p * t).sum() / (p + t - p * t).sum()), "soft IoU"),
        (5, without_ignored(lambda p, t: 1 - 2 * (p * t).sum() / ((p * p).sum() + (t * t).sum())), "do not square"),
        (5, without_ignored(lambda p, t: (plain_sum(p, t) + plain_sum(1 - p, 1 - t)) / 2), "only the foreground"),
        (5, without_ignored(lambda p, t: plain_sum((p > 0.5).astype(float), t)), "round"),
        (5, without_ignored(plain_sum), "divides 0 by 0|should be 0"),
        (5, without_ignored(lambda p, t: float(plain_sum(p, t)) if t.sum() else 1 / 0), "divides by 0"),
        (5, lambda p, t: dice(p, t) if (t == 1).any() else 1.0, "should be 0"),
        (5, lambda p, t: 0.123, "1 - 2 sum(p t)"),
        (5, lambda p, t: p, "one number"),
        (1, lambda a, b: 9 * a * b + 9 * b * b, "batch normalizations are missing"),
        (1, lambda a, b: count(a, b) + 2 * b, "no bias"),
        (1, lambda a, b: count(a, b) - 2 * b, "a scale and a shift"),
        (1, lambda a, b: count(a, b) + 4 * b, "buffers"),
        (1, lambda a, b: 9 * a * b + 2 * b, "one convolution"),
        (1, lambda a, b: 2 * (9 * a * b + 2 * b), "second convolution"),
        (1, lambda a, b: a * b + b * b + 4 * b, "9 weights for each pair"),
        (1, lambda a, b: 3 * a * b + 3 * b * b + 4 * b, "not 3"),
        (1, lambda a, b: a + b, "per normalization"),
        (4, lambda layers: 1 + sum(k - 1 for k, _ in layers), "strides are ignored"),
        (4, lambda layers: int(np.prod([s for _, s in layers])), "step between two outputs"),
        (4, lambda layers: field(layers) - 1, "start with 1"),
        (4, lambda layers: field(layers) + 1, "one too many"),
        (4, lambda layers: 1 + sum((k - 1) * s for k, s in layers), "multiply the strides"),
        (4, lambda layers: 140, "then multiply step"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    result = verdict(number, answer)
    assert result.right is False and any(part in result.message for part in word.split("|")), result.message


def test_a_stride_taken_too_early_is_named():
    def early(layers):
        size, step = 1, 1
        for kernel, stride in layers:
            step *= stride
            size += (kernel - 1) * step
        return size

    rejected(4, early, "too early")


class NoSigmoid(AttentionGate):
    def factor(self, skip, gate):
        return self.score(torch.relu(self.skip(skip) + self.gate(gate)))


class ManyMaps(AttentionGate):
    outputs = 4


class Softmax(AttentionGate):
    def factor(self, skip, gate):
        return (
            self.score(torch.relu(self.skip(skip) + self.gate(gate))).flatten(2).softmax(2).view(-1, 1, *skip.shape[2:])
        )


class GateIgnored(AttentionGate):
    def factor(self, skip, gate):
        return self.score(torch.relu(self.skip(skip))).sigmoid()


class SkipIgnored(AttentionGate):
    def factor(self, skip, gate):
        return self.score(torch.relu(self.gate(gate))).sigmoid()


class Pooled(AttentionGate):
    def factor(self, skip, gate):
        return super().factor(skip, gate).mean(dim=(2, 3), keepdim=True).mean(0, keepdim=True)


class Wide(AttentionGate):
    def __init__(self, skip_channels, gate_channels, mid_channels):
        super().__init__(skip_channels, gate_channels, mid_channels)
        self.gate = nn.Conv2d(gate_channels, mid_channels, 3, padding=1)


class Wider(AttentionGate):
    def __init__(self, skip_channels, gate_channels, mid_channels):
        super().__init__(skip_channels, gate_channels, 2 * mid_channels)


class NoRelu(AttentionGate):
    def factor(self, skip, gate):
        return self.score(self.skip(skip) + self.gate(gate)).sigmoid()


class TwoRelus(AttentionGate):
    def factor(self, skip, gate):
        return self.score(torch.relu(self.skip(skip)) + torch.relu(self.gate(gate))).sigmoid()


class MapAlone(AttentionGate):
    def forward(self, skip, gate):
        return self.factor(skip, gate)


class NoInit(nn.Module):
    def __init__(self, skip_channels, gate_channels, mid_channels):
        self.skip = nn.Conv2d(skip_channels, mid_channels, 1)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (NoSigmoid, "apply a sigmoid"),
        (ManyMaps, "one output channel"),
        (Softmax, "as after a softmax"),
        (GateIgnored, "gate has no effect"),
        (SkipIgnored, "does not depend on the skip"),
        (Pooled, "the same everywhere"),
        (Wide, "use only 1x1 convolutions"),
        (Wider, "three 1x1 convolutions"),
        (NoRelu, "one ReLU to the sum"),
        (TwoRelus, "one ReLU to the sum"),
        (MapAlone, "shape of the skip"),
        (NoInit, "stopped with AttributeError"),
        (lambda skip_channels, gate_channels, mid_channels: 5, "nn.Module"),
    ],
)
def test_modules_that_are_not_quite_an_attention_gate(answer, word):
    rejected(3, answer, word)


def test_a_gate_without_biases_is_accepted():
    class NoBias(AttentionGate):
        def __init__(self, skip_channels, gate_channels, mid_channels):
            super().__init__(skip_channels, gate_channels, mid_channels)
            self.skip = nn.Conv2d(skip_channels, mid_channels, 1, bias=False)

    assert verdict(3, NoBias).right is True


def test_a_gate_with_batch_normalization_is_accepted():
    class Normalized(AttentionGate):
        def __init__(self, skip_channels, gate_channels, mid_channels):
            super().__init__(skip_channels, gate_channels, mid_channels)
            self.skip = nn.Sequential(self.skip, nn.BatchNorm2d(mid_channels))
            self.gate = nn.Sequential(self.gate, nn.BatchNorm2d(mid_channels))

    assert verdict(3, Normalized).right is True


def test_a_gate_that_changes_or_adds_the_skip_gets_a_hint():
    class InPlace(AttentionGate):
        def forward(self, skip, gate):
            skip *= self.factor(skip, gate)
            return skip

    class Added(AttentionGate):
        def forward(self, skip, gate):
            return skip + skip * self.factor(skip, gate)

    rejected(3, InPlace, "in place")
    rejected(3, Added, "between 1 and 2")
