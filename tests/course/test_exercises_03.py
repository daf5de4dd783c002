"""Notebook 03's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course import costs
from course.exercises import grade, names
from seglib.models.u2net import RSU, RSU4F, CeilMaxPool2d, ConvNormReLU, upsample

NOTEBOOK = "03_u2net"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def field(dilations):
    return 1 + 2 * sum(dilations)


def sides(side, height):
    result = [side]
    for _ in range(height - 2):
        result.append((result[-1] + 1) // 2)
    return [*result, result[-1]]


def count(a, m, b, height, each=lambda i, o: 9 * i * o + 3 * o):
    layers = [(a, b), (b, m), *[(m, m)] * (height - 1), *[(2 * m, m)] * (height - 2), (2 * m, b)]
    return sum(each(i, o) for i, o in layers)


def loss(z, t):
    return (np.maximum(z, 0) - t * z + np.log1p(np.exp(-np.abs(z)))).mean()


class AddRSU(nn.Module):
    """The right answer to exercise 4; each subclass makes one mistake."""

    bottom = 2

    def __init__(self, in_channels, mid_channels, out_channels):
        super().__init__()
        self.pool = CeilMaxPool2d()
        self.conv_in = ConvNormReLU(in_channels, out_channels)
        self.down1 = ConvNormReLU(out_channels, mid_channels)
        self.down2 = ConvNormReLU(mid_channels, mid_channels)
        self.down3 = ConvNormReLU(mid_channels, mid_channels, self.bottom)
        self.up2 = ConvNormReLU(mid_channels, mid_channels)
        self.up1 = ConvNormReLU(mid_channels, out_channels)

    def forward(self, x):
        entered = self.conv_in(x)
        x1 = self.down1(entered)
        x2 = self.down2(self.pool(x1))
        x = self.up2(self.merge(self.down3(x2), x2))
        return self.finish(entered, self.up1(self.merge(x, x1)))

    def merge(self, x, skip):
        return upsample(x, skip) + skip

    def finish(self, entered, x):
        return entered + x


RIGHT = {1: field, 2: sides, 3: count, 4: AddRSU, 5: loss}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    answer = RIGHT[number]
    result = verdict(number, answer if isinstance(answer, type) else lambda *inputs: answer(*inputs))
    assert result.right is True, result


def test_torch_answers_are_accepted():
    def stable(z, t):
        return F.binary_cross_entropy_with_logits(torch.from_numpy(z), torch.from_numpy(t))

    def counted(a, m, b, height):
        return torch.tensor(costs.parameters(RSU(a, m, b, height)))

    def measured(side, height):
        block, result = RSU(1, 1, 1, height).eval(), []
        for conv in block.down:
            conv.register_forward_hook(lambda module, inputs, out: result.append(out.shape[-1]))
        block(torch.zeros(1, 1, 4, side))
        return result

    assert verdict(5, stable).right is True
    assert verdict(3, counted).right is True
    assert verdict(2, measured).right is True


def test_the_first_exercise_computes_the_receptive_field_of_rsu4f():
    assert costs.receptive_field(RSU4F(1, 1, 1)) == field([1, 1, 2, 4, 8, 4, 2, 1]) == 47


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
    class Untouched(nn.Module):
        def __init__(self, in_channels, mid_channels, out_channels):
            super().__init__()

    result = verdict(number, Untouched if number == 4 and callable(stub) else stub)
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
        lambda *inputs, **more: ConvNormReLU(3, 5),
        lambda *inputs, **more: math.nan,
    ],
)
def test_nonsense_is_rejected_and_never_raises(number, nonsense):
    result = verdict(number, nonsense)
    assert result.right is not True and len(result.message) < 400


def stepped(dilations):
    size, step = 1, 1
    for dilation in dilations:
        step *= dilation
        size += 2 * step
    return size


def rounded_down(side, height):
    result = [side // 2**level for level in range(height - 1)]
    return [*result, result[-1]]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def naive(z, t):
    p = sigmoid(z)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()


def clipped(z, t):
    p = sigmoid(z).clip(1e-7, 1 - 1e-7)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()


def of_the_foreground(z, t):
    return (t * np.logaddexp(0, -z)).mean()


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (1, lambda d: 1 + 2 * len(d), "ignored"),
        (1, lambda d: 1 + sum(d), "to the right"),
        (1, lambda d: 2 * sum(d), "start with 1"),
        (1, lambda d: 1 + sum(2 * x + 1 for x in d), "adds only 2d"),
        (1, lambda d: sum(2 * x + 1 for x in d), "adds only 2d"),
        (1, lambda d: 1 + 2 * max(d), "only the widest layer"),
        (1, lambda d: 1 + 2 * math.prod(d), "only the widest layer|multiply"),
        (1, stepped, "not a stride"),
        (1, lambda d: 99, "add 2 * dilation"),
        (2, lambda s, h: sides(s, h)[:-1], "last level is missing"),
        (2, lambda s, h: [s], "one for each level"),
        (2, lambda s, h: s, "a list of integers"),
        (2, lambda s, h: sides(s, h + 1)[:-1], "only height - 2 downsampling steps"),
        (2, lambda s, h: sides(s, h + 2)[1:-1], "first level is not downsampled"),
        (2, rounded_down, "rounded down"),
        (2, lambda s, h: [max(1, x) for x in rounded_down(s, h)], "rounded down"),
        (2, lambda s, h: [s // 2**level for level in range(h)], "downsampling steps|rounded down"),
        (2, lambda s, h: [7] * h, "the side lengths are"),
        (3, lambda *g: count(*g, each=lambda i, o: 9 * i * o + 2 * o), "has a bias"),
        (3, lambda *g: count(*g, each=lambda i, o: 9 * i * o + o), "normalizations are missing"),
        (3, lambda *g: count(*g, each=lambda i, o: 9 * i * o), "biases and normalizations"),
        (3, lambda *g: count(*g, each=lambda i, o: 9 * i * o + 5 * o), "which are not learned"),
        (3, lambda *g: count(*g, each=lambda i, o: i * o + 3 * o), "9 weights"),
        (3, lambda a, m, b, h: count(a, m, b, h) - 9 * m * (m * (h - 2) + b), "2 * mid"),
        (3, lambda a, m, b, h: count(a, m, b, h) - 9 * a * b - 3 * b, "the input convolution of the block"),
        (3, lambda a, m, b, h: count(a, m, b, h) - 9 * m * m - 3 * m, "a level is missing"),
        (3, lambda a, m, b, h: count(a, m, b, h) - 18 * m * b - 3 * b, "last convolution of the decoder is missing"),
        (3, lambda a, m, b, h: count(a, m, b, h) + (18 * m + 3) * (m - b), "because of the residual connection"),
        (3, lambda a, m, b, h: count(a, m, b, h) + 9 * m * (m - b), "gets out_channels"),
        (3, lambda a, m, b, h: count(a, m, b, h) + 18 * m * m + 3 * m, "one convolution too many"),
        (3, lambda a, m, b, h: 5, "for each convolution"),
        (5, lambda z, t: loss(z, t) * z.size, "return the mean"),
        (5, lambda z, t: loss(z, 1 - t), "swapped"),
        (5, lambda z, t: loss(z, 0 * t), "targets are ignored"),
        (5, lambda z, t: -loss(z, t), "sign"),
        (5, of_the_foreground, "only foreground pixels"),
        (5, lambda z, t: ((sigmoid(z) - t) ** 2).mean(), "squared error"),
        (5, naive, "for a logit of 1000"),
        (5, clipped, "clipping limits"),
        (5, lambda z, t: (np.log(1 + np.exp(z)) - t * z).mean(), "for a logit of 1000"),
        (5, lambda z, t: np.mean([math.log(1 + math.exp(x)) for x in z.flat]) - (t * z).mean(), "for a logit of 1000"),
        (5, lambda z, t: math.inf, "even for small"),
        (5, lambda z, t: 0.3, "the mean of log(1 + exp(z))"),
        (5, lambda z, t: z, "one number"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    result = verdict(number, answer)
    assert result.right is False and any(part in result.message for part in word.split("|")), result.message


class Undilated(AddRSU):
    bottom = 1


class NoResidual(AddRSU):
    def finish(self, entered, x):
        return x


class Mean(AddRSU):
    def finish(self, entered, x):
        return (entered + x) / 2


class Doubled(AddRSU):
    def finish(self, entered, x):
        return 2 * entered + x


class RoundedDown(AddRSU):
    def __init__(self, *channels):
        super().__init__(*channels)
        self.pool = nn.MaxPool2d(2)


class NeverPooled(AddRSU):
    def __init__(self, *channels):
        super().__init__(*channels)
        self.pool = nn.Identity()


class NoSkip(AddRSU):
    def merge(self, x, skip):
        return upsample(x, skip)


class MeanOfMaps(AddRSU):
    def merge(self, x, skip):
        return (upsample(x, skip) + skip) / 2


class SkipTwice(AddRSU):
    def merge(self, x, skip):
        return upsample(x, skip) + 2 * skip


class NotUpsampled(AddRSU):
    def merge(self, x, skip):
        return x + skip


class Concatenated(AddRSU):
    def __init__(self, a, m, b):
        super().__init__(a, m, b)
        self.up2, self.up1 = ConvNormReLU(2 * m, m), ConvNormReLU(2 * m, b)

    def merge(self, x, skip):
        return torch.cat([upsample(x, skip), skip], 1)


class WrongWay(AddRSU):
    def __init__(self, a, m, b):
        super().__init__(a, m, b)
        self.conv_in = ConvNormReLU(a, m)
        self.down1 = ConvNormReLU(m, m)


class OneMore(AddRSU):
    def finish(self, entered, x):
        return entered + self.conv_in(torch.zeros(2, 3, 33, 47)) + x


class Small(AddRSU):
    def finish(self, entered, x):
        return (entered + x)[:, :1]


class Silent(AddRSU):
    def forward(self, x):
        super().forward(x)


class NoInit(nn.Module):
    def __init__(self, a, m, b):
        self.conv_in = ConvNormReLU(a, b)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Undilated, "the last encoder convolution should have dilation 2"),
        (NoResidual, "residual connection is missing"),
        (Mean, "not a mean"),
        (Doubled, "output of the last convolution plus"),
        (RoundedDown, "CeilMaxPool2d rounds up"),
        (NeverPooled, "one CeilMaxPool2d"),
        (NoSkip, "only the features from below"),
        (MeanOfMaps, "not their mean"),
        (SkipTwice, "plus the encoder features"),
        (NotUpsampled, "stopped with RuntimeError"),
        (Concatenated, "not concatenated"),
        (WrongWay, "should output 5 channels"),
        (OneMore, "six ConvNormReLU"),
        (Small, "out_channels at the input's size"),
        (NoInit, "stopped with AttributeError"),
        (lambda a, m, b: nn.Conv2d(a, b, 3, padding=1), "six ConvNormReLU"),
        (lambda a, m, b: RSU(a, m, b, height=3), "not concatenated"),
        (lambda a, m, b: RSU(a, m, b, height=4), "one CeilMaxPool2d"),
        (lambda a, m, b: RSU4F(a, m, b), "one CeilMaxPool2d"),
        (lambda a, m, b: 5, "nn.Module"),
    ],
)
def test_blocks_that_miss_one_thing(answer, word):
    result = verdict(4, answer)
    assert result.right is False and any(part in result.message for part in word.split("|")), result.message


def test_a_forward_without_a_result_is_not_attempted():
    assert verdict(4, Silent).right is None


class Averaged(AddRSU):
    def __init__(self, *channels):
        super().__init__(*channels)
        self.pool = nn.AvgPool2d(2, ceil_mode=True)


class Shared(AddRSU):
    def __init__(self, *channels):
        super().__init__(*channels)
        self.up2 = self.down2


class Nearest(AddRSU):
    def merge(self, x, skip):
        return F.interpolate(x, skip.shape[-2:]) + skip


class Cornered(AddRSU):
    def merge(self, x, skip):
        return F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=True) + skip


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Averaged, "max-pooled"),
        (Shared, "the same weights"),
        (Nearest, "nearest neighbor"),
        (Cornered, "align_corners=True"),
    ],
)
def test_blocks_with_another_pooling_upsampling_or_a_shared_layer(answer, word):
    result = verdict(4, answer)
    assert result.right is False and word in result.message, result.message
