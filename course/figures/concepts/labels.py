"""Concept figures for notebook 01: four tasks on one image, a mask as an array, IoU and Dice as areas."""

import numpy as np
from matplotlib.patches import Rectangle

from course.synthetic.creatures import draw_creature
from seglib.visualize import overlay

from . import AMBER, BLUE, GRAY, INK, ORANGE, WIDTH, canvas, figure_style, label, number_grid, photo, tint

_TASK_COLORS = np.array([[0, 0, 0], [0, 114, 178], [213, 94, 0]], np.uint8)  # background, BLUE, ORANGE


@figure_style()
def segmentation_tasks():
    """Show classification, detection, semantic and instance segmentation of one synthetic image with two animals."""
    image, instances = _two_animals()
    semantic = np.minimum(instances, 1)
    style = {"palette": _TASK_COLORS, "background_class": 0, "alpha": 0.6}
    columns = [
        ("Classification", "one label per image", image),
        ("Detection", "one box per object", image),
        ("Semantic segmentation", "one class per pixel", overlay(image, semantic, **style)),
        ("Instance segmentation", "one mask per object", overlay(image, instances, **style)),
    ]
    alt = (
        "One image of two animals, four times. Classification writes one label, animal. Detection draws a box "
        "around each animal. Semantic segmentation colors the pixels of both animals alike. Instance segmentation "
        "gives each animal its color."
    )
    figure, axes = canvas(WIDTH, 2.45, alt)
    figure.has_images = True
    width, gap = 2.06, 0.15
    for number, (title, detail, picture) in enumerate(columns):
        left = 0.15 + number * (width + gap)
        label(axes, left, 0.2, title, size=10, ha="left", weight="bold")
        label(axes, left, 0.41, detail, GRAY, 9, ha="left")
        height = photo(axes, picture, left, 0.58, width)
        if title == "Classification":
            label(axes, left + width / 2, 0.58 + height + 0.15, "animal", BLUE, 10, weight="bold")
        elif title == "Detection":
            _boxes(axes, instances, left, 0.58, width / image.shape[1])
    return figure


def _two_animals() -> tuple[np.ndarray, np.ndarray]:
    """Return an image (240, 320, 3) and its instance map (240, 320): 0 for background, 1 and 2 for the two animals."""
    image, first = draw_creature(0, 7, 240, 320)
    other, second = draw_creature(0, 4, 240, 320)
    second = np.roll(second, (44, 70), axis=(0, 1))
    other = np.roll(other, (44, 70), axis=(0, 1))
    instances = np.where(second == 1, 2, first).astype(np.uint8)
    return np.where(second[..., None] == 1, other, image), instances


def _boxes(axes, instances: np.ndarray, left: float, top: float, scale: float) -> None:
    for number, color in ((1, BLUE), (2, ORANGE)):
        rows, columns = np.nonzero(instances == number)
        corner = left + columns.min() * scale, top + rows.min() * scale
        size = np.ptp(columns) * scale, np.ptp(rows) * scale
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=2))
        edge, side = (corner[0] + size[0], "right") if number == 1 else (corner[0], "left")
        label(axes, edge, corner[1] - 0.08, "animal", color, 8, ha=side, weight="bold")


@figure_style()
def mask_as_array(image: np.ndarray, labels: np.ndarray, palette: np.ndarray):
    """Show a small image (H, W, 3), its three channels and its labels (H, W) as arrays of numbers."""
    alt = (
        "A small image, the numbers of its red, green and blue channels, and the numbers of its mask: 0 for "
        "background, 1 for animal, 255 for ignored pixels."
    )
    figure, axes = canvas(WIDTH, 2.85, alt)
    size = 1.75
    cell = size / labels.shape[1]
    label(axes, 0.15, 0.2, f"image, shape {image.shape}", ha="left", weight="bold")
    photo(axes, image, 0.15, 0.42, size)
    for name, color, shift in (("blue", BLUE, 0.4), ("green", "#009E73", 0.2), ("red", ORANGE, 0.0)):
        corner = 2.35 + shift, 0.82 - shift
        axes.add_patch(Rectangle(corner, size, size, facecolor=tint(color, 0.3), edgecolor=GRAY, linewidth=0.7))
        if shift:
            label(axes, corner[0] + size - 0.04, corner[1] + 0.1, name, color, 8, ha="right", weight="bold")
    number_grid(axes, image[..., 0], 2.35, 0.82, cell)
    label(axes, 2.35 + size / 2, 0.82 + size + 0.12, "the numbers of the red channel", GRAY, 8)
    left = 5.35
    label(axes, left, 0.2, f"mask, shape {labels.shape}", ha="left", weight="bold")
    names = {0: "background", 1: "animal", 255: "ignored"}
    colors = {0: tint("#242834", 0.25), 1: tuple(palette[1] / 255), 255: (0.88, 0.88, 0.89)}
    for (row, column), value in np.ndenumerate(labels):
        corner = left + column * cell, 0.42 + row * cell
        axes.add_patch(Rectangle(corner, cell, cell, facecolor=colors[int(value)], edgecolor="white", linewidth=0.8))
        label(axes, corner[0] + cell / 2, corner[1] + cell / 2, str(value), size=8)
    for number, (value, name) in enumerate(names.items()):
        top = 0.6 + 0.36 * number
        axes.add_patch(
            Rectangle((7.45, top - 0.11), 0.22, 0.22, facecolor=colors[value], edgecolor=GRAY, linewidth=0.7)
        )
        label(axes, 7.78, top, f"{value}  {name}", ha="left")
    return figure


@figure_style()
def iou_as_areas():
    """Show a target, a prediction and their overlap on a grid, and compute IoU and Dice from the cell counts."""
    target, prediction = np.zeros((7, 8), bool), np.zeros((7, 8), bool)
    target[1:5, 1:6] = True  # 20 cells
    prediction[2:6, 2:6] = True  # 16 cells, 12 of them in the target
    alt = (
        "A target of 20 cells and a prediction of 16 cells on a grid. They share 12 cells, the true positives. 8 "
        "cells are false negatives and 4 are false positives. IoU is 12 over 24, one half; Dice is 24 over 36, two "
        "thirds."
    )
    figure, axes = canvas(WIDTH, 2.3, alt)
    cell, top = 0.21, 0.4
    panels = [("Target: 20 cells", target, BLUE), ("Prediction: 16 cells", prediction, ORANGE)]
    for number, (title, cells, color) in enumerate(panels):
        left = 0.15 + 1.95 * number
        label(axes, left, 0.2, title, size=9, ha="left", weight="bold")
        number_grid(axes, cells, left, top, cell, color, [tuple(place) for place in np.argwhere(cells)], numbers=False)
    left = 4.05
    label(axes, left, 0.2, "Both", size=9, ha="left", weight="bold")
    parts = {
        "TP  true positives: 12": (target & prediction, AMBER),
        "FN  false negatives: 8": (target & ~prediction, BLUE),
        "FP  false positives: 4": (~target & prediction, ORANGE),
    }
    number_grid(axes, target, left, top, cell, numbers=False)
    for number, (name, (cells, color)) in enumerate(parts.items()):
        for row, column in np.argwhere(cells):
            corner = left + column * cell, top + row * cell
            axes.add_patch(Rectangle(corner, cell, cell, facecolor=tint(color, 0.6), edgecolor=GRAY, linewidth=0.7))
            label(axes, corner[0] + cell / 2, corner[1] + cell / 2, name[:2], size=6)
        y = 0.5 + 0.24 * number
        axes.add_patch(
            Rectangle((5.85, y - 0.08), 0.17, 0.17, facecolor=tint(color, 0.6), edgecolor=GRAY, linewidth=0.7)
        )
        label(axes, 6.12, y, name, ha="left")
    formulas = ("IoU = TP / (TP + FN + FP) = 12 / 24 = 0.50", "Dice = 2 TP / (2 TP + FN + FP) = 24 / 36 = 0.67")
    for number, text in enumerate(formulas):
        label(axes, 5.85, 1.45 + 0.3 * number, text, INK, 8.5, ha="left")
    return figure
