"""Notebook 10's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

from itertools import combinations

import numpy as np
import pytest
import torch

from course.exercises import grade, names

NOTEBOOK = "10_your_own_data"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def rasterize(polygon, height, width, offset=0.5, swap=False):
    mask = np.zeros((height, width), np.uint8)
    corners = [(y, x) for x, y in polygon] if swap else polygon
    for row in range(height):
        for column in range(width):
            x, y, inside = column + offset, row + offset, False
            for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
                if (y1 > y) != (y2 > y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) > x:
                    inside = not inside
            mask[row, column] = inside
    return mask


def split(names, groups, val_share, reverse=False):
    members = {group: [n for n, g in zip(names, groups, strict=True) if g == group] for group in groups}
    best = None
    for count in range(1, len(members)):
        for chosen in combinations(members, count):
            size = sum(len(members[group]) for group in chosen)
            miss = abs(size - val_share * len(names))
            if best is None or miss < best[0]:
                best = miss, chosen
    val = [name for group in best[1] for name in members[group]]
    train = [name for name in names if name not in val]
    return (val, train) if reverse else (train, val)


def entropy(p):
    p = np.clip(p, 1e-12, 1)
    return -(p * np.log(p)).sum(0).mean() / np.log(len(p))


def blend(image, alpha, background):
    alpha = alpha[..., None]
    return (alpha * image + (1 - alpha) * background).round().astype(np.uint8)


def tiled(predict, image, size, overlap, shift_back=True, clip=False, step=None, combine="mean"):
    height, width = image.shape[:2]

    def starts(length):
        if not shift_back:
            return range(0, max(1, length if clip else length - size + 1), step or size - overlap)
        return [*range(0, max(0, length - size), step or size - overlap), max(0, length - size)]

    result, count, calls = None, np.zeros((height, width)), 0
    for top in starts(height):
        for left in starts(width):
            window = np.s_[..., top : top + size, left : left + size]
            probabilities = predict(image[top : top + size, left : left + size])
            if result is None:
                result = np.zeros((len(probabilities), height, width))
            if combine == "last":
                result[window] = probabilities
            elif combine == "first":
                result[window] = np.where(count[window] == 0, probabilities, result[window])
            else:
                result[window] += probabilities
            count[window] += 1
            calls += 1
    if combine == "mean":
        return result / np.maximum(count, 1)
    return result / calls if combine == "mean of all" else result


RIGHT = {1: rasterize, 2: split, 3: entropy, 4: tiled, 5: blend}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    assert verdict(number, RIGHT[number]).right is True


def test_a_tensor_is_accepted_as_well():
    assert verdict(1, lambda *inputs: torch.tensor(rasterize(*inputs))).right is True
    assert verdict(3, lambda p: torch.tensor(entropy(p))).right is True
    assert verdict(4, lambda *inputs: torch.tensor(tiled(*inputs))).right is True


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
    assert verdict(number, stub).right is None


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize(
    "nonsense",
    [
        3.7,
        "text",
        [1, 2],
        object(),
        int,
        lambda: 1,
        lambda *inputs: "text",
        lambda *inputs: 1 / 0,
        lambda *inputs: [[1]],
    ],
)
def test_nonsense_gets_a_short_hint_and_never_raises(number, nonsense):
    result = verdict(number, nonsense)
    assert result.right is not True and len(result.message) < 400


def leaking(names, groups, val_share):
    count = round(val_share * len(names))
    return names[count:], names[:count]


def largest_group(names, groups, val_share):
    group = max(set(groups), key=groups.count)
    sides = {True: [], False: []}
    for name, g in zip(names, groups, strict=True):
        sides[g == group].append(name)
    return sides[False], sides[True]


def unclipped(p):
    with np.errstate(all="ignore"):
        return -(p * np.log(p)).sum(0).mean() / np.log(len(p))


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (1, lambda *inputs: rasterize(*inputs, offset=0.0), "center is at"),
        (1, lambda *inputs: rasterize(*inputs, swap=True), "x and y are swapped"),
        (1, lambda *inputs: 1 - rasterize(*inputs), "inside and outside"),
        (1, lambda *inputs: rasterize(*inputs).T, "transposed"),
        (1, lambda polygon, height, width: np.zeros((height, width)), "row 0, column 0 is inside"),
        (2, leaking, "both lists"),
        (2, lambda names, groups, share: (names, []), "empty"),
        (2, lambda names, groups, share: (names, [], 3), "two lists are expected"),
        (2, lambda names, groups, share: (names, 3), "two lists are expected"),
        (2, lambda names, groups, share: (names, names), "one of the lists"),
        (2, lambda *inputs: split(*inputs, reverse=True), "swapped"),
        (2, largest_group, "choice of groups is closer"),
        (3, lambda p: entropy(p) * np.log(len(p)), "divide by log C"),
        (3, lambda p: -entropy(p), "sign"),
        (3, lambda p: entropy(p) / len(p), "sum over the classes"),
        (3, lambda p: (1 - p.max(0)).mean(), "section above"),
        (3, unclipped, "NaN"),
        (4, lambda *inputs: tiled(*inputs, shift_back=False), "in no tile"),
        (4, lambda *inputs: tiled(*inputs, shift_back=False, clip=True), "move the last tile back"),
        (4, lambda *inputs: tiled(*inputs, step=inputs[2]), "the step from tile to tile"),
        (4, lambda *inputs: tiled(*inputs, step=1), "are enough"),
        (4, lambda *inputs: tiled(*inputs, combine="sum"), "this is the sum"),
        (4, lambda *inputs: tiled(*inputs, combine="mean of all"), "not by the number of all tiles"),
        (4, lambda *inputs: tiled(*inputs, combine="last"), "overwrites an earlier one"),
        (4, lambda *inputs: tiled(*inputs, combine="first"), "is ignored where an earlier one"),
        (4, lambda *inputs: 2 * tiled(*inputs), "add the probabilities of each tile"),
        (4, lambda *inputs: tiled(*inputs).argmax(0), "return probabilities of shape"),
        (4, lambda predict, image, size, overlap: predict(image), "instead of 32 x 32"),
        (4, lambda predict, image, size, overlap: np.zeros((3, *image.shape[:2])), "call `predict` for each tile"),
        (4, lambda predict, image, size, overlap: predict(image[..., 0]), "takes a tile (h, w, 3)"),
        (4, lambda predict, image, size, overlap: predict(image[:size, :size] // 2), "a part of the image as it is"),
        (5, lambda image, alpha, ground: blend(ground, alpha, image), "swapped"),
        (5, lambda image, alpha, ground: np.where(alpha[..., None] > 0.5, image, ground), "hard mask"),
        (
            5,
            lambda image, alpha, ground: (alpha[..., None] * image + (1 - alpha[..., None]) * ground).astype(np.uint8),
            "round first",
        ),
        (5, lambda image, alpha, ground: blend(image, alpha, ground).astype(float), "uint8"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    result = verdict(number, answer)
    assert result.right is False and word in result.message, result


def starts(length, size, overlap):
    return [*range(0, max(1, length - size + 1), size - overlap), max(0, length - size)]


def doubled(predict, image, size, overlap):
    for top in starts(image.shape[0], size, overlap):
        for left in starts(image.shape[1], size, overlap):
            result = predict(image[top : top + size, left : left + size])
    return result


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (1, lambda *inputs: 255 * rasterize(*inputs), "the values should be 0 and 1"),
        (1, lambda polygon, height, width: np.zeros((height, width)), "(6.0, 0.0)"),
        (2, lambda *inputs: [[(name, 1) for name in part] for part in split(*inputs)], "yours contain ('"),
        (4, lambda predict, *rest: tiled(lambda tile: predict(tile)[:3], *rest), "with 4 classes"),
        (
            4,
            lambda predict, image, size, overlap: (
                tiled(predict, image, size, overlap)
                if image.shape[0] >= size
                else predict(image[image.shape[0] - size :, :size])
            ),
            "replace a negative start",
        ),
        (
            4,
            lambda predict, image, size, overlap: (doubled if image.shape[:2] == (size, size) else tiled)(
                predict, image, size, overlap
            ),
            "more than once",
        ),
        (5, lambda image, alpha, b: (b + alpha[..., None] * (image - b)).round().astype(np.uint8), "wraps around"),
    ],
)
def test_hints_that_say_what_the_checker_saw(number, answer, word):
    result = verdict(number, answer)
    assert result.right is False and word in result.message, result
