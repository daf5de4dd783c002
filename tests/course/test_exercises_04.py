"""Notebook 04's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course.exercises import grade, names
from seglib.models.hrnet import BasicBlock, HighResolutionModule, Transition, concatenate, convolution

NOTEBOOK = "04_hrnet"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def rejected(number: int, answer, *words: str) -> None:
    result = verdict(number, answer)
    assert result.right is False, result
    for word in words:
        assert word in result.message


def sizes(height, width, streams, steps=2):
    result = []
    for _ in range(steps):
        height, width = (height + 1) // 2, (width + 1) // 2
    for _ in range(streams):
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


class TwoStreams(nn.Module):
    """The right answer to exercise 5; subclasses go wrong in one place."""

    activation: nn.Module | None = None
    exchanges = 1

    def __init__(self, num_classes: int, width: int):
        super().__init__()
        self.stem = nn.Sequential(convolution(3, width, stride=2), nn.ReLU(), convolution(width, width, stride=2))
        self.block = BasicBlock(width)
        self.start = Transition([width], [width, 2 * width])
        self.exchange = HighResolutionModule((width, 2 * width), dilations=(1,), upsampling="bilinear")
        self.classifier = nn.Conv2d(3 * width, num_classes, 1)

    def head(self, streams, size):
        return F.interpolate(self.classifier(concatenate(streams)), size=size, mode="bilinear")

    def forward(self, x):
        streams = self.start([self.block(self.stem(x))])
        for _ in range(self.exchanges):
            streams = self.exchange(streams)
        out = self.head(streams, x.shape[-2:])
        return self.activation(out) if self.activation else out


RIGHT = {1: sizes, 2: paths, 3: receive, 4: down, 5: TwoStreams}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    assert verdict(number, RIGHT[number]).right is True


def test_other_forms_of_a_right_answer_are_accepted():
    assert verdict(1, lambda *inputs: torch.tensor(sizes(*inputs))).right is True
    assert verdict(1, lambda *inputs: [list(pair) for pair in sizes(*inputs)]).right is True
    assert verdict(2, lambda widths: np.int64(paths(widths))).right is True

    def from_the_package(widths):
        return sum(p.numel() for p in HighResolutionModule(widths, (1,), "bilinear").fuse_layers.parameters())

    assert verdict(2, from_the_package).right is True

    def enlarged_first(fine, coarse, weight):
        coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear")
        return (fine + torch.einsum("oc,nchw->nohw", weight, coarse)).clamp(min=0)

    assert verdict(3, enlarged_first).right is True


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


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (1, lambda h, w, n: [(h // 2 ** (i + 2), w // 2 ** (i + 2)) for i in range(n)], "rounded up"),
        (1, lambda h, w, n: sizes(w, h, n), "height comes first"),
        (1, lambda h, w, n: sizes(h, w, n, 0), "stem is missing"),
        (1, lambda h, w, n: sizes(h, w, n, 1), "downsamples twice"),
        (1, lambda h, w, n: sizes(h, w, n, 3), "first stream keeps"),
        (1, lambda h, w, n: sizes(h, w, 1) * n, "half the resolution"),
        (1, lambda h, w, n: sizes(h, w, n)[::-1], "finest"),
        (1, lambda h, w, n: sizes(h, w, n)[:-1], "have 4 sizes"),
        (1, lambda h, w, n: [(7, 7)] * n, "one more each"),
        (1, lambda h, w, n: 64, "list of pairs"),
        (2, lambda widths: paths(widths, norm=0), "normalisations are missing"),
        (2, lambda widths: paths(widths, norm=1), "no bias, but"),
        (2, lambda widths: paths(widths, norm=3), "no bias: the"),
        (2, lambda widths: paths(widths, up=9), "way up is a 1x1"),
        (2, lambda widths: paths(widths, down=1), "3x3"),
        (2, lambda widths: paths(widths, middle="none"), "two downsampling steps"),
        (2, lambda widths: paths(widths, middle="target"), "last step alone"),
        (2, lambda widths: paths(widths, self_too=True), "to itself"),
        (2, lambda widths: paths(widths) - paths(widths, up=0, down=0, norm=0) - 7, "for a way up"),
        (3, lambda f, c, w: f + up(f, c, w), "after the sum is missing"),
        (3, lambda f, c, w: f + up(f, c, w).relu(), "not before"),
        (3, lambda f, c, w: (f + up(f, c, w).relu()).relu(), "before the sum too"),
        (3, lambda f, c, w: f.relu() + up(f, c, w).relu(), "count for nothing"),
        (3, lambda f, c, w: up(f, c, w).relu(), "message alone"),
        (3, lambda f, c, w: (f + up(f, c, w, mode="nearest", align_corners=None)).relu(), "nearest"),
        (3, lambda f, c, w: (f + up(f, c, w, align_corners=True)).relu(), "align_corners"),
        (3, lambda f, c, w: (f + up(f, c, w, size=None, scale_factor=2)).relu(), "own size"),
        (
            3,
            lambda f, c, w: (f + up(f, c, w, size=None, scale_factor=2)[..., : f.shape[2], : f.shape[3]]).relu(),
            "own size",
        ),
        (3, lambda f, c, w: f * 0, "mix the coarse"),
        (3, lambda f, c, w: c, "must have shape"),
        (3, lambda f, c, w: f.numpy(), "as a tensor"),
        (4, lambda x, kernels: down(x, kernels).relu(), "after the last step"),
        (4, lambda x, kernels: down(x.relu(), kernels), "already"),
        (4, lambda x, kernels: down(x, kernels) + 1, "a ReLU between two"),
        (4, lambda x, kernels: F.conv2d(x, kernels[0], padding=1), "stride=2"),
        (4, lambda x, kernels: F.conv2d(x, kernels[0], stride=2), "pad by 1"),
        (4, lambda x, kernels: down(x, kernels[:1]), "must have shape"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    rejected(number, answer, word)


def test_a_way_down_without_relus_between_is_named():
    def linear(x, kernels):
        for kernel in kernels:
            x = F.conv2d(x, kernel, stride=2, padding=1)
        return x

    rejected(4, linear, "between two steps")


def test_ways_that_lead_in_one_direction_only_are_named():
    def one_way(keep):
        layers = HighResolutionModule
        return lambda widths: sum(
            p.numel()
            for i, row in enumerate(layers(widths, (1,), "bilinear").fuse_layers)
            for j, path in enumerate(row)
            if keep(i, j)
            for p in path.parameters()
        )

    rejected(2, one_way(lambda i, j: i > j), "ways up are missing")
    rejected(2, one_way(lambda i, j: i < j), "ways down are missing")


class Softmax(TwoStreams):
    activation = nn.Softmax(dim=1)


class Rectified(TwoStreams):
    activation = nn.ReLU()


class NoHighResolutionModule(TwoStreams):
    exchanges = 0


class Twice(TwoStreams):
    exchanges = 2


class FixedClasses(TwoStreams):
    def __init__(self, num_classes, width):
        super().__init__(2, width)


class FixedWidth(TwoStreams):
    def __init__(self, num_classes, width):
        super().__init__(num_classes, 8)


class FineAlone(TwoStreams):
    def __init__(self, num_classes, width):
        super().__init__(num_classes, width)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def head(self, streams, size):
        return super().head(streams[:1], size)


class Quarter(TwoStreams):
    def head(self, streams, size):
        return self.classifier(concatenate(streams))


class FourTimes(TwoStreams):
    def head(self, streams, size):
        return F.interpolate(self.classifier(concatenate(streams)), scale_factor=4)


class NoStem(TwoStreams):
    def __init__(self, num_classes, width):
        super().__init__(num_classes, width)
        self.stem = convolution(3, width, stride=2)


class Silent(TwoStreams):
    def forward(self, x):
        super().forward(x)


class NoInit(nn.Module):
    def __init__(self, num_classes, width):
        self.block = BasicBlock(width)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Softmax, "leave softmax"),
        (Rectified, "drop the ReLU"),
        (NoHighResolutionModule, "ran 0 times"),
        (Twice, "ran 2 times"),
        (FixedClasses, "2 channels for 3 classes"),
        (FixedWidth, "should be"),
        (FineAlone, "fine stream alone"),
        (Quarter, "upsample them at the end"),
        (FourTimes, "must give logits"),
        (NoStem, "should be"),
        (NoInit, "stopped with AttributeError"),
        (lambda num_classes, width: 5, "nn.Module"),
    ],
)
def test_networks_that_are_not_quite_two_streams(answer, word):
    rejected(5, answer, word)


def test_a_forward_without_a_result_is_not_attempted():
    assert verdict(5, Silent).right is None
