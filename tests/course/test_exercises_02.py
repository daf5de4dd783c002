"""Notebook 02's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import numpy as np
import pytest
import torch
from torch import nn

from course.exercises import grade, names
from seglib.models.unet import DoubleConv, Down, Up

NOTEBOOK = "02_unet"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def rejected(number: int, answer, *words: str) -> None:
    result = verdict(number, answer)
    assert result.right is False, result
    for word in words:
        assert word in result.message


class SmallUNet(nn.Module):
    """The right answer to exercise 5; subclasses go wrong in one place."""

    activation: nn.Module | None = None

    def __init__(self, num_classes: int, width: int):
        super().__init__()
        self.stem = DoubleConv(3, width)
        self.down1 = Down(width, 2 * width)
        self.down2 = Down(2 * width, 4 * width)
        self.up1 = Up(4 * width, 2 * width, 2 * width)
        self.up2 = Up(2 * width, width, width)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def decode(self, x1, x2, x3):
        return self.up2(self.up1(x3, x2), x1)

    def forward(self, x):
        x1 = self.stem(x)
        x2 = self.down1(x1)
        out = self.classifier(self.decode(x1, x2, self.down2(x2)))
        return self.activation(out) if self.activation else out


def dice(probability, truth):
    kept = truth != 255
    p, t = probability[kept], truth[kept]
    return 1 - 2 * (p * t).sum() / (p.sum() + t.sum()) if t.sum() else 0.0


def count(a, b):
    return 9 * a * b + 2 * b + 9 * b * b + 2 * b


def field(layers):
    size, step = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * step
        step *= stride
    return size


RIGHT = {1: np.kron, 2: dice, 3: count, 4: field, 5: SmallUNet}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    answer = RIGHT[number]
    assert verdict(number, answer if isinstance(answer, type) else lambda *inputs: answer(*inputs)).right is True


def test_torch_answers_are_accepted():
    def upsample(x, kernel):
        x, kernel = torch.from_numpy(x)[None, None], torch.from_numpy(kernel)[None, None]
        return torch.nn.functional.conv_transpose2d(x, kernel, stride=2)[0, 0]

    assert verdict(1, upsample).right is True
    assert verdict(3, lambda a, b: torch.tensor(sum(p.numel() for p in DoubleConv(a, b).parameters()))).right is True


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
    class Untouched(nn.Module):
        def __init__(self, num_classes, width):
            super().__init__()

    result = verdict(number, Untouched if number == 5 and callable(stub) else stub)
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
def test_nonsense_is_told_and_never_raises(number, nonsense):
    result = verdict(number, nonsense)
    assert result.right is not True and len(result.message) < 400


def plain_sum(p, t):
    return 1 - 2 * (p * t).sum() / (p.sum() + t.sum())


def kept(function):
    """A Dice that is right about ignored pixels and whatever `function` makes of the rest."""

    def answer(probability, truth):
        inside = truth != 255
        return function(probability[inside], truth[inside].astype(float))

    return answer


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (1, lambda x, k: np.kron(x, np.ones((2, 2))), "repeated"),
        (1, lambda x, k: np.kron(x, k[::-1, ::-1]), "180 degrees"),
        (1, lambda x, k: np.kron(x, k.T), "transposed"),
        (1, lambda x, k: np.kron(k, x), "at each pixel"),
        (1, lambda x, k: np.zeros((x.shape[0] + 1, x.shape[1] + 1)), "overlap"),
        (1, lambda x, k: np.zeros((8, 8)), "twice as high"),
        (1, lambda x, k: np.kron(x, k) + 1, "rows 2i"),
        (2, lambda p, t: 1 - dice(p, t), "coefficient"),
        (2, plain_sum, "255 was used as a number"),
        (2, lambda p, t: plain_sum(p, np.where(t == 255, 0, t)), "out of both sums"),
        (2, kept(lambda p, t: 1 - (p * t).sum() / (p.sum() + t.sum())), "factor 2"),
        (2, kept(lambda p, t: 1 - (p * t).sum() / (p + t - p * t).sum()), "soft IoU"),
        (2, kept(lambda p, t: 1 - 2 * (p * t).sum() / ((p * p).sum() + (t * t).sum())), "squares"),
        (2, kept(lambda p, t: (plain_sum(p, t) + plain_sum(1 - p, 1 - t)) / 2), "foreground alone"),
        (2, kept(lambda p, t: plain_sum((p > 0.5).astype(float), t)), "round"),
        (2, kept(plain_sum), "divides 0 by 0|should be 0"),
        (2, kept(lambda p, t: float(plain_sum(p, t)) if t.sum() else 1 / 0), "divides 0 by 0"),
        (2, lambda p, t: dice(p, t) if (t == 1).any() else 1.0, "should be 0"),
        (2, lambda p, t: 0.123, "taken from 1"),
        (2, lambda p, t: p, "one number"),
        (3, lambda a, b: 9 * a * b + 9 * b * b, "batch normalisations are missing"),
        (3, lambda a, b: count(a, b) + 2 * b, "no bias"),
        (3, lambda a, b: count(a, b) - 2 * b, "a scale and a shift"),
        (3, lambda a, b: count(a, b) + 4 * b, "buffers"),
        (3, lambda a, b: 9 * a * b + 2 * b, "one convolution"),
        (3, lambda a, b: 2 * (9 * a * b + 2 * b), "second convolution"),
        (3, lambda a, b: a * b + b * b + 4 * b, "9 numbers for each pair"),
        (3, lambda a, b: 3 * a * b + 3 * b * b + 4 * b, "not 3"),
        (3, lambda a, b: a + b, "for its normalisation"),
        (4, lambda layers: 1 + sum(k - 1 for k, _ in layers), "strides are left out"),
        (4, lambda layers: int(np.prod([s for _, s in layers])), "step between two outputs"),
        (4, lambda layers: field(layers) - 1, "begin with 1"),
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


class WrongOrder(SmallUNet):
    def decode(self, x1, x2, x3):
        return self.up2(self.up1(x3, x1), x2)


class Softmax(SmallUNet):
    activation = nn.Softmax(dim=1)


class Rectified(SmallUNet):
    activation = nn.ReLU()


class Halved(SmallUNet):
    activation = nn.MaxPool2d(2)


class FixedWidth(SmallUNet):
    def __init__(self, num_classes, width):
        super().__init__(num_classes, 8)


class FixedClasses(SmallUNet):
    def __init__(self, num_classes, width):
        super().__init__(2, width)


class Silent(SmallUNet):
    def forward(self, x):
        super().forward(x)


class NoInit(nn.Module):
    def __init__(self, num_classes, width):
        self.stem = DoubleConv(3, width)


class NoSkips(nn.Sequential):
    def __init__(self, num_classes, width):
        super().__init__(DoubleConv(3, width), nn.Conv2d(width, num_classes, 1))


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (WrongOrder, "wrong order"),
        (Softmax, "leave softmax"),
        (Rectified, "drop the ReLU"),
        (Halved, "half the image's size"),
        (FixedWidth, "width=4"),
        (FixedClasses, "2 channels for 3 classes"),
        (NoInit, "stopped with AttributeError"),
        (NoSkips, "two levels need two"),
        (lambda num_classes, width: 5, "nn.Module"),
    ],
)
def test_networks_that_are_not_quite_a_unet(answer, word):
    rejected(5, answer, word)


def test_a_forward_without_a_result_is_not_attempted():
    assert verdict(5, Silent).right is None
