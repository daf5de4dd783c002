"""Concept figures for metrics: IoU, Dice and Boundary IoU as areas, and the pixels of the boundary band."""

import numpy as np
from matplotlib.patches import Rectangle

from seglib.metrics import boundary_bands, boundary_counts, dice, iou
from seglib.visualize.style import NotebookFigure

from . import AMBER, BLUE, GRAY, INK, LIGHT_GRAY, ORANGE, canvas, figure_style, label, photo, tint

_SHAPE = (120, 160)
_BAND = 9


def _blobs() -> tuple[np.ndarray, np.ndarray]:
    """Return a target and a prediction, which are uint8 masks of two overlapping ellipses."""
    rows, columns = np.mgrid[: _SHAPE[0], : _SHAPE[1]]
    target = ((rows - 60) / 44) ** 2 + ((columns - 68) / 52) ** 2 <= 1
    prediction = ((rows - 62) / 40) ** 2 + ((columns - 88) / 56) ** 2 <= 1
    return target.astype(np.uint8), prediction.astype(np.uint8)


def _drawn(area: np.ndarray, color: str, outlines: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return an image (H, W, 3) uint8 with `area` in `color`, and the outlines of the masks `outlines` in gray."""
    image = np.full((*area.shape, 3), 255, np.uint8)
    image[area] = np.round(255 * np.array(tint(color, 0.75)))
    for mask in outlines:
        image[(mask == 1) & boundary_bands(mask, 2)] = (90, 98, 108)
    return image


@figure_style()
def areas() -> NotebookFigure:
    """Draw IoU, Dice and Boundary IoU of two ellipses as ratios of areas."""
    target, prediction = _blobs()
    t, p = target == 1, prediction == 1
    bands = [mask & boundary_bands(mask.astype(np.uint8), _BAND) for mask in (t, p)]
    both, either = boundary_counts(target, prediction, 2, _BAND)
    values = iou(target, prediction, 2)[1], dice(target, prediction, 2)[1], both[1] / either[1]
    figure, axes = canvas(
        9,
        3.6,
        "Two overlapping ellipses, target and prediction. IoU is the area of the intersection over the area of the "
        f"union, {values[0]:.2f}. Dice is twice the intersection over the sum of both areas, {values[1]:.2f}. Boundary "
        f"IoU is the intersection of the two boundary bands over their union, {values[2]:.2f}.",
    )
    width, outlines = 1.35, (target, prediction)
    label(axes, 1.0, 0.35, "target and prediction", weight="bold")
    photo(axes, _drawn(np.zeros_like(t), BLUE, outlines), 0.2, 1.25, 1.6)
    label(axes, 0.42, 2.75, "target", GRAY, 8)
    label(axes, 1.6, 2.75, "prediction", GRAY, 8)
    fractions = (
        ("IoU", 2.3, [(t & p, BLUE)], [(t | p, ORANGE)], ""),
        ("Dice", 4.05, [(t & p, BLUE)], [(t, ORANGE), (p, ORANGE)], "2 x"),
        ("Boundary IoU", 7.45, [(bands[0] & bands[1], BLUE)], [(bands[0] | bands[1], ORANGE)], ""),
    )
    for (name, x, top, bottom, factor), value in zip(fractions, values, strict=True):
        span = width * len(bottom) + 0.3 * (len(bottom) - 1)
        label(axes, x + span / 2, 0.35, f"{name} = {value:.2f}", weight="bold")
        left = x + (span - width) / 2
        photo(axes, _drawn(*top[0], outlines), left, 0.6, width)
        label(axes, left - 0.2, 1.15, factor, size=11)
        axes.plot([x, x + span], [1.85, 1.85], color=INK, linewidth=1.3)
        for number, (area, color) in enumerate(bottom):
            photo(axes, _drawn(area, color, outlines), x + number * (width + 0.3), 2.05, width)
        if len(bottom) > 1:
            label(axes, x + span / 2, 2.6, "+", size=13)
    label(axes, 2.97, 3.42, "union", GRAY, 8)
    label(axes, 5.55, 3.42, "both areas; the intersection counts twice", GRAY, 8)
    label(axes, 8.12, 3.42, "union of the two bands", GRAY, 8)
    return figure


@figure_style()
def band(width: int = 2) -> NotebookFigure:
    """Draw the boundary band of a small mask, and the window around each of three pixels."""
    mask = np.zeros((11, 18), np.uint8)
    mask[1:10, 0:12] = 1
    mask[3:6, 12:15] = 1
    in_band = (mask == 1) & boundary_bands(mask, width)
    figure, axes = canvas(
        9,
        3.9,
        f"A mask on a grid of 11 x 18 pixels at the left image edge. Pixels of the mask within {width} pixels of "
        "another class or of the image edge form the boundary band. Windows of three pixels are outlined: one contains "
        "only the class, one contains background, one leaves the image.",
    )
    cell, left, top = 0.3, 0.75, 0.3
    for (row, column), value in np.ndenumerate(mask):
        face = tint(ORANGE, 0.6) if in_band[row, column] else tint(BLUE, 0.35) if value else "white"
        corner = (left + column * cell, top + row * cell)
        axes.add_patch(Rectangle(corner, cell, cell, facecolor=face, edgecolor=LIGHT_GRAY, linewidth=0.7))
    side = cell * (2 * width + 1)
    for number, (row, column) in enumerate(((5, 6), (2, 10), (7, 1)), 1):
        x, y = left + column * cell, top + row * cell
        style = {"facecolor": "none", "edgecolor": INK, "linewidth": 1.8}
        axes.add_patch(Rectangle((x - width * cell, y - width * cell), side, side, **style))
        label(axes, x + cell / 2, y + cell / 2, str(number), weight="bold")
    text = {"ha": "left", "va": "center"}
    notes = (
        f"d = {width}: each window has {2 * width + 1} x {2 * width + 1} pixels",
        "1  only one class in the window: interior",
        "2  background in the window: band",
        "3  the window leaves the image: band",
    )
    for number, note in enumerate(notes):
        label(axes, 6.3, 0.6 + 0.42 * number, note, **text)
    for number, (name, color, strength) in enumerate((("boundary band", ORANGE, 0.6), ("interior", BLUE, 0.35))):
        y = 2.6 + 0.4 * number
        axes.add_patch(Rectangle((6.3, y - 0.12), 0.24, 0.24, facecolor=tint(color, strength), edgecolor=LIGHT_GRAY))
        label(axes, 6.68, y, name, **text)
    axes.plot([left, left], [top, top + 11 * cell], color=AMBER, linewidth=3)
    label(axes, 0.56, top + 2 * cell, "image edge", GRAY, 8, rotation=90)
    return figure
