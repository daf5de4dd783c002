"""Notebook 07's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from course.exercises import grade, names
from seglib import metrics

NOTEBOOK = "07_human_segmentation"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def iou(logits, labels, threshold=0.0, ignore=True):
    result, truth, valid = logits[:, 0] > threshold, labels == 1, (labels != 255) | (not ignore)
    return ((result & truth & valid).sum() / ((result | truth) & valid).sum()).item()


def resized(mask, height, width, centre=0.5, rule=np.floor):
    rows = [min(int(rule((i + centre) * mask.shape[0] / height)), mask.shape[0] - 1) for i in range(height)]
    columns = [min(int(rule((j + centre) * mask.shape[1] / width)), mask.shape[1] - 1) for j in range(width)]
    return mask[rows][:, columns]


def bce(z, t):
    z, t = z[t != 255], t[t != 255]
    pixel = z.clamp(min=0) - z * t + torch.log1p(torch.exp(-z.abs()))
    return pixel.sum() / max(len(pixel), 1)


def naive(z, t, eps=0.0):
    p, t = torch.sigmoid(z[t != 255]), t[t != 255]
    p = p.clamp(eps, 1 - eps) if eps else p
    return -(t * p.log() + (1 - t) * (1 - p).log()).mean()


def adam(weight, gradient, m, v, step, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    return weight - lr * (m / (1 - beta1**step)) / ((v / (1 - beta2**step)) ** 0.5 + eps), m, v


def paste(figure, alpha, background):
    alpha = alpha[..., None]
    return (alpha * figure + (1 - alpha) * background).round().astype(np.uint8)


class FlipAveraged(nn.Module):
    """The right answer to exercise 6; `mistaken` gives subclasses that make one mistake each."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return (self.network(images).softmax(1) + self.network(images.flip(-1)).flip(-1).softmax(1)) / 2


def mistaken(forward):
    return type("Mistaken", (FlipAveraged,), {"forward": lambda self, x: forward(self.network, x)})


class Hidden(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.networks = [network]

    def forward(self, images):
        return FlipAveraged(self.networks[0])(images)


RIGHT = {1: resized, 2: bce, 3: adam, 4: iou, 5: paste, 6: FlipAveraged}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    assert verdict(number, RIGHT[number]).right is True


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (4, lambda z, t: metrics.iou(metrics.confusion_matrix(t.numpy(), (z[:, 0].sigmoid() > 0.5).numpy(), 2))[1]),
        (1, lambda m, h, w: cv2.resize(m, (w, h), interpolation=cv2.INTER_NEAREST_EXACT)),
        (1, lambda m, h, w: np.asarray(Image.fromarray(m).resize((w, h), Image.Resampling.NEAREST))),
        (1, lambda m, h, w: F.interpolate(torch.tensor(m)[None, None].float(), (h, w), mode="nearest-exact")[0, 0]),
        (
            2,
            lambda z, t: (
                sum(F.binary_cross_entropy_with_logits(z[t != 255], t[t != 255].float(), reduction="none"))
                / max(int((t != 255).sum()), 1)
            ),
        ),
        (2, lambda z, t: bce(z, t).item()),
        (3, lambda *inputs: torch.tensor(adam(*inputs), dtype=torch.float64)),
        (5, lambda f, a, b: (b + a[..., None] * (f.astype(float) - b) + 0.5).astype(np.uint8)),
    ],
)
def test_other_ways_to_the_same_are_accepted(number, answer):
    result = verdict(number, answer)
    assert result.right is True, result.message


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
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
        lambda *inputs: (None, 1, 2),
        np.full((4, 4), np.nan),
        {"a": 1},
    ],
)
def test_nonsense_is_rejected_and_never_raises(number, nonsense):
    result = verdict(number, nonsense)
    assert result.right is not True and len(result.message) < 400


def stepped(change):
    """An answer to exercise 4 whose weight, m and v are changed after the right step."""
    return lambda w, g, m, v, *rest: change(w, g, m, v, rest, adam(w, g, m, v, *rest))


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (4, lambda z, t: iou(z, t, 0.5), "before it"),
        (4, lambda z, t: iou(z, t, ignore=False), "false positives"),
        (4, lambda z, t: iou(z, t.clamp(max=1)), "treated as foreground"),
        (4, lambda z, t: (iou(z[:1], t[:1]) + iou(z[1:], t[1:])) / 2, "mean IoU over images"),
        (4, lambda z, t: ((z[:, 0] > 0) == (t == 1))[t != 255].float().mean(), "accuracy"),
        (4, lambda z, t: 2 * iou(z, t) / (1 + iou(z, t)), "Dice"),
        (4, lambda z, t: iou(-z, torch.where(t == 255, t, 1 - t)), "of the background"),
        (4, lambda z, t: iou(z + 100, t), "every pixel was predicted"),
        (4, lambda z, t: iou(z.argmax(1, keepdim=True), t), "argmax of one channel is always 0"),
        (4, lambda z, t: 0.987, "logits above 0"),
        (4, lambda z, t: iou(z, t) if z.shape[2] == 2 else 0.9, "logits above 0"),
        (1, lambda m, h, w: resized(m, w, h), "swapped"),
        (1, lambda m, h, w: m, "must have that shape"),
        (1, lambda m, h, w: cv2.resize(m, (w, h)), "do not average labels"),
        (1, lambda m, h, w: cv2.resize(m, (w, h), interpolation=cv2.INTER_AREA), "do not average labels"),
        (1, lambda m, h, w: cv2.resize(m, (w, h), interpolation=cv2.INTER_NEAREST), "upper left corner"),
        (1, lambda m, h, w: resized(m, h, w, 0.0), "upper left corner"),
        (1, lambda m, h, w: resized(m, h, w, 0.5, np.round), "often the next pixel"),
        (1, lambda m, h, w: resized(m, h, w, 0.5, np.ceil), "not ceil"),
        (
            1,
            lambda m, h, w: m[np.linspace(0, m.shape[0] - 1, h).round().astype(int)][
                :, np.linspace(0, m.shape[1] - 1, w).round().astype(int)
            ],
            "align_corners",
        ),
        (1, lambda m, h, w: np.zeros((h, w)), "has the label at row"),
        (2, lambda z, t: bce(z, t) * (t != 255).sum(), "divide by the number"),
        (2, lambda z, t: bce(z, t) * (t != 255).sum() / t.numel(), "by which you divide includes them"),
        (2, lambda z, t: bce(z, torch.where(t == 255, 0, t)), "treated as background"),
        (2, lambda z, t: F.binary_cross_entropy_with_logits(z, t.float()), "used as a value"),
        (2, lambda z, t: bce(-z, t), "swapped"),
        (2, lambda z, t: bce(z[t == 1], t[t == 1]), "only foreground pixels"),
        (2, lambda z, t: -bce(z, t), "the sign"),
        (2, lambda z, t: 1.0, "max(z, 0)"),
        (2, naive, "use only exp(-|z|)"),
        (2, lambda z, t: naive(z, t, 1e-6), "clipping the probability"),
        (2, lambda z, t: bce(z, t).clamp(max=300), "for a logit of 1000"),
        (
            2,
            lambda z, t: bce(z, t) * len(z[t != 255]) / len(z[t != 255]) if (t != 255).any() else np.nan,
            "divide by at least 1",
        ),
        (
            3,
            lambda w, g, m, v, step, *rest: (adam(w, g, m, v, 10**6, *rest)[0], *adam(w, g, m, v, step, *rest)[1:]),
            "corrections are missing",
        ),
        (3, stepped(lambda w, g, m, v, rest, right: (2 * w - right[0], *right[1:])), "subtract the step"),
        (
            3,
            stepped(
                lambda w, g, m, v, r, right: (
                    w - r[1] * right[1] / (1 - r[2] ** r[0]) / (right[2] / (1 - r[3] ** r[0]) + r[4]),
                    *right[1:],
                )
            ),
            "square root of v",
        ),
        (
            3,
            stepped(
                lambda w, g, m, v, r, right: (
                    w - r[1] * right[1] / (1 - r[2] ** r[0]) / (right[2] / (1 - r[3] ** r[0]) + r[4]) ** 0.5,
                    *right[1:],
                )
            ),
            "outside the square root",
        ),
        (
            3,
            stepped(
                lambda w, g, m, v, r, right: (right[0], right[1] / (1 - r[2] ** r[0]), right[2] / (1 - r[3] ** r[0]))
            ),
            "return m and v",
        ),
        (3, lambda w, g, m, v, step, *rest: adam(w, g, m, v, step + 1, *rest), "do not add 1"),
        (3, lambda w, g, m, v, step, lr, b1, b2, eps: adam(w, g, m, v, step, lr, b2, b1, eps), "are swapped"),
        (3, lambda w, g, m, v, step, lr, b1, b2, e: adam(w, g, m, v, step, lr, 1 - b1, 1 - b2, e), "old mean has"),
        (3, stepped(lambda w, g, m, v, r, right: adam_with_first_power(w, g, m, v, *r)), "*squared*"),
        (
            3,
            stepped(
                lambda w, g, m, v, r, right: (
                    w - r[1] * m / (1 - r[2] ** r[0]) / ((right[2] / (1 - r[3] ** r[0])) ** 0.5 + r[4]),
                    *right[1:],
                )
            ),
            "old m",
        ),
        (3, stepped(lambda w, g, m, v, r, right: (w - r[1] * g, *right[1:])), "plain gradient descent"),
        (3, lambda *inputs: adam(*inputs)[0], "three numbers"),
        (3, lambda *inputs: (0, 0, 0), "update m and v"),
        (5, lambda f, a, b: (a[..., None] * f + (1 - a[..., None]) * b).astype(np.uint8), "truncated"),
        (5, lambda f, a, b: paste(f, 1 - a, b), "alpha is inverted"),
        (5, lambda f, a, b: paste(f, a > 0.5, b), "thresholded"),
        (5, lambda f, a, b: (a[..., None] * f).astype(np.uint8) + b, "weighted by 1 - alpha"),
        (5, lambda f, a, b: paste(f, a, 0 * b), "background is missing"),
        (
            5,
            lambda f, a, b: (a[..., None] * f).astype(np.uint8) + ((1 - a[..., None]) * b).astype(np.uint8),
            "add first",
        ),
        (5, lambda f, a, b: a[..., None] * f + (1 - a[..., None]) * b, "must be uint8"),
        (5, lambda f, a, b: f[:-1], "the images' shape"),
        (5, lambda f, a, b: f, "then rounded"),
        (6, lambda network: network.weight, "must be an nn.Module"),
        (6, lambda network: nn.Identity(), "must return probabilities"),
        (6, Hidden, "keep the network as an attribute"),
        (6, mistaken(lambda net, x: (net(x).softmax(1) + net(x.flip(-1)).softmax(1)) / 2), "prediction back"),
        (6, mistaken(lambda net, x: net(x).softmax(1)), "without the flipped image"),
        (6, mistaken(lambda net, x: net(x.flip(-1)).flip(-1).softmax(1)), "average both"),
        (6, mistaken(lambda net, x: (net(x) + net(x.flip(-1)).flip(-1)) / 2), "these are logits"),
        (6, mistaken(lambda net, x: ((net(x) + net(x.flip(-1)).flip(-1)) / 2).softmax(1)), "averaged logits"),
        (6, mistaken(lambda net, x: (net(x).softmax(1) + net(x.flip(-2)).flip(-2).softmax(1)) / 2), "top and bottom"),
        (6, mistaken(lambda net, x: net(x).softmax(1) + net(x.flip(-1)).flip(-1).softmax(1)), "sum of both"),
        (6, mistaken(lambda net, x: (net(x).softmax(0) + net(x.flip(-1)).flip(-1).softmax(0)) / 2), "dimension 1"),
        (6, mistaken(lambda net, x: torch.zeros(2, 2, 4, 5)), "each pixel is the mean"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    result = verdict(number, answer)
    assert result.right is False and word in result.message, result.message


def adam_with_first_power(w, g, m, v, step, lr, beta1, beta2, eps):
    v = beta2 * v + (1 - beta2) * abs(g)
    m = beta1 * m + (1 - beta1) * g
    return w - lr * (m / (1 - beta1**step)) / ((v / (1 - beta2**step)) ** 0.5 + eps), m, v


def test_the_mistakes_of_shapes_and_of_uint8_get_their_own_hint():
    def squeezed(logits, labels):
        return iou(logits.squeeze()[:, None], labels)

    assert "with logits or logits.squeeze()" in verdict(4, squeezed).message
    wrapped = verdict(5, lambda f, a, b: np.round(b + a[..., None] * (f - b)).astype(np.uint8))
    assert "wraps around" in wrapped.message
    fliplr = mistaken(lambda net, x: (net(x).softmax(1) + torch.fliplr(net(torch.fliplr(x)).softmax(1))) / 2)
    assert "as torch.fliplr does" in verdict(6, fliplr).message
