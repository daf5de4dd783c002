"""Checkers for notebook 10: polygons to masks, splits without leakage, uncertainty, tiles, alpha blending."""

import math

import numpy as np

from . import Hint, exercise
from .answers import attempt, number

POLYGONS = {
    "a triangle": ([(0.0, 0.0), (6.0, 0.0), (0.0, 4.0)], 5, 7),
    "a shape with a notch": ([(1.0, 1.0), (7.2, 0.6), (7.4, 5.3), (4.1, 2.2), (0.8, 5.4)], 6, 9),
    "a shape beyond the image": ([(-3.0, 1.2), (4.6, -2.0), (12.0, 3.1), (5.0, 9.0)], 6, 8),
}
VIDEOS = (4, 3, 1, 7, 2, 3)  # number of frames in each video
TILINGS = ((50, 70, 32, 8), (32, 32, 32, 8), (20, 45, 32, 8), (64, 41, 16, 0))  # height, width, size, overlap


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
        if not np.isin(result, (0, 1)).all():
            raise Hint(f"the values should be 0 and 1, but yours go from {result.min():g} to {result.max():g}")
        row, column = np.argwhere(result.astype(float) != right)[0]
        where = "inside" if right[row, column] else "outside"
        raise Hint(f"{name}, {polygon}: the center of the pixel in row {row}, column {column} is {where}")


def _inside(polygon, height: int, width: int, offset: float) -> np.ndarray:
    """Rasterize a polygon by the even-odd rule, tested at `offset` from the upper left corner of each pixel."""
    y, x = np.mgrid[:height, :width] + offset
    odd = np.zeros((height, width), bool)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            odd ^= crosses & (x1 + (y - y1) * (x2 - x1) / (y2 - y1) > x)
    return odd.astype(float)


def _two_lists(train, val) -> tuple[list, list]:
    return list(train), list(val)


@exercise("10_your_own_data/2")
def split_by_group(answer):
    """Check that `answer(names, groups, val_share)` returns training and validation names without splitting a group."""
    groups = [f"video {number}" for number, count in enumerate(VIDEOS) for _ in range(count)]
    order = np.random.default_rng(0).permutation(len(groups))
    names, groups = [f"{place:02}.jpg" for place in order], [groups[place] for place in order]
    for val_share in (0.15, 0.25, 0.5):
        result = answer(list(names), list(groups), val_share)
        train, val = attempt("two lists are expected, and reading yours", lambda pair=result: _two_lists(*pair))
        if strange := [entry for entry in [*train, *val] if entry not in names]:
            raise Hint(f"return two lists of names, such as {names[0]!r}; yours contain {strange[0]!r}")
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
def predict_in_tiles(answer):
    """Check that `answer(predict, image, size, overlap)` returns the mean probabilities over overlapping tiles."""
    for height, width, size, overlap in TILINGS:
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0], image[..., 1] = np.mgrid[:height, :width]  # each pixel stores its own row and column
        predict = _TilePredictor(image)
        result = np.asarray(answer(predict, image.copy(), size, overlap))
        where = f"image of {height} x {width}, size {size}, overlap {overlap}"
        if not predict.tiles:
            raise Hint("call `predict` for each tile")
        _check_tiles(predict.tiles, height, width, size, overlap, where)
        if result.shape != (4, height, width):
            raise Hint(
                f"{where}: for a `predict` with 4 classes return probabilities of shape {(4, height, width)}, "
                f"yours have {result.shape}"
            )
        _check_tile_mean(result, predict.tiles)


class _TilePredictor:
    """Return different random probabilities (4, h, w) for each tile, and record (top, left, probabilities)."""

    def __init__(self, image: np.ndarray):
        self.image = image
        self.tiles: list[tuple[int, int, np.ndarray]] = []

    def __call__(self, tile) -> np.ndarray:
        tile = np.asarray(tile)
        if tile.ndim != 3 or tile.shape[2] != 3 or not tile.size:
            raise Hint(f"`predict` takes a tile (h, w, 3) of the image, yours has shape {tile.shape}")
        height, width = tile.shape[:2]
        top, left = int(tile[0, 0, 0]), int(tile[0, 0, 1])
        if not np.array_equal(tile, self.image[top : top + height, left : left + width]):
            raise Hint("a tile must be a part of the image as it is, without padding: image[top:bottom, left:right]")
        rng = np.random.default_rng(len(self.tiles))
        probabilities = rng.dirichlet([1, 1, 1, 1], size=(height, width)).transpose(2, 0, 1)
        self.tiles.append((top, left, probabilities.copy()))
        return probabilities


def _check_tiles(tiles: list, height: int, width: int, size: int, overlap: int, where: str) -> None:
    """Raise a Hint unless full-size tiles cover the image and overlap by at least `overlap` pixels."""
    covered = np.zeros((height, width), bool)
    right = min(size, height), min(size, width)
    for top, left, probabilities in tiles:
        if probabilities.shape[1:] != right and (size > height or size > width):
            raise Hint(
                f"{where}: a tile has {probabilities.shape[1]} x {probabilities.shape[2]} pixels instead of "
                f"{right[0]} x {right[1]}: where the image is smaller than a tile, there is one tile that starts at 0, "
                "so replace a negative start by max(0, ...)"
            )
        if probabilities.shape[1:] != right:
            raise Hint(
                f"{where}: the tile at row {top}, column {left} has {probabilities.shape[1]} x "
                f"{probabilities.shape[2]} pixels instead of {right[0]} x {right[1]}: move the last tile back, "
                "so that it ends at the border"
            )
        covered[top : top + size, left : left + size] = True
    if not covered.all():
        row, column = np.argwhere(~covered)[0]
        raise Hint(
            f"{where}: row {row}, column {column} is in no tile: the last tile of a row or column ends at the border"
        )
    for name, starts in (("rows", {tile[0] for tile in tiles}), ("columns", {tile[1] for tile in tiles})):
        for first, second in zip(sorted(starts), sorted(starts)[1:], strict=False):
            if first + size - second < overlap:
                raise Hint(
                    f"{where}: the tiles that start at {name} {first} and {second} share {first + size - second} "
                    "pixels: the step from tile to tile is size - overlap"
                )
    fewest = math.prod(1 + math.ceil(max(0, side - size) / (size - overlap)) for side in (height, width))
    places = {tile[:2] for tile in tiles}
    if len(tiles) > 2 * fewest >= 2 * len(places):
        raise Hint(f"{where}: some tiles are predicted more than once, because the last start is in the list already")
    if len(tiles) > 2 * fewest:
        raise Hint(f"{where}: {fewest} tiles are enough, yours are {len(tiles)}: the step is size - overlap")


def _check_tile_mean(result: np.ndarray, tiles: list) -> None:
    """Raise a Hint unless `result` is the mean of the probabilities of all tiles that contain a pixel."""
    total, last, first = (np.zeros(result.shape) for _ in range(3))
    count = np.zeros(result.shape[1:])
    for top, left, probabilities in tiles:
        window = np.s_[:, top : top + probabilities.shape[1], left : left + probabilities.shape[2]]
        first[window] = np.where(count[window[1:]] == 0, probabilities, first[window])
        last[window] = probabilities
        total[window] += probabilities
        count[window[1:]] += 1
    mistakes = [
        (total, "this is the sum over the tiles: divide by the number of tiles that contain the pixel"),
        (total / len(tiles), "divide by the number of tiles that contain the pixel, not by the number of all tiles"),
        (last, "a later tile overwrites an earlier one: average where tiles overlap"),
        (first, "a later tile is ignored where an earlier one has been: average where tiles overlap"),
    ]
    if np.allclose(result, total / count, rtol=0, atol=1e-4):
        return
    for wrong, hint in mistakes:
        if np.allclose(result, wrong, rtol=0, atol=1e-4):
            raise Hint(hint)
    raise Hint("add the probabilities of each tile at its place, and divide by the number of tiles at each pixel")


@exercise("10_your_own_data/5")
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
    if np.array_equal(result, (background + alpha[..., None] * (image - background)).round().astype(np.uint8)):
        raise Hint(
            "image - background was computed in uint8, where a negative difference wraps around: weight each image by "
            "a float first"
        )
    if np.array_equal(result, np.where(alpha[..., None] > 0.5, image, background)):
        raise Hint("this is a hard mask; use the opacity itself")
    raise Hint("alpha * image + (1 - alpha) * background, with alpha[..., None] for all three channels")
