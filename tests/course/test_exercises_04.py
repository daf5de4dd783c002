"""Notebook 04's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course.exercises import grade, names
from seglib.models.hrnet import BasicBlock, HighResolutionModule

NOTEBOOK = "04_hrnet"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def rejected(number: int, answer, *words: str) -> None:
    result = verdict(number, answer)
    assert result.right is False, result
    for word in words:
        assert word in result.message


def sizes(height, width, branches, steps=2):
    result = []
    for _ in range(steps):
        height, width = (height + 1) // 2, (width + 1) // 2
    for _ in range(branches):
        result.append((height, width))
        height, width = (height + 1) // 2, (width + 1) // 2
    return result


def paths(widths, norm=2, up=1, down=9, middle="source", self_too=False):
    total = 0
    for i, target in enumerate(widths):
        for j, source in enumerate(widths):
            if i < j:
                total += up * source * target + norm * target
            elif i > j:
                width = source if middle == "source" else target
                chain = [source] + [width] * (i - j - 1) + [target]
                if middle == "none":
                    chain = [source, target]
                total += sum(down * a * b + norm * b for a, b in zip(chain, chain[1:], strict=False))
            elif self_too:
                total += source * target + norm * target
    return total


def receive(fine, coarse, weight):
    mixed = F.conv2d(coarse, weight[..., None, None])
    return F.relu(fine + F.interpolate(mixed, size=fine.shape[-2:], mode="bilinear", align_corners=False))


def up(fine, coarse, weight, **how):
    mixed = F.conv2d(coarse, weight[..., None, None])
    return F.interpolate(mixed, **({"size": fine.shape[-2:], "mode": "bilinear", "align_corners": False} | how))


def down(x, kernels):
    for place, kernel in enumerate(kernels):
        if place:
            x = x.relu()
        x = F.conv2d(x, kernel, stride=2, padding=1)
    return x


class LightBlock(nn.Module):
    """The right answer to exercise 1; each subclass makes one mistake."""

    depthwise: dict = {"groups": 6, "bias": False}
    pointwise: dict = {"bias": False}

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, **self.depthwise)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 1, **self.pointwise)
        self.bn2 = nn.BatchNorm2d(channels)

    def change(self, x):
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))

    def forward(self, x):
        return F.relu(x + self.change(x))


RIGHT = {1: LightBlock, 2: sizes, 3: paths, 4: receive, 5: down}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    assert verdict(number, RIGHT[number]).right is True


def test_other_forms_of_a_right_answer_are_accepted():
    assert verdict(2, lambda *inputs: torch.tensor(sizes(*inputs))).right is True
    assert verdict(2, lambda *inputs: [list(pair) for pair in sizes(*inputs)]).right is True
    assert verdict(3, lambda widths: np.int64(paths(widths))).right is True

    def from_the_package(widths):
        return sum(p.numel() for p in HighResolutionModule(widths, (1,), "bilinear").fuse_layers.parameters())

    assert verdict(3, from_the_package).right is True

    def upsampled_first(fine, coarse, weight):
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")
        return (fine + torch.einsum("oc,nchw->nohw", weight, coarse)).clamp(min=0)

    assert verdict(4, upsampled_first).right is True


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
    class Untouched(nn.Module):
        def __init__(self, channels):
            super().__init__()

    result = verdict(number, Untouched if number == 1 and callable(stub) else stub)
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


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (2, lambda h, w, n: [(h // 2 ** (i + 2), w // 2 ** (i + 2)) for i in range(n)], "rounded up"),
        (2, lambda h, w, n: sizes(w, h, n), "height comes first"),
        (2, lambda h, w, n: sizes(h, w, n, 0), "stem is missing"),
        (2, lambda h, w, n: sizes(h, w, n, 1), "downsamples twice"),
        (2, lambda h, w, n: sizes(h, w, n, 3), "first branch has the resolution"),
        (2, lambda h, w, n: sizes(h, w, 1) * n, "half the resolution"),
        (2, lambda h, w, n: sizes(h, w, n)[::-1], "highest resolution"),
        (2, lambda h, w, n: sizes(h, w, n)[:-1], "have 4 sizes"),
        (2, lambda h, w, n: [(7, 7)] * n, "each branch once more"),
        (2, lambda h, w, n: 64, "list of pairs"),
        (3, lambda widths: paths(widths, norm=0), "normalizations are missing"),
        (3, lambda widths: paths(widths, norm=1), "no bias, but"),
        (3, lambda widths: paths(widths, norm=3), "no bias: the"),
        (3, lambda widths: paths(widths, up=9), "path up is a 1x1"),
        (3, lambda widths: paths(widths, down=1), "3x3"),
        (3, lambda widths: paths(widths, middle="none"), "two downsampling steps"),
        (3, lambda widths: paths(widths, middle="target"), "only the last step"),
        (3, lambda widths: paths(widths, self_too=True), "to itself"),
        (3, lambda widths: paths(widths) - paths(widths, up=0, down=0, norm=0) - 7, "for a path up"),
        (4, lambda f, c, w: f + up(f, c, w), "after the sum is missing"),
        (4, lambda f, c, w: f + up(f, c, w).relu(), "not before"),
        (4, lambda f, c, w: (f + up(f, c, w).relu()).relu(), "remove the ReLU before the sum"),
        (4, lambda f, c, w: f.relu() + up(f, c, w).relu(), "negative terms are lost"),
        (4, lambda f, c, w: up(f, c, w).relu(), "term of the coarse branch"),
        (4, lambda f, c, w: (f + up(f, c, w, mode="nearest", align_corners=None)).relu(), "nearest"),
        (4, lambda f, c, w: (f + up(f, c, w, align_corners=True)).relu(), "align_corners"),
        (4, lambda f, c, w: (f + up(f, c, w, size=None, scale_factor=2)).relu(), "size of the fine branch"),
        (
            4,
            lambda f, c, w: (f + up(f, c, w, size=None, scale_factor=2)[..., : f.shape[2], : f.shape[3]]).relu(),
            "size of the fine branch",
        ),
        (4, lambda f, c, w: f * 0, "to the coarse branch"),
        (4, lambda f, c, w: c, "must have shape"),
        (4, lambda f, c, w: f.numpy(), "as a tensor"),
        (5, lambda x, kernels: down(x, kernels).relu(), "after the last step"),
        (5, lambda x, kernels: down(x.relu(), kernels), "do not apply ReLU to the input"),
        (5, lambda x, kernels: down(x, kernels) + 1, "with a ReLU between"),
        (5, lambda x, kernels: F.conv2d(x, kernels[0], padding=1), "stride=2"),
        (5, lambda x, kernels: F.conv2d(x, kernels[0], stride=2), "padding=1"),
        (5, lambda x, kernels: down(x, kernels[:1]), "must have shape"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    rejected(number, answer, word)


def test_a_path_down_without_relus_between_is_named():
    def linear(x, kernels):
        for kernel in kernels:
            x = F.conv2d(x, kernel, stride=2, padding=1)
        return x

    rejected(5, linear, "between two steps")


def test_paths_that_lead_in_one_direction_only_are_named():
    def one_way(keep):
        layers = HighResolutionModule
        return lambda widths: sum(
            p.numel()
            for i, row in enumerate(layers(widths, (1,), "bilinear").fuse_layers)
            for j, path in enumerate(row)
            if keep(i, j)
            for p in path.parameters()
        )

    rejected(3, one_way(lambda i, j: i > j), "paths up are missing")
    rejected(3, one_way(lambda i, j: i < j), "paths down are missing")


class OrdinaryKernel(LightBlock):
    depthwise = {"bias": False}


class GroupedPointwise(LightBlock):
    pointwise = {"bias": False, "groups": 2}


class Biased(LightBlock):
    pointwise = {}


class NoSecondNorm(LightBlock):
    def change(self, x):
        return self.conv2(F.relu(self.bn1(self.conv1(x))))


class UnusedLayer(LightBlock):
    def __init__(self, channels):
        super().__init__(channels)
        self.extra = nn.Conv2d(channels, channels, 1)


class NoReluBetween(LightBlock):
    def change(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


class ReluFirst(LightBlock):
    def change(self, x):
        return super().change(x + 1)


class NoReluAtTheEnd(LightBlock):
    def forward(self, x):
        return x + self.change(x)


class NoShortcut(LightBlock):
    def forward(self, x):
        return F.relu(self.change(x))


class ReluBeforeTheSum(LightBlock):
    def forward(self, x):
        return F.relu(x + F.relu(self.change(x)))


class Doubled(LightBlock):
    def forward(self, x):
        return F.relu(x + 2 * self.change(x))


class OneConvolution(LightBlock):
    def change(self, x):
        return self.bn1(self.conv1(x))


class Shrinking(LightBlock):
    def forward(self, x):
        return super().forward(x)[..., 1:]


class Silent(LightBlock):
    def forward(self, x):
        super().forward(x)


class NoInit(nn.Module):
    def __init__(self, channels):
        self.conv1 = nn.Conv2d(channels, channels, 3)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (OrdinaryKernel, "groups=1"),
        (GroupedPointwise, "combine all channels"),
        (Biased, "no bias"),
        (NoSecondNorm, "followed by one batch normalization"),
        (UnusedLayer, "should have 114 parameters"),
        (NoReluBetween, "there should be one ReLU"),
        (ReluFirst, "as it is"),
        (NoReluAtTheEnd, "after the sum is missing"),
        (NoShortcut, "shortcut is missing"),
        (ReluBeforeTheSum, "may be negative"),
        (Doubled, "input + result"),
        (OneConvolution, "but 1 convolutions ran"),
        (Shrinking, "must have shape"),
        (NoInit, "stopped with AttributeError"),
        (BasicBlock, "but 2 convolutions ran"),
        (lambda channels: 5, "nn.Module"),
    ],
)
def test_blocks_that_miss_one_thing(answer, word):
    rejected(1, answer, word)


def test_a_forward_without_a_result_is_not_attempted():
    assert verdict(1, Silent).right is None


class ReluBeforeNorm(LightBlock):
    def change(self, x):
        return self.bn2(F.relu(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class SharedNorm(LightBlock):
    def __init__(self, channels):
        super().__init__(channels)
        self.bn2 = self.bn1


def test_a_relu_before_a_normalization_and_a_shared_one_are_named():
    rejected(1, ReluBeforeNorm, "1x1 convolution as it is")
    rejected(1, SharedNorm, "used twice")
    rejected(1, BasicBlock, "(3x3, 3x3)")
