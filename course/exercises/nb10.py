"""Checkers for notebook 10: polygons to masks, splits without leakage, uncertainty, alpha blending."""

import numpy as np

from . import Hint, exercise
from .answers import attempt, number

POLYGONS = {
    "a triangle": ([(0.0, 0.0), (6.0, 0.0), (0.0, 4.0)], 5, 7),
    "a shape with a notch": ([(1.0, 1.0), (7.2, 0.6), (7.4, 5.3), (4.1, 2.2), (0.8, 5.4)], 6, 9),
    "a shape beyond the image": ([(-3.0, 1.2), (4.6, -2.0), (12.0, 3.1), (5.0, 9.0)], 6, 8),
}
VIDEOS = (4, 3, 1, 7, 2, 3)  # number of frames of each video


@exercise("10_your_own_data/1")
def rasterize(answer):
    """Check that `answer(polygon, height, width)` returns a mask that is 1 where a pixel's center is inside."""
    for name, (polygon, height, width) in POLYGONS.items():
        result = np.asarray(answer(list(polygon), height, width))
        if result.shape == (width, height) != (height, width):
            raise Hint("the array is transposed: its shape is (height, width), rows first")
        if result.shape != (height, width):
            raise Hint(f"the array must have shape {(height, width)}, yours has {result.shape}")
        right = _inside(polygon, height, width, 0.5)
        if np.array_equal(result.astype(float), right):
            continue
        if np.array_equal(result.astype(float), 1 - right):
            raise Hint("inside and outside are swapped: a point is inside if the number of crossings is odd")
        if np.array_equal(result.astype(float), _inside(polygon, height, width, 0.0)):
            raise Hint("this tests the corner of each pixel; its center is at (column + 0.5, row + 0.5)")
        swapped = [(y, x) for x, y in polygon]
        if np.array_equal(result.astype(float), _inside(swapped, height, width, 0.5)):
            raise Hint("x and y are swapped: x is the column and y the row")
        row, column = np.argwhere(result.astype(float) != right)[0]
        where = "inside" if right[row, column] else "outside"
        raise Hint(f"{name}: the center of the pixel in row {row}, column {column} is {where}")


def _inside(polygon, height: int, width: int, offset: float) -> np.ndarray:
    """Rasterize a polygon by the even-odd rule, tested at `offset` from the upper left corner of each pixel."""
    y, x = np.mgrid[:height, :width] + offset
    odd = np.zeros((height, width), bool)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            odd ^= crosses & (x1 + (y - y1) * (x2 - x1) / (y2 - y1) > x)
    return odd.astype(float)


@exercise("10_your_own_data/2")
def split_by_group(answer):
    """Check that `answer(names, groups, val_share)` returns training and validation names without splitting a group."""
    groups = [f"video {number}" for number, count in enumerate(VIDEOS) for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(groups))
    names, groups = [f"{place:02}.jpg" for place in order], [groups[place] for place in order]
    for val_share in (0.15, 0.25, 0.5):
        result = answer(list(names), list(groups), val_share)
        train, val = attempt("two lists are expected, and reading yours", lambda pair=result: map(list, pair))
        if sorted([*train, *val]) != sorted(names):
            raise Hint(
                f"each of the {len(names)} names must be in one of the lists; yours have {len(train) + len(val)}"
            )
        group_of = dict(zip(names, groups, strict=True))
        if both := {group_of[name] for name in train} & {group_of[name] for name in val}:
            raise Hint(f"{min(both)} has frames in both lists, which is leakage; keep each group together")
        if not train or not val:
            raise Hint("one of the lists is empty")
        _check_share(len(train), len(val), val_share)
    train, val = answer(["a", "b"], ["video 0", "video 1"], 0.1)
    if not train or not val:
        raise Hint("for two groups of one image and val_share 0.1, one list is empty: each needs at least one group")


def _check_share(train: int, val: int, val_share: float) -> None:
    """Raise a Hint unless the validation set is as close to `val_share` of all images as whole groups allow."""
    sizes = {0}
    for count in VIDEOS:
        sizes |= {size + count for size in sizes}
    total = sum(VIDEOS)
    best = min(abs(size - val_share * total) for size in sizes - {0, total})
    if abs(val - val_share * total) > best + 1e-9:
        if abs(train - val_share * total) <= best + 1e-9:
            raise Hint("the lists are swapped: return training first, then validation")
        raise Hint(
            f"val_share {val_share} of {total} images is {val_share * total:.1f}; another choice of groups is closer "
            f"than your {val}: try all combinations of groups"
        )


@exercise("10_your_own_data/3")
def mean_entropy(answer):
    """Check that `answer(probabilities)` returns the mean entropy per pixel of (C, H, W), divided by log C."""
    rng = np.random.default_rng(3)
    for classes in (2, 5):
        logits = rng.normal(size=(classes, 4, 6)) * 2
        p = np.exp(logits) / np.exp(logits).sum(0)
        value = number(answer(p.copy()))
        entropy = -(p * np.log(p)).sum(0)
        right = entropy.mean() / np.log(classes)
        mistakes = [
            (entropy.mean(), "divide by log C, so that the largest value is 1"),
            (-right, "the sign is missing: the logarithm of a probability is negative"),
            (-(p * np.log(p)).mean() / np.log(classes), "sum over the classes, and average over the pixels only"),
            (entropy.sum() / np.log(classes), "this is the sum over the pixels; take their mean"),
            (entropy.mean() / np.log(2), "this divides by log 2; with C classes the largest entropy is log C"),
            ((1 - p.max(0)).mean(), "this is 1 minus the largest probability, as in the section above"),
        ]
        for wrong, hint in [(right, ""), *mistakes]:
            if np.isclose(value, wrong, rtol=1e-4):
                if hint:
                    raise Hint(hint)
                break
        else:
            raise Hint("sum -p log p over the classes, average over the pixels, divide by log C")
    certain = np.stack([np.ones((3, 3)), np.zeros((3, 3))])
    with np.errstate(all="ignore"):
        value = number(answer(certain))
    if not np.isfinite(value):
        raise Hint("a probability of exactly 0 gives NaN: 0 times log 0 counts as 0, so clip before the logarithm")
    if abs(value) > 1e-3:
        raise Hint(f"where one class has probability 1 the entropy is 0, but yours is {value:.3g}")


@exercise("10_your_own_data/4")
def blend(answer):
    """Check that `answer(image, alpha, background)` blends the image over the background and returns uint8."""
    rng = np.random.default_rng(4)
    image, background = (rng.integers(0, 256, (5, 7, 3)).astype(np.uint8) for _ in range(2))
    alpha = rng.random((5, 7))
    alpha[0, 0], alpha[0, 1] = 0, 1
    result = answer(image.copy(), alpha.copy(), background.copy())
    result = np.asarray(result)
    if result.shape != image.shape:
        raise Hint(f"the result must have shape {image.shape}, yours has {result.shape}")
    exact = alpha[..., None] * image + (1 - alpha[..., None]) * background
    right = exact.round().astype(np.uint8)
    if result.dtype != np.uint8:
        raise Hint(f"the result must be uint8, yours is {result.dtype}")
    if np.abs(result.astype(int) - right).max() == 0:
        return
    if np.array_equal(result, exact.astype(np.uint8)):
        raise Hint("converting to uint8 truncates the values: round first")
    if np.array_equal(
        result, (alpha[..., None] * background + (1 - alpha[..., None]) * image).round().astype(np.uint8)
    ):
        raise Hint("image and background are swapped: opacity 1 shows the image")
    if np.array_equal(result, np.where(alpha[..., None] > 0.5, image, background)):
        raise Hint("this is a hard mask; use the opacity itself")
    raise Hint("alpha * image + (1 - alpha) * background, with alpha[..., None] for all three channels")
