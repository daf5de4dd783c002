"""Concept figures for probabilities: a threshold, calibration, and compositing of a soft edge."""

import numpy as np
from matplotlib.patches import Circle, Rectangle

from seglib.visualize.style import NotebookFigure

from . import BLUE, GRAY, INK, LIGHT_GRAY, ORANGE, WIDTH, arrow, canvas, figure_style, label, tint


@figure_style()
def threshold(value: float = 0.5) -> NotebookFigure:
    """Draw histograms of the probabilities of background and foreground pixels, and a threshold."""
    figure = NotebookFigure(figsize=(WIDTH * 0.82, 2.9), layout="constrained")
    figure.alt = (
        "Two histograms of the predicted probability: background pixels pile up near 0, foreground pixels near 1, and "
        "they overlap in the middle. A vertical line is the threshold. Background to its right is false positive, "
        "foreground to its left is false negative. Moving it right raises precision and lowers recall."
    )
    axes = figure.subplots()
    x = np.linspace(0, 1, 201)
    background = 1.6 * np.exp(-(((x - 0.1) / 0.33) ** 2))
    foreground = np.exp(-(((x - 0.85) / 0.33) ** 2))
    axes.plot(x, background, color=GRAY)
    axes.plot(x, foreground, color=BLUE)
    axes.fill_between(x, foreground, where=x >= value, color=BLUE, alpha=0.25)
    axes.fill_between(x, background, where=x >= value, color=ORANGE, alpha=0.8)
    axes.fill_between(x, foreground, where=x <= value, color=BLUE, alpha=0.8, hatch="////", edgecolor="white")
    axes.axvline(value, color=INK, linewidth=1.6)
    axes.text(0.02, 1.68, "background pixels", color=GRAY)
    axes.text(0.8, 1.07, "foreground pixels", color=BLUE)
    axes.annotate("false negatives", (value - 0.06, 0.12), (value - 0.33, 0.5), color=BLUE, arrowprops=_POINTER)
    axes.annotate("false positives", (value + 0.03, 0.1), (value + 0.03, 0.75), color=ORANGE, arrowprops=_POINTER)
    axes.annotate("", (value + 0.2, 1.45), (value, 1.45), arrowprops={"arrowstyle": "-|>", "color": INK})
    axes.text(value + 0.01, 1.53, "threshold up: precision rises, recall falls")
    axes.set(xlim=(0, 1), ylim=(0, 1.85), yticks=[], xlabel="predicted probability of the foreground", ylabel="pixels")
    return figure


_POINTER = {"arrowstyle": "-", "color": LIGHT_GRAY}


@figure_style()
def calibration() -> NotebookFigure:
    """Show how a reliability diagram is made by binning pixels by confidence and plotting the accuracy of each bin."""
    bins = ((0.55, 5), (0.75, 6), (0.95, 8))  # confidence, correct pixels of ten
    figure, axes = canvas(
        WIDTH,
        3.1,
        "Left: three groups of ten pixels with confidence 0.55, 0.75 and 0.95, of which 5, 6 and 8 are right. Right: "
        "the groups as points of a reliability diagram below the diagonal; the vertical distance to the diagonal is "
        "the gap between confidence and accuracy.",
    )
    for row, (confidence, right) in enumerate(bins):
        y = 0.65 + 0.85 * row
        label(axes, 0.75, y, f"confidence {confidence:g}", size=9)
        for pixel in range(10):
            color = BLUE if pixel < right else ORANGE
            axes.add_patch(Circle((1.7 + 0.24 * pixel, y), 0.09, facecolor=tint(color, 0.8), edgecolor=color))
        label(axes, 4.65, y, f"{right} of 10 right", size=9)
    label(axes, 2.0, 2.95, "blue: right, orange: wrong", GRAY, 8)
    x0, y0, size = 6.2, 2.6, 2.25  # position and size of the diagram, whose axes run from 0.5 to 1

    def place(x, y):
        return x0 + 2 * size * (x - 0.5), y0 - 2 * size * (y - 0.5)

    axes.add_patch(Rectangle((x0, y0 - size), size, size, facecolor="none", edgecolor=LIGHT_GRAY))
    axes.plot(*zip(place(0.5, 0.5), place(1, 1), strict=True), color=GRAY, linewidth=1.2)
    label(axes, *place(0.66, 0.73), "calibrated", GRAY, 8, rotation=45)
    points = [place(confidence, max(right / 10, 0.5)) for confidence, right in bins]
    axes.plot(*zip(*points, strict=True), "o-", color=BLUE)
    for confidence, right in bins:
        axes.plot(*zip(place(confidence, right / 10), place(confidence, confidence), strict=True), ":", color=ORANGE)
    label(axes, *place(1.08, 0.88), "gap", ORANGE, 9)
    arrow(axes, place(1.045, 0.88), place(0.96, 0.88), color=ORANGE)
    label(axes, x0 + size / 2, y0 + 0.3, "confidence", size=9)
    label(axes, x0 - 0.42, y0 - size / 2, "accuracy", size=9, rotation=90)
    for value in (0.5, 1):
        label(axes, place(value, 0.5)[0], y0 + 0.12, f"{value:g}", GRAY, 8)
        label(axes, x0 - 0.16, place(0.5, value)[1], f"{value:g}", GRAY, 8)
    return figure


@figure_style()
def compositing() -> NotebookFigure:
    """Draw the foreground color, alpha, new background and result for a row of pixels across an edge."""
    alpha = np.array([1, 1, 0.9, 0.75, 0.5, 0.25, 0.1, 0, 0])
    rows = (
        ("foreground", np.full(9, 40.0), BLUE),
        ("alpha", alpha, GRAY),
        ("new background", np.full(9, 200.0), ORANGE),
        ("result", alpha * 40 + (1 - alpha) * 200, INK),
    )
    figure, axes = canvas(
        WIDTH * 0.8,
        2.7,
        "A row of nine pixels across an edge. Alpha falls from 1 to 0. The result is alpha times foreground 40 plus "
        "1 minus alpha times the new background 200, so it rises smoothly from 40 to 200.",
    )
    for number, (name, values, color) in enumerate(rows):
        y = 0.25 + 0.6 * number
        label(axes, 1.5, y + 0.22, name, color, 9, ha="right")
        for column, value in enumerate(values):
            gray = value if name == "alpha" else value / 255
            corner = (1.7 + 0.58 * column, y)
            axes.add_patch(Rectangle(corner, 0.58, 0.45, facecolor=(gray,) * 3, edgecolor=LIGHT_GRAY))
            ink = "white" if gray < 0.55 else INK
            label(axes, corner[0] + 0.29, y + 0.22, f"{value:g}" if name == "alpha" else f"{value:.0f}", ink, 8)
    return figure
