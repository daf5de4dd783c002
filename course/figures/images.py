"""Show images side by side: rows of images, samples of a data set, or the best and worst predictions.

An item of a data set is {"image": (H, W, 3) uint8, "mask": (H, W) uint8, "key": str}. Every function returns a figure.
"""

import math
from collections.abc import Sequence

import numpy as np

from seglib.visualize import VisualizeError, masks
from seglib.visualize.figures import complete_classes, describe_labels, describe_size, error_legend, legend
from seglib.visualize.style import NotebookFigure, figure_style

from .layout import Tile, arrange_tiles

_TILES_PER_ROW = 4


@figure_style()
def image_grid(rows: Sequence[Sequence[tuple]], classes: Sequence[str] = (), palette=None) -> NotebookFigure:
    """Show images in rows.

    Args:
        rows: For each image of a row, a tuple of the image (H, W, 3) uint8, and optionally a title and a subtitle.
        classes: Class names for a legend below the images; by default there is no legend.
        palette: Colors of the classes in the legend, (C, 3).
    """
    if not rows or not all(rows):
        raise VisualizeError("there are no images to show: give at least one in each row")
    tiles = [[Tile(masks.check_image(entry[0]), *entry[1:]) for entry in row] for row in rows]
    legends = [legend(classes, masks.default_palette(len(classes)) if palette is None else palette)] if classes else []
    return arrange_tiles(tiles, legends)


@figure_style()
def show_samples(items: Sequence[dict], classes: Sequence[str] | None = None, palette=None) -> NotebookFigure:
    """Show the image, mask and overlay of each item in one row, with a legend of the classes."""
    items = list(items)
    if not items:
        raise VisualizeError("there are no items to show: give at least one")
    classes, palette = complete_classes(classes, palette, *(item["mask"] for item in items))
    rows = []
    for index, item in enumerate(items):
        image, mask = masks.check_image(item["image"]), item["mask"]
        titles = ("Image", "Mask", "Overlay") if index == 0 else ("", "", "")
        details = f"{item.get('key', '')}  {describe_size(image)}".strip(), describe_labels(mask, classes), ""
        blended = masks.overlay(image, mask, palette, background_class=0 if len(classes) == 2 else None)
        images = image, masks.colorize(mask, palette), blended
        rows.append([Tile(*tile) for tile in zip(images, titles, details, strict=True)])
    ignored = any(np.equal(item["mask"], 255).any() for item in items)
    return arrange_tiles(rows, [legend(classes, palette) + ignored * legend(["ignored"], [masks.IGNORED_LABEL])])


@figure_style()
def gallery(
    items: Sequence[dict],
    predictions: Sequence,
    scores: Sequence[float | None],
    count: int = 8,
    order: str = "worst",
    classes: Sequence[str] | None = None,
    palette=None,
    name: str = "IoU",
) -> NotebookFigure:
    """Show the best or worst predictions as error maps, or as overlays for items without a mask.

    Args:
        items: Items of a data set; only the items that are shown are read.
        predictions: A label map (H, W) for each item.
        scores: A score for each item; items with None or NaN are left out.
        count: The number of predictions to show.
        order: "worst", "best" or "both" (half of each).
        classes: Names of the classes.
        palette: A color for each class, (C, 3).
        name: Name of the score.
    """
    ranking = _rank(scores, count, order, len(items), len(predictions))
    chosen = {index: items[index] for index, _ in ranking}
    targets = [item["mask"] for item in chosen.values() if item.get("mask") is not None]
    classes, palette = complete_classes(classes, palette, *targets, *(predictions[index] for index in chosen))
    background = 0 if len(classes) == 2 else None
    rows: dict[str, list[Tile]] = {}
    for index, heading in ranking:
        item, tiles = chosen[index], rows.setdefault(heading, [])
        if item.get("mask") is None:
            image = masks.overlay(item["image"], predictions[index], palette, background_class=background)
        else:
            foreground = None if background is None else 1
            image = masks.error_map(item["image"], item["mask"], predictions[index], foreground)
        title = "" if tiles else f"{heading} {name}"
        tiles.append(Tile(image, title, f"{scores[index]:.3f}  {item.get('key', index)}"))
    patches = error_legend(background, *targets) if targets else legend(classes, palette)
    return arrange_tiles([row for tiles in rows.values() for row in _split(tiles)], [patches], justify=True)


def _split(tiles: list[Tile]) -> list[list[Tile]]:
    """Split tiles into rows of nearly the same length."""
    per_row = math.ceil(len(tiles) / math.ceil(len(tiles) / _TILES_PER_ROW))
    return [tiles[start : start + per_row] for start in range(0, len(tiles), per_row)]


def _rank(scores, count: int, order: str, *lengths: int) -> list[tuple[int, str]]:
    """Return an (index, heading) pair for each item to show, with the best items before the worst items."""
    if order not in ("best", "worst", "both"):
        raise VisualizeError(f"the gallery's order is {order!r}, but must be best, worst or both")
    if any(length != len(scores) for length in lengths):
        raise VisualizeError(f"there are {lengths[0]} items, {lengths[1]} predictions and {len(scores)} scores")
    valid = [index for index, score in enumerate(scores) if score is not None and not np.isnan(score)]
    if not valid or count < 1:
        raise VisualizeError("there is nothing to show: give at least one item that has a score, and a count above 0")
    ascending = sorted(valid, key=lambda index: scores[index])
    count = min(count, len(valid))
    best = {"best": count, "worst": 0, "both": (count + 1) // 2}[order]
    first = [(index, "Best") for index in ascending[: -best - 1 : -1]]
    return first + [(index, "Worst") for index in ascending[: count - best]]
