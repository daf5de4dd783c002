"""Charts of scores: line charts, label maps with numbers, dot plots, reliability diagrams and histograms."""

from collections.abc import Mapping, Sequence

import numpy as np

from seglib.visualize import colorize
from seglib.visualize.style import (
    BLUE,
    GRAY,
    LIGHT_GRAY,
    ORANGE,
    WIDTH,
    NotebookFigure,
    add_title,
    figure_style,
    printable,
)

from .training import LINE_COLORS


def describe(figure: NotebookFigure, alt: str) -> NotebookFigure:
    """Set the alternative text of a figure for screen readers, and return the figure."""
    figure.alt = alt
    return figure


@figure_style()
def line_panels(panels: Mapping[str, tuple], x_label: str, y_label: str, alt: str, y_limits=None) -> NotebookFigure:
    """Draw line charts side by side with a shared vertical axis.

    Args:
        panels: {title: (xs, {line name: ys})}; the line names are the same in all panels.
        x_label: Label of the horizontal axes; a title of the form "title | label" sets the label of its panel.
        y_label: Label of the vertical axis.
        alt: Text for screen readers.
        y_limits: (minimum, maximum) of the vertical axis.
    """
    figure = NotebookFigure(figsize=(WIDTH if len(panels) > 1 else 5.4, 2.6), layout="constrained")
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, (xs, lines)) in zip(row, panels.items(), strict=True):
        name, _, x_name = title.partition(" | ")
        for (line, ys), color in zip(lines.items(), LINE_COLORS, strict=False):
            axes.plot(xs, ys, "o-", color=color, label=printable(line), markersize=3)
        add_title(axes, name)
        axes.set_xlabel(printable(x_name or x_label))
        axes.grid(axis="y")
    row[0].set_ylabel(printable(y_label))
    if y_limits:
        row[0].set_ylim(*y_limits)
    if len(row[0].lines) > 1:
        place = {"loc": "outside lower center", "ncols": 4, "borderaxespad": 0.5}
        figure.legend(*row[0].get_legend_handles_labels(), labelcolor="linecolor", **place)
    return describe(figure, alt)


@figure_style()
def label_grids(label_maps: Mapping[str, np.ndarray], alt: str, palette=None) -> NotebookFigure:
    """Draw small label maps side by side, with the label written in each pixel."""
    figure = NotebookFigure(figsize=(2.2 * len(label_maps), 2.4), layout="constrained")
    row = figure.subplots(1, len(label_maps), squeeze=False)[0]
    for axes, (name, labels) in zip(row, label_maps.items(), strict=True):
        image = colorize(labels, palette)
        axes.imshow(image)
        for (y, x), label in np.ndenumerate(labels):
            color = "white" if image[y, x].sum() < 450 else "black"
            axes.text(x, y, int(label), ha="center", va="center", color=color, fontsize=8)
        add_title(axes, name)
        axes.set_axis_off()
    return describe(figure, alt)


@figure_style()
def dot_rows(scores: Mapping[str, Sequence[float]], title: str, x_label: str, alt: str) -> NotebookFigure:
    """Draw a row for each name, with a dot for each score and a line at the mean."""
    figure = NotebookFigure(figsize=(6.4, 0.75 + 0.3 * len(scores)), layout="constrained")
    axes = figure.subplots()
    for row, values in enumerate(scores.values()):
        axes.plot([min(values), max(values)], [row, row], color=LIGHT_GRAY, zorder=1)
        axes.plot(values, [row] * len(values), "o", color=BLUE, alpha=0.7, markersize=5)
        axes.plot(np.mean(values), row, "|", color=ORANGE, markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(scores)), [printable(name) for name in scores])
    axes.set_ylim(len(scores) - 0.4, -0.6)
    axes.set_xlabel(printable(x_label))
    axes.grid(axis="x")
    add_title(axes, title)
    return describe(figure, alt)


@figure_style()
def reliability(tables: Mapping[str, np.ndarray], alt: str) -> NotebookFigure:
    """Draw a reliability diagram for each table.

    Args:
        tables: {title: (3, B)}, with three rows for B bins: the number of pixels, the sum of their confidences, and the
            number of correct pixels.
        alt: Text for screen readers.
    """
    figure = NotebookFigure(figsize=(min(WIDTH, 3.2 * len(tables)), 2.9), layout="constrained")
    row = figure.subplots(1, len(tables), sharey=True, sharex=True, squeeze=False)[0]
    for axes, (title, (pixels, confidence, right)) in zip(row, tables.items(), strict=True):
        filled, share = pixels > 0, pixels / pixels.sum()
        middle = confidence[filled] / pixels[filled]
        accuracy = right[filled] / pixels[filled]
        low = 0.5 if middle.min() >= 0.5 else 0
        axes.plot([low, 1], [low, 1], color=GRAY, linewidth=1, label="calibrated")
        axes.bar(middle, share[filled] * (1 - low), 0.7 * (1 - low) / len(pixels), low, color=LIGHT_GRAY, alpha=0.6)
        axes.plot(middle, accuracy, "o-", color=BLUE, markersize=4)
        gap = np.abs(right - confidence).sum() / pixels.sum()
        add_title(axes, title, f"expected calibration error {gap:.3f}")
        axes.set_xlabel("confidence")
        axes.grid()
    row[0].set_ylabel("accuracy")
    return describe(figure, alt)


@figure_style()
def histograms(values: Mapping[str, Sequence[float]], lines: Mapping[str, float], alt: str) -> NotebookFigure:
    """Draw a histogram for each name, with its middle 95% shaded and a vertical line at `lines[name]`."""
    figure = NotebookFigure(figsize=(3.6 * len(values), 2.3), layout="constrained")
    for axes, (name, numbers) in zip(figure.subplots(1, len(values), squeeze=False)[0], values.items(), strict=True):
        axes.hist(numbers, 30, color=BLUE)
        axes.axvspan(*np.percentile(numbers, (2.5, 97.5)), color=ORANGE, alpha=0.15)
        axes.axvline(lines[name], color=ORANGE)
        axes.set_yticks([])
        add_title(axes, name)
    return describe(figure, alt)
