"""Figures made of pictures: samples, predictions beside the truth, the best and the worst, feature maps.

A data set item is {"image": (H, W, 3) uint8, "mask": (H, W) uint8, "key": str}. Every function returns a Figure.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Patch

from ..metrics import Counts
from . import masks
from .layout import Tile, mosaic
from .style import FAINT, Picture, VisualizeError, drawing_style, plain, three


def legend(classes: Sequence[str], palette) -> list[Patch]:
    """A swatch for each class, for `figure.legend(handles=legend(...))`."""
    colours = masks.check_palette(palette)
    if len(classes) > len(colours):
        raise VisualizeError(f"there are {len(classes)} class names but only {len(colours)} colours: give one for each")
    return [
        Patch(facecolor=colour / 255, edgecolor=FAINT, linewidth=0.6, label=plain(name))
        for name, colour in zip(classes, colours, strict=False)
    ]


@drawing_style()
def show_samples(items: Sequence[dict], classes: Sequence[str] | None = None, palette=None) -> Picture:
    """One row for each item: the image, its labels, and both together, with a legend of the classes."""
    items = list(items)
    if not items:
        raise VisualizeError("there are no items to show: give at least one")
    classes, palette = _names_and_colours(classes, palette, *(item["mask"] for item in items))
    rows = []
    for index, item in enumerate(items):
        image, mask = masks.check_image(item["image"]), item["mask"]
        titles = ("Image", "Labels", "Overlay") if index == 0 else ("", "", "")
        details = f"{item.get('key', '')}  {_size(image)}".strip(), _content(mask, classes), ""
        together = masks.overlay(image, mask, palette, background_class=_background(classes))
        pictures = (image, masks.colorize(mask, palette), together)
        rows.append([Tile(p, t, d) for p, t, d in zip(pictures, titles, details, strict=True)])
    return mosaic(rows, [legend(classes, palette)])


@drawing_style()
def show_prediction(image, prediction, truth=None, classes: Sequence[str] | None = None, palette=None) -> Picture:
    """The image and its prediction; with the truth also the truth, a map of the errors, and the scores.

    With two classes the scores are those of the foreground, class 1; with more, means over the classes that occur.
    """
    image = masks.check_image(image)
    given = (prediction,) if truth is None else (truth, prediction)
    classes, palette = _names_and_colours(classes, palette, *given)
    background = _background(classes)
    tiles = [Tile(image, "Image", _size(image))]
    for labels, title in zip(given[::-1], ("Prediction", "Truth"), strict=False):
        picture = masks.overlay(image, labels, palette, background_class=background)
        tiles.insert(1, Tile(picture, title, _content(labels, classes)))
    swatches = legend(classes, palette)
    if truth is None:
        return mosaic([tiles], [swatches if background is None else swatches[1:]])
    errors = masks.error_map(image, truth, prediction, None if background is None else 1)
    tiles.append(Tile(errors, "Errors"))
    tiles[2].detail, tiles[3].detail = _scores(truth, prediction, classes)
    return mosaic([tiles], [*([swatches] if background is None else []), _error_legend(background, truth)])


@drawing_style()
def gallery(
    items: Sequence[dict],
    predictions: Sequence,
    scores: Sequence[float | None],
    count: int = 8,
    order: str = "worst",
    classes: Sequence[str] | None = None,
    palette=None,
    name: str = "IoU",
) -> Picture:
    """The `count` best or worst predictions by their scores, as error maps, or as overlays where there is no mask.

    `order` is "worst", "best" or "both" (half of each). Images scored None or NaN are left out; only the items
    that are shown are read. `name` says what the scores are.
    """
    chosen = _ranked(scores, count, order, len(items), len(predictions))
    shown = {index: items[index] for index, _ in chosen}
    truths = [item["mask"] for item in shown.values() if item.get("mask") is not None]
    classes, palette = _names_and_colours(classes, palette, *truths, *(predictions[index] for index in shown))
    background = _background(classes)
    tiles, titled = [], set()
    for index, heading in chosen:
        item, title = shown[index], "" if heading in titled else f"{heading} {name}"
        titled.add(heading)
        if item.get("mask") is None:
            picture = masks.overlay(item["image"], predictions[index], palette, background_class=background)
        else:
            foreground = None if background is None else 1
            picture = masks.error_map(item["image"], item["mask"], predictions[index], foreground)
        tiles.append(Tile(picture, title, f"{scores[index]:.3f}  {item.get('key', index)}"))
    half = len(tiles) if order != "both" else sum(heading == "Best" for _, heading in chosen)
    parts = [part for part in (tiles[:half], tiles[half:]) if part]
    rows = [row for part in parts for row in _balanced(part, 4)]
    swatches = _error_legend(background, *truths) if truths else legend(classes, palette)
    return mosaic(rows, [swatches], justify=True)


@drawing_style()
def feature_maps(features, n: int = 16, columns: int = 8) -> Picture:
    """The first `n` channels of a (C, H, W) tensor or array, each from dark at its minimum to light at its maximum."""
    features = features.detach().cpu().float().numpy() if hasattr(features, "detach") else np.asarray(features)
    if features.ndim != 3 or features.size == 0 or n < 1 or columns < 1:
        raise VisualizeError(f"feature maps must have shape (C, H, W), but these have {features.shape}")
    if not np.isfinite(features).all():
        raise VisualizeError("the feature maps hold NaN or infinite values: look for the layer that makes them")
    tiles = []
    for channel, values in enumerate(features[:n].astype(np.float64)):
        span = np.ptp(values)
        grey = np.full(values.shape, 0.5) if span == 0 else (values - values.min()) / span
        tiles.append(Tile(np.repeat((255 * grey + 0.5).astype(np.uint8)[..., None], 3, axis=2), "", str(channel)))
    height, width = features.shape[1:]
    tiles[0].title = f"{len(tiles)} of {len(features)} channels, {width} \u00d7 {height}"
    return mosaic([tiles[start : start + columns] for start in range(0, len(tiles), columns)])


def _names_and_colours(classes, palette, *label_maps):
    """Fill in what the caller left out: two classes at least, and as many as the labels show."""
    if classes is None and palette is None:
        tops = (int(np.max(labels, where=np.not_equal(labels, 255), initial=1)) for labels in label_maps)
        classes = [f"class {index}" for index in range(max(tops) + 1)]
    elif classes is None:
        classes = [f"class {index}" for index in range(len(palette))]
    return list(classes), masks.default_palette(len(classes)) if palette is None else palette


def _background(classes) -> int | None:
    return 0 if len(classes) == 2 else None


def _balanced(tiles: list[Tile], most: int) -> list[list[Tile]]:
    per_row = math.ceil(len(tiles) / math.ceil(len(tiles) / most))
    return [tiles[start : start + per_row] for start in range(0, len(tiles), per_row)]


def _size(image) -> str:
    return f"{np.shape(image)[1]} \u00d7 {np.shape(image)[0]}"


def _content(labels, classes) -> str:
    """What a label map holds: the share of the foreground, or how many of the classes."""
    counted = np.asarray(labels)[np.not_equal(labels, 255)]
    if len(classes) == 2:
        return f"{np.mean(counted == 1) if counted.size else 0:.0%} {classes[1]}"
    return f"{len(np.unique(counted))} of {len(classes)} classes"


def _scores(truth, prediction, classes) -> tuple[str, str]:
    counts = Counts(len(classes))
    counts.update(np.asarray(truth), np.asarray(prediction))
    scores = counts.scores()
    binary = len(classes) == 2
    region = scores["foreground_iou" if binary else "miou"]
    boundary = scores["boundary_iou_foreground" if binary else "boundary_iou"]
    return f"{'IoU' if binary else 'mIoU'} {three(region)}", f"Boundary IoU {three(boundary)}"


def _error_legend(background: int | None, *truths) -> list[Patch]:
    if background is None:
        names, colours = ["right", "wrong"], [(72, 72, 72), masks.FALSE_ALARM]
    else:
        names, colours = ["hit", "miss", "false alarm"], [masks.HIT, masks.MISS, masks.FALSE_ALARM]
    if any(np.equal(truth, 255).any() for truth in truths):
        names, colours = [*names, "ignored"], [*colours, masks.IGNORED]
    return legend(names, colours)


def _ranked(scores, count: int, order: str, *lengths: int) -> list[tuple[int, str]]:
    """(index, heading) of the items to show, best first among the best, worst first among the worst."""
    if order not in ("best", "worst", "both"):
        raise VisualizeError(f"the gallery's order is {order!r}, but must be best, worst or both")
    if any(length != len(scores) for length in lengths):
        raise VisualizeError(f"there are {lengths[0]} items, {lengths[1]} predictions and {len(scores)} scores")
    valid = [index for index, score in enumerate(scores) if score is not None and not np.isnan(score)]
    if not valid or count < 1:
        raise VisualizeError("there is nothing to show: give at least one item that has a score, and a count above 0")
    rising = sorted(valid, key=lambda index: scores[index])
    count = min(count, len(valid))
    best = {"best": count, "worst": 0, "both": (count + 1) // 2}[order]
    first = [(index, "Best") for index in rising[: -best - 1 : -1]]
    return first + [(index, "Worst") for index in rising[: count - best]]
