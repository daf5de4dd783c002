"""Notebook 09's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from course.exercises import grade, names
from seglib import metrics

NOTEBOOK = "09_evaluation"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def rejected(number: int, answer, words: str) -> None:
    result = verdict(number, answer)
    assert result.right is False, result
    assert words in result.message


def parts(confusion):
    return confusion.diagonal(), confusion.sum(1), confusion.sum(0)


def mean_iou(confusion):
    hits, true, predicted = parts(confusion)
    union = true + predicted - hits
    return (hits[union > 0] / union[union > 0]).mean()


def unguarded(confusion, fill=0.0):
    """Divides by empty unions too, as a beginner does."""
    hits, true, predicted = parts(confusion)
    return np.nan_to_num(hits / (true + predicted - hits), nan=fill).mean()


def only_in_truth(confusion):
    hits, true, predicted = parts(confusion)
    there = true > 0
    return (hits[there] / (true + predicted - hits)[there]).mean()


def erode(mask, width, outside=0, shape=cv2.MORPH_RECT):
    kernel = cv2.getStructuringElement(shape, (3, 3))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), *(width,) * 4, cv2.BORDER_CONSTANT, value=outside)
    return cv2.erode(padded, kernel, iterations=width)[width:-width, width:-width].astype(bool)


def band(mask, width):
    return mask & ~erode(mask, width)


def dilate(mask, width):
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=width).astype(bool)


def euclidean(mask, width):
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return mask & (distance[1:-1, 1:-1] <= width)


def error(score, width):
    return width * (1 - score) / (1 + score)


def interval(first, second, resamples, seed, ends=(2.5, 97.5), paired=True, replace=True, score=None):
    score = score or (lambda matrices: metrics.mean_iou(matrices.sum(0)))
    rng, count, differences = np.random.default_rng(seed + 7), len(first), []
    for _ in range(resamples):
        drawn = rng.choice(count, count, replace)
        other = drawn if paired else rng.choice(count, count, replace)
        differences.append(score(second[other]) - score(first[drawn]))
    return np.percentile(differences, ends)


def one_by_one(matrices):
    return np.array([metrics.mean_iou(matrix) for matrix in matrices])


class Temperature(nn.Module):
    """The right answer to exercise 6; subclasses make one mistake each."""

    start = 1.0

    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.full((1,), self.start))

    def forward(self, logits):
        return logits / self.temperature


class LogTemperature(Temperature):
    start = 0.0

    def forward(self, logits):
        return logits / self.temperature.exp()


def mistaken(forward, start=1.0):
    return type("Mistaken", (Temperature,), {"forward": forward, "start": start})


class NoParameter(nn.Module):
    def forward(self, logits):
        return logits / 1.0


RIGHT = {
    1: [mean_iou, lambda c: np.nanmean(np.diag(c) / (c.sum(0) + c.sum(1) - np.diag(c))), metrics.mean_iou],
    2: [lambda m: metrics.mean_iou(sum(m)), lambda m: mean_iou(np.sum(m, axis=0))],
    3: [
        band,
        lambda mask, width: band(mask, width).astype(np.uint8),
        lambda mask, width: mask & metrics.boundary_bands(mask, width),
    ],
    4: [error, lambda score, width: np.array([width - 2 * width * score / (1 + score)])],
    5: [interval, lambda *a: tuple(interval(*a)), lambda f, s, n, seed: list(interval(f, s, n, seed + 100))],
    6: [Temperature, LogTemperature],
}
WRONG = [
    (1, lambda c: metrics.dice(c).mean(), "mean Dice"),
    (1, lambda c: (parts(c)[0] / parts(c)[1]).mean(), "mean recall"),
    (1, lambda c: (parts(c)[0] / parts(c)[2]).mean(), "mean precision"),
    (1, metrics.pixel_accuracy, "pixel accuracy"),
    (1, metrics.frequency_weighted_iou, "weighted by class frequency"),
    (1, lambda c: (parts(c)[0] / (parts(c)[1] + parts(c)[2])).mean(), "counts TP twice"),
    (1, lambda c: parts(c)[0].sum() / (2 * c.sum() - parts(c)[0].sum()), "sums over all classes"),
    (1, unguarded, "counting it as 0"),
    (1, lambda c: unguarded(c, 1), "counting it as 1"),
    (1, lambda c: (np.diag(c) / (c.sum(0) + c.sum(1) - np.diag(c))).mean(), "NaN"),
    (1, only_in_truth, "only in the prediction must be included"),
    (1, lambda c: 100 * mean_iou(c), "between 0 and 1"),
    (1, metrics.iou, "return one number"),
    (2, lambda m: one_by_one(m).mean(), "averaged over images"),
    (2, lambda m: np.mean([unguarded(c) for c in m]), "absent classes as 0"),
    (2, lambda m: np.nanmean([metrics.iou(c) for c in m], axis=0).mean(), "averaged each class over images"),
    (2, lambda m: np.nanmean([metrics.iou(c) for c in m]), "images and classes together"),
    (2, lambda m: metrics.pixel_accuracy(sum(m)), "pixel accuracy"),
    (2, lambda m: metrics.dice(sum(m)).mean(), "mean Dice"),
    (3, lambda mask, width: erode(mask, width), "this is the eroded mask"),
    (3, lambda mask, width: mask & ~erode(mask, width, 1), "pixels outside the image are not in the mask"),
    (3, lambda mask, width: dilate(mask, width) & ~mask, "is around the mask"),
    (3, lambda mask, width: dilate(mask, width) & ~erode(mask, width), "both sides of the contour"),
    (3, lambda mask, width: mask, "the whole mask"),
    (3, lambda mask, width: band(mask, 1), "1 pixel wide for every width"),
    (3, lambda mask, width: band(mask, width - 1) if width > 1 else band(mask, 1), "too narrow"),
    (3, lambda mask, width: band(mask, width + 1), "too wide"),
    (3, lambda mask, width: mask & ~erode(mask, width, 0, cv2.MORPH_CROSS), "city-block"),
    (3, euclidean, "Chebyshev window is a full square"),
    (3, lambda mask, width: ~mask, "outside the mask"),
    (3, lambda mask, width: mask[1:], "shape of the mask"),
    (3, lambda mask, width: mask & False, "should be in the band"),
    (4, lambda score, width: width * (1 - score), "forgets that the union"),
    (4, lambda score, width: width * (1 + score) / (1 - score), "inverted"),
    (4, lambda score, width: width * (1 - score) / score, "the intersection shrinks as well"),
    (4, lambda score, width: error(score, 1), "multiply by the width"),
    (4, lambda score, width: 2 * error(score, width), "twice the distance"),
    (4, lambda score, width: error(score, width) / 2, "half the distance"),
    (5, lambda f, s, n, seed: interval(s, f, n, seed), "second minus first"),
    (5, lambda *a: interval(*a, paired=False), "same resampled images for both"),
    (
        5,
        lambda f, s, n, seed: interval(one_by_one(f), one_by_one(s), n, seed, score=np.mean),
        "averaged the images' mIoU",
    ),
    (5, lambda *a: interval(*a, ends=(5, 95)), "90% interval"),
    (5, lambda *a: interval(*a, ends=(25, 75)), "50% interval"),
    (5, lambda *a: interval(*a, replace=False), "with replacement"),
    (5, lambda *a: interval(*a)[::-1], "lower end"),
    (
        5,
        lambda f, s, n, seed: interval(
            np.zeros_like(f), f, n, seed, score=lambda m: metrics.mean_iou(m.sum(0)) if m.any() else 0
        ),
        "first network's mIoU",
    ),
    (5, lambda *a: (0.0, 0.5), "wider than expected"),
    (5, lambda *a: (np.nan, np.nan), "NaN"),
    (6, dict, "must be an nn.Module"),
    (6, nn.Identity, "nn.Parameter"),
    (6, NoParameter, "nn.Parameter"),
    (6, lambda: nn.Conv2d(3, 3, 1), "learnable parameters"),
    (6, mistaken(lambda self, z: z * self.temperature), "you multiplied"),
    (6, mistaken(lambda self, z: (z / self.temperature).softmax(1)), "these are probabilities"),
    (6, mistaken(lambda self, z: (z / self.temperature).log_softmax(1)), "log-probabilities"),
    (6, mistaken(lambda self, z: z - self.temperature + 1), "should be the logits divided"),
    (6, mistaken(lambda self, z: z + 0 * self.temperature), "no effect"),
    (6, mistaken(lambda self, z: z / self.temperature, start=1.5), "start it at 1"),
    (6, mistaken(lambda self, z: z / self.temperature.detach()), "no gradient"),
    (6, mistaken(lambda self, z: (z / self.temperature).sum(1)), "must return logits"),
]
GARBAGE = [
    7,
    "x",
    b"",
    [],
    {},
    [None],
    object(),
    np.nan,
    int,
    print,
    type,
    lambda: 1,
    lambda *a: "x",
    lambda *a: {},
    lambda *a: [[1], [2, 3]],
    lambda *a: 1 / 0,
    lambda *a: np.zeros((0, 3)),
    lambda *a: np.full((2, 2), np.nan),
]


def test_the_exercises_are_those_of_the_notebook():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number, answer", [(n, answer) for n, answers in RIGHT.items() for answer in answers])
def test_right_answers_pass(number, answer):
    assert verdict(number, answer).right is True, verdict(number, answer).message


@pytest.mark.parametrize("number, answer, words", WRONG, ids=[f"{n}: {words}" for n, _, words in WRONG])
def test_each_typical_mistake_gets_its_own_hint(number, answer, words):
    rejected(number, answer, words)


@pytest.mark.parametrize("number", RIGHT)
def test_garbage_is_refused_and_never_raises(number):
    for answer in GARBAGE:
        assert verdict(number, answer).right is False, answer


@pytest.mark.parametrize("number", RIGHT)
def test_unfinished_answers_are_not_called_wrong(number):
    def stub(*arguments):
        return None

    assert verdict(number, None).right is verdict(number, ...).right is verdict(number, stub).right is None


def drawn(first, second, resamples=1000, seed=0, images=None, size=None, ends=lambda d: np.percentile(d, (2.5, 97.5))):
    rng = np.random.default_rng(seed)
    draws = rng.integers(images or len(first), size=(resamples, size or len(first)))
    return ends([metrics.mean_iou(second[draw].sum(0)) - metrics.mean_iou(first[draw].sum(0)) for draw in draws])


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda f, s, n, seed: drawn(f, s, n, seed, images=len(f) - 1), "the last one included"),
        (lambda f, s, n, seed: drawn(f, s, n, seed, size=len(f) - 1), "draw n of n images"),
        (lambda f, s, n, seed: drawn(f, s, 6000, seed), "use the argument `resamples`"),
        (lambda f, s, n, seed: drawn(f, s, n, None), "create the generator from `seed`"),
        (lambda f, s, n, seed: drawn(f, s, n, 0), "does not depend on `seed`"),
        (
            lambda *a: drawn(*a, ends=lambda d: (np.mean(d) - 1.96 * np.std(d), np.mean(d) + 1.96 * np.std(d))),
            "without assuming a normal",
        ),
        (lambda *a: drawn(*a, ends=lambda d: np.percentile(d, (2.5, 50, 97.5))), "your result has 3"),
    ],
)
def test_intervals_that_are_only_nearly_right(answer, words):
    rejected(5, answer, words)
