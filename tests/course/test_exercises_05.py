"""Notebook 05's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course.exercises import grade, names
from seglib.losses import class_weights

NOTEBOOK = "05_mini_hrnet"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def weights(pixels):
    return class_weights("sqrt_freq", pixels)


def normalized(x, axes=(2, 3), eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def padded(height, width):
    return tuple(max(64, 32 * -(-side // 32)) for side in (height, width))


def straight(views):
    return np.stack([p[..., ::-1] if mirrored else p for p, mirrored in views])


def combined(views):
    return straight(views).mean(0).argmax(0)


class Light(nn.Module):
    """The right block; subclasses have one mistake each."""

    groups, bias = True, False

    def __init__(self, channels, dilation=1):
        super().__init__()
        groups = channels if self.groups else 1
        self.depthwise = nn.Conv2d(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=groups, bias=self.bias
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(x + self.residual(x))

    def residual(self, x):
        return self.bn2(self.pointwise(F.relu(self.bn1(self.depthwise(x)))))


class Mixing(Light):
    groups = False


class Biased(Light):
    bias = True


class NotDilated(Light):
    def __init__(self, channels, dilation=1):
        super().__init__(channels)


class NotPadded(Light):
    def __init__(self, channels, dilation=1):
        super().__init__(channels, dilation)
        self.depthwise.padding = (1, 1)


class Unnamed(Light):
    def __init__(self, channels, dilation=1):
        super().__init__(channels, dilation)
        del self.bn2


class NoShortcut(Light):
    def forward(self, x):
        return F.relu(self.residual(x))


class NoLastReLU(Light):
    def forward(self, x):
        return x + self.residual(x)


class EarlyReLU(Light):
    def forward(self, x):
        return x + F.relu(self.residual(x))


class NoInnerReLU(Light):
    def residual(self, x):
        return self.bn2(self.pointwise(self.bn1(self.depthwise(x))))


class NoSecondNorm(Light):
    def residual(self, x):
        return self.pointwise(F.relu(self.bn1(self.depthwise(x))))


SMALL = dict(widths=(12, 24, 48, 96), modules=(1, 1, 1), stem_width=24, stage1_width=16, stage1_blocks=1, head_width=64)
RIGHT = {1: Light, 2: normalized, 3: padded, 4: SMALL, 5: weights, 6: combined}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    assert verdict(number, RIGHT[number]).right is True


def test_torch_answers_are_accepted():
    assert verdict(5, lambda pixels: torch.tensor(weights(pixels))).right is True
    assert verdict(2, lambda x: nn.InstanceNorm2d(x.shape[1])(torch.from_numpy(x))).right is True
    assert verdict(6, lambda views: torch.from_numpy(combined(views))).right is True


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
    if number == 4 and callable(stub):
        return
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
        lambda *inputs, **more: np.zeros((0, 2)),
        lambda *inputs, **more: [[1], [2, 3]],
        lambda *inputs, **more: 1 / 0,
        lambda *inputs, **more: nn.Identity(),
        lambda *inputs, **more: torch.zeros(2, 2),
        {"widths": "text"},
        {"colour": 3},
        {3: 4},
        {"widths": (1.5, 2, 3, 4)},
        {"widths": (0, 0, 0, 0)},
    ],
)
def test_nonsense_gets_a_hint_and_never_raises(number, nonsense):
    result = verdict(number, nonsense)
    assert result.right is not True and len(result.message) < 400


def shares(pixels):
    return np.array(pixels) / sum(pixels)


def rule(function):
    """Return `function` of the share of each class, 1 for an absent class, scaled to a mean of 1 over the others."""

    def answer(pixels):
        share = shares(pixels)
        raw = np.array([function(s) if s else np.nan for s in share])
        return np.where(share > 0, raw / np.nanmean(raw), 1)

    return answer


def absent(value):
    return lambda pixels: [w if count else value for w, count in zip(weights(pixels), pixels, strict=True)]


def unscaled(pixels):
    return [(sum(pixels) / count) ** 0.5 if count else 1 for count in pixels]


def of_all(pixels):
    raw = np.array([(sum(pixels) / count) ** 0.5 if count else 0 for count in pixels])
    return np.where(raw > 0, raw / raw.mean(), 1)


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (1, Mixing, "groups=channels"),
        (1, Biased, "no bias"),
        (1, NotDilated, "use the argument `dilation`"),
        (1, NotPadded, "padding equals the dilation"),
        (1, Unnamed, "no layer with the name bn2"),
        (1, NoShortcut, "shortcut is missing"),
        (1, NoLastReLU, "after the sum is missing"),
        (1, EarlyReLU, "not before it"),
        (1, NoInnerReLU, "between the two convolutions"),
        (1, NoSecondNorm, "bn2 is not used"),
        (5, rule(lambda s: 1 / s), "inv_freq"),
        (5, rule(lambda s: s**0.5), "frequent classes"),
        (5, rule(lambda s: s), "these are the frequencies"),
        (5, unscaled, "mean is 1"),
        (5, lambda pixels: np.array(unscaled(pixels)) / np.sum(unscaled(pixels)), "sum to 1"),
        (5, of_all, "must not count"),
        (5, absent(0), "weight 1, not 0"),
        (5, absent(float("inf")), "divides by 0"),
        (5, lambda pixels: [7] * len(pixels), "then divide by the mean"),
        (5, lambda pixels: [1.0], "must have shape"),
        (2, lambda x: normalized(x, (0, 2, 3)), "batch normalization"),
        (2, lambda x: normalized(x, (1, 2, 3)), "layer normalization"),
        (2, lambda x: normalized(x, (1,)), "each pixel over the channels"),
        (2, lambda x: normalized(x, (0, 1)), "each position"),
        (2, lambda x: normalized(x, (0, 1, 2, 3)), "one mean for everything"),
        (2, lambda x: normalized(x, (2,)), "over the height only"),
        (2, lambda x: normalized(x, (3,)), "over the width only"),
        (2, lambda x: x - x.mean((2, 3), keepdims=True), "divide by the standard deviation"),
        (2, lambda x: (x - x.mean((2, 3), keepdims=True)) / (x.var((2, 3), keepdims=True) + 1e-5), "root"),
        (2, lambda x: (x - x.mean((2, 3), keepdims=True)) / x.std((2, 3), ddof=1, keepdims=True), "one less"),
        (2, lambda x: normalized(x, eps=0), "add eps under|constant feature map"),
        (2, lambda x: x, "keepdims"),
        (3, lambda h, w: padded(w, h), "swapped"),
        (3, lambda h, w: tuple(max(64, s // 32 * 32) for s in (h, w)), "not cropped"),
        (3, lambda h, w: tuple(max(64, round(s / 32) * 32) for s in (h, w)), "only adds"),
        (3, lambda h, w: tuple(max(64, (s // 32 + 1) * 32) for s in (h, w)), "do not pad multiples"),
        (3, lambda h, w: tuple(-(-s // 32) * 32 for s in (h, w)), "at least 64"),
        (3, lambda h, w: tuple(-(-s // 64) * 64 for s in (h, w)), "multiples of 32"),
        (3, lambda h, w: tuple(p - s for p, s in zip(padded(h, w), (h, w), strict=True)), "this is the padding"),
        (3, lambda h, w: (h, w), "should become"),
        (3, lambda h, w: h, "a pair"),
        (6, lambda views: np.stack([p for p, _ in views]).mean(0).argmax(0), "not flipped back"),
        (6, lambda views: np.stack([p[:, ::-1] if m else p for p, m in views]).mean(0).argmax(0), "not the rows"),
        (6, lambda views: np.stack([p[..., ::-1] for p, _ in views]).mean(0).argmax(0), "flipped all views"),
        (6, lambda views: np.log(straight(views)).mean(0).argmax(0), "overrules"),
        (6, lambda views: straight(views).max(0).argmax(0), "most confident view"),
        (6, lambda views: (straight(views).argmax(1)[:, None] == np.arange(4)[:, None, None]).sum(0).argmax(0), "vote"),
        (6, lambda views: combined(views)[:, ::-1], "result is flipped"),
        (6, lambda views: views[0][0].argmax(0), "only the first"),
        (6, lambda views: straight(views).mean(0), "this is the mean"),
        (6, lambda views: combined(views)[:5], "must have shape"),
        (6, lambda views: combined(views) * 0, "then argmax"),
        (4, [12, 24], "must be a dict"),
        (4, {"colour": 3}, "no option 'colour'"),
        (4, {**SMALL, "widths": (12, 24, 48), "modules": (1, 1)}, "four branches"),
        (4, {**SMALL, "in_channels": 1}, "in_channels must stay 3"),
        (4, {}, "are in stage4"),
        (4, {**SMALL, "stem_width": 64, "stage1_blocks": 4}, "GMACs are more than 1"),
        (4, {**SMALL, "widths": (4, 8, 16, 32)}, "half of the budget"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    result = verdict(number, answer)
    assert result.right is False and any(part in result.message for part in word.split("|")), result.message


def test_a_rule_that_divides_by_zero_gets_a_hint():
    def divides(pixels):
        raw = [(sum(pixels) / count) ** 0.5 for count in pixels]
        return [weight * len(raw) / sum(raw) for weight in raw]

    result = verdict(5, divides)
    assert result.right is False and "without pixels" in result.message


def test_float32_is_exact_enough_for_instance_normalization():
    assert verdict(2, lambda x: F.instance_norm(torch.from_numpy(x).float())).right is True


def test_eps_outside_the_root_is_wrong():
    result = verdict(2, lambda x: (x - x.mean((2, 3), keepdims=True)) / (x.std((2, 3), keepdims=True) + 1e-5))
    assert result.right is False and "under the root" in result.message


def test_the_view_that_is_flipped_is_read_from_the_pair():
    def second(views):
        return np.mean([p[..., ::-1] if place == 1 else p for place, (p, _) in enumerate(views)], axis=0).argmax(0)

    result = verdict(6, second)
    assert result.right is False and "read `flipped`" in result.message


def test_absent_classes_in_the_mean_and_broken_options_get_a_hint():
    def mean_of_all(pixels):
        raw = np.where(np.array(pixels) > 0, np.sqrt(sum(pixels) / np.maximum(pixels, 1)), 1)
        return raw / raw.mean()

    assert "must not count in the mean" in verdict(5, mean_of_all).message
    assert "cannot be built with these options" in verdict(4, {**SMALL, "widths": (12.5, 24, 48, 96)}).message
