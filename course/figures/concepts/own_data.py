"""Concept figures for notebook 10: the steps for your own data, a polygon and its mask, and alpha blending."""

import numpy as np
from matplotlib.patches import Polygon
from matplotlib.path import Path

from . import AMBER, BLUE, GRAY, GRID, INK, ORANGE, WIDTH, arrow, box, canvas, figure_style, label, number_grid

STEPS = (
    ("annotate", "20 images,\nLabelMe JSON", AMBER),
    ("import", "images/, masks/,\nclasses.yaml", BLUE),
    ("check", "sizes, classes,\nduplicates, faults", BLUE),
    ("fine-tune", "best.safetensors,\nhistory.json", BLUE),
    ("evaluate", "mIoU, Boundary IoU,\nfailures", BLUE),
    ("export", "model.onnx", ORANGE),
    ("use", "masks, cut-outs", ORANGE),
)
CORNERS = np.array([(0.6, 4.4), (2.2, 1.2), (4.6, 0.7), (7.3, 2.6), (6.4, 5.3), (3.9, 3.9), (2.4, 5.4)])  # x, y


@figure_style()
def path_of_data():
    """Draw the steps from annotation to the use of an exported model, and the loop back to annotation."""
    figure, axes = canvas(
        WIDTH,
        1.95,
        "Seven steps from left to right: annotate, import, check, fine-tune, evaluate, export, use. Below each are "
        "the files that it gives. An arrow leads from evaluate back to annotate: the least certain images first.",
    )
    step, width = WIDTH / len(STEPS), 0.98
    for number, (name, files, color) in enumerate(STEPS):
        left = number * step + (step - width) / 2
        box(axes, left, 0.72, width, 0.46, name, color, size=9.5)
        label(axes, left + width / 2, 1.52, files, GRAY, 7.5, linespacing=1.3)
        if number:
            arrow(axes, (left - (step - width), 0.95), (left, 0.95))
    first, last = 0.5 * step, 4.5 * step
    axes.plot([last, last, first], [0.72, 0.34, 0.34], color=ORANGE, linewidth=1.3, linestyle="--")
    arrow(axes, (first, 0.34), (first, 0.71), color=ORANGE, dashed=True)
    label(axes, (first + last) / 2, 0.2, "the least certain images are corrected or annotated next", ORANGE, 8.5)
    return figure


@figure_style()
def polygon_to_mask():
    """Draw a polygon on a grid of pixels, and its mask, which contains the pixels with centers inside the polygon."""
    rows, columns, cell = 6, 8, 0.36
    centers = np.stack(np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5), axis=-1)
    inside = Path(CORNERS).contains_points(centers.reshape(-1, 2)).reshape(rows, columns)
    figure, axes = canvas(
        WIDTH * 0.75,
        2.75,
        "Left: a polygon with seven corners over a grid of 6 by 8 pixels, pixel centers marked. Right: the mask, 1 "
        "where the center of a pixel is inside the polygon, else 0.",
    )
    left, right, top = 0.3, 3.6, 0.4
    label(axes, left + columns * cell / 2, 0.2, "polygon: corners (x, y) in pixels", weight="bold")
    label(axes, right + columns * cell / 2, 0.2, "mask: one label per pixel", weight="bold")
    number_grid(axes, np.zeros((rows, columns)), left, top, cell, numbers=False)
    corners = CORNERS * cell + (left, top)
    axes.add_patch(Polygon(corners, closed=True, facecolor="none", edgecolor=BLUE, linewidth=1.8))
    axes.plot(*corners.T, "o", color=BLUE, markersize=4)
    for state, color in ((True, BLUE), (False, GRAY)):
        points = centers[inside == state] * cell + (left, top)
        axes.plot(*points.T, ".", color=color, markersize=4)
    marked = {tuple(place) for place in np.argwhere(inside)}
    number_grid(axes, inside.astype(int), right, top, cell, BLUE, marked)
    note = "A pixel belongs to the polygon if its center is inside."
    label(axes, WIDTH * 0.375, 2.66, note, GRAY, 8.5)
    return figure


@figure_style()
def alpha_blending():
    """Draw alpha blending of a row of pixels: alpha * foreground + (1 - alpha) * background."""
    foreground, background = np.array([[200, 200, 200, 200]]), np.array([[100, 100, 100, 100]])
    alpha = np.array([[1, 0.75, 0.25, 0]])
    figure, axes = canvas(
        WIDTH * 0.85,
        1.5,
        "Four pixels along an edge. Image 200 200 200 200, opacity 1 0.75 0.25 0, background 100 100 100 100. The "
        "result is 200 175 125 100.",
    )
    rows = (
        ("image", foreground, BLUE),
        ("opacity", alpha, AMBER),
        ("new background", background, ORANGE),
        ("result", alpha * foreground + (1 - alpha) * background, INK),
    )
    cell = 0.4
    for place, (name, values, color) in enumerate(rows):
        left = 0.15 + place * 1.9
        label(axes, left + 2 * cell, 0.3, name, color, weight="bold")
        number_grid(axes, values, left, 0.5, cell)
    for place, sign in enumerate(("with", "over", "=")):
        label(axes, 0.15 + (place + 1) * 1.9 - 0.15, 0.7, sign, GRAY, 8.5)
    axes.plot([0.1, WIDTH * 0.85 - 0.1], [1.08, 1.08], color=GRID)
    label(axes, WIDTH * 0.425, 1.28, "result = opacity * image + (1 - opacity) * background, for each pixel", GRAY, 8.5)
    return figure
