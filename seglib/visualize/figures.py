"""Figures made of images: samples, predictions beside the ground truth, the best and the worst predictions.

A data set item is {"image": (H, W, 3) uint8, "mask": (H, W) uint8, "key": str}. Every function returns a figure.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Patch

from ..metrics import Counts
from . import masks
from .layout import Tile, arrange_tiles
from .style import LIGHT_GRAY, NotebookFigure, VisualizeError, figure_style, format_score, printable

_TILES_PER_ROW = 4


def legend(classes: Sequence[str], palette) -> list[Patch]:
    """Return a colour patch for each class, for `figure.legend(handles=legend(...))`."""
    colors = masks.check_palette(palette)
    if len(classes) > len(colors):
        raise VisualizeError(f"there are {len(classes)} class names but only {len(colors)} colours: give one for each")
    return [
        Patch(facecolor=color / 255, edgecolor=LIGHT_GRAY, linewidth=0.6, label=printable(name))
        for name, color in zip(classes, colors, strict=False)
    ]


@figure_style()
def image_grid(rows: Sequence[Sequence[tuple]], classes: Sequence[str] = (), palette=None) -> NotebookFigure:
    """Show images in rows.

    Args:
        rows: Tuples (uint8 (H, W, 3), title, second line); the texts are optional.
        classes: Names for a legend below the images.
        palette: (C, 3), the colours of the legend.
    """
    if not rows or not all(rows):
        raise VisualizeError("there are no images to show: give at least one in each row")
    tiles = [[Tile(masks.check_image(entry[0]), *entry[1:]) for entry in row] for row in rows]
    legends = [legend(classes, masks.default_palette(len(classes)) if palette is None else palette)] if classes else []
    return arrange_tiles(tiles, legends)


@figure_style()
def show_samples(items: Sequence[dict], classes: Sequence[str] | None = None, palette=None) -> NotebookFigure:
    """Show one row for each item: the image, its mask, and both together, with a legend of the classes."""
    items = list(items)
    if not items:
        raise VisualizeError("there are no items to show: give at least one")
    classes, palette = _complete(classes, palette, *(item["mask"] for item in items))
    rows = []
    for index, item in enumerate(items):
        image, mask = masks.check_image(item["image"]), item["mask"]
        titles = ("Image", "Mask", "Overlay") if index == 0 else ("", "", "")
        details = f"{item.get('key', '')}  {_size(image)}".strip(), _content(mask, classes), ""
        blended = masks.overlay(image, mask, palette, background_class=_background(classes))
        images = image, masks.colorize(mask, palette), blended
        rows.append([Tile(*tile) for tile in zip(images, titles, details, strict=True)])
    ignored = any(np.equal(item["mask"], 255).any() for item in items)
    return arrange_tiles(rows, [legend(classes, palette) + ignored * legend(["ignored"], [masks.IGNORED_LABEL])])


@figure_style()
def show_prediction(
    image, prediction, target=None, classes: Sequence[str] | None = None, palette=None
) -> NotebookFigure:
    """Show an image and its prediction; with the ground truth also that, a map of the errors, and the scores.

    Args:
        image: (H, W, 3) uint8.
        prediction: (H, W) integers.
        target: (H, W) integers, the ground truth, 255 for ignored pixels.
        classes: Names of the classes.
        palette: (C, 3), a colour for each class.

    Returns:
        A figure. With two classes its scores are those of the foreground, class 1; with more they are means over
        the classes that occur.
    """
    image = masks.check_image(image)
    label_maps = (prediction,) if target is None else (target, prediction)
    classes, palette = _complete(classes, palette, *label_maps)
    background = _background(classes)
    tiles = [Tile(image, "Image", _size(image))]
    for labels, title in zip(label_maps[::-1], ("Prediction", "Ground truth"), strict=False):
        blended = masks.overlay(image, labels, palette, background_class=background)
        tiles.insert(1, Tile(blended, title, _content(labels, classes)))
    patches = legend(classes, palette)
    if target is None:
        return arrange_tiles([tiles], [patches if background is None else patches[1:]])
    errors = masks.error_map(image, target, prediction, None if background is None else 1)
    tiles.append(Tile(errors, "Errors"))
    tiles[2].detail, tiles[3].detail = _scores(target, prediction, classes)
    return arrange_tiles([tiles], [patches if background is None else patches[1:], _error_legend(background, target)])


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
    """Show the best or worst predictions as error maps, or as overlays where there is no mask.

    Args:
        items: Data set items; only those that are shown are read.
        predictions: A label map for each item.
        scores: A score for each item. Items with None or NaN are left out.
        count: How many to show.
        order: "worst", "best" or "both" (half of each).
        classes: Names of the classes.
        palette: (C, 3), a colour for each class.
        name: The name of the score.
    """
    ranking = _rank(scores, count, order, len(items), len(predictions))
    chosen = {index: items[index] for index, _ in ranking}
    targets = [item["mask"] for item in chosen.values() if item.get("mask") is not None]
    classes, palette = _complete(classes, palette, *targets, *(predictions[index] for index in chosen))
    background = _background(classes)
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
    patches = _error_legend(background, *targets) if targets else legend(classes, palette)
    return arrange_tiles([row for tiles in rows.values() for row in _split(tiles)], [patches], justify=True)


def _complete(classes, palette, *label_maps) -> tuple[list[str], np.ndarray]:
    """Fill in missing class names (at least two, and as many as the labels need) and colours."""
    if classes is None:
        highest = max(int(np.max(labels, where=np.not_equal(labels, 255), initial=1)) for labels in label_maps)
        classes = [f"class {index}" for index in range(highest + 1 if palette is None else len(palette))]
    return list(classes), masks.figure_palette(classes) if palette is None else palette


def _background(classes) -> int | None:
    return 0 if len(classes) == 2 else None


def _split(tiles: list[Tile]) -> list[list[Tile]]:
    """Split tiles into rows of nearly the same length."""
    per_row = math.ceil(len(tiles) / math.ceil(len(tiles) / _TILES_PER_ROW))
    return [tiles[start : start + per_row] for start in range(0, len(tiles), per_row)]


def _size(image) -> str:
    return f"{np.shape(image)[1]} \u00d7 {np.shape(image)[0]}"


def _content(labels, classes) -> str:
    """Describe a label map: the share of the foreground, or how many of the classes occur."""
    counted = np.asarray(labels)[np.not_equal(labels, 255)]
    if len(classes) == 2:
        return f"{np.mean(counted == 1) if counted.size else 0:.0%} {classes[1]}"
    return f"{len(np.unique(counted))} of {len(classes)} classes"


def _scores(target, prediction, classes) -> tuple[str, str]:
    counts = Counts(len(classes))
    counts.update(np.asarray(target), np.asarray(prediction))
    scores, binary = counts.scores(), len(classes) == 2
    region = scores["foreground_iou" if binary else "miou"]
    boundary = scores["boundary_iou_foreground" if binary else "boundary_iou"]
    return f"{'IoU' if binary else 'mIoU'} {format_score(region)}", f"Boundary IoU {format_score(boundary)}"


def _error_legend(background: int | None, *targets) -> list[Patch]:
    entries = {"correct": masks.TRUE_NEGATIVE, "wrong": masks.FALSE_POSITIVE}
    if background is not None:
        entries = {
            "true positive": masks.TRUE_POSITIVE,
            "false negative": masks.FALSE_NEGATIVE,
            "false positive": masks.FALSE_POSITIVE,
            "true negative": masks.TRUE_NEGATIVE,
        }
    if any(np.equal(target, 255).any() for target in targets):
        entries["ignored"] = masks.IGNORED
    return legend(list(entries), list(entries.values()))


def _rank(scores, count: int, order: str, *lengths: int) -> list[tuple[int, str]]:
    """Return (index, heading) of the items to show: the best first, then the worst."""
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
