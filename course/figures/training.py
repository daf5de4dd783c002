"""Charts of training curves, comparisons of runs, and confusion matrices."""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from seglib.visualize import VisualizeError, style
from seglib.visualize.style import NotebookFigure, add_title, figure_style, format_score, printable

LINE_COLORS = (style.BLUE, style.ORANGE, style.AMBER, style.GRAY, style.INK)
SCORE_NAMES = {
    "miou": "mIoU",
    "boundary_iou": "Boundary IoU",
    "foreground_iou": "foreground IoU",
    "boundary_iou_foreground": "foreground Boundary IoU",
    "pixel_accuracy": "pixel accuracy",
}
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))  # three dash patterns in five colors are enough for fifteen lines
_BLUES = LinearSegmentedColormap.from_list("white to blue", ["#FFFFFF", "#A9CFE6", style.BLUE, "#00365A"])


@figure_style()
def confusion_figure(confusion, names: Sequence[str]) -> NotebookFigure:
    """Plot a confusion matrix, normalized by row.

    Args:
        confusion: Pixel counts (C, C), with a row for each target class and a column for each predicted class.
        names: The C class names.

    Returns:
        The figure.  Each row sums to 100%.  A class without pixels in the ground truth has a row of dashes.
    """
    confusion = np.asarray(confusion, np.float64)
    if confusion.shape != (len(names), len(names)):
        size = f"{len(names)} by {len(names)}, a row for each name"
        raise VisualizeError(f"the confusion matrix must be {size}, but its shape is {confusion.shape}")
    totals = confusion.sum(1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros_like(confusion), where=totals > 0)
    cell, size, rotation, align = (0.9, 11, 0, "center") if len(names) <= 4 else (0.45, 8, 40, "right")
    side = cell * len(names)
    figure = NotebookFigure(figsize=(max(side + 1.9, 4.2), side + 1.5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap=_BLUES, vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = _percent(share) if totals[row, 0] else "\u2013"
        color = "white" if share > 0.55 else style.INK if share >= 0.005 else style.GRAY
        axes.text(column, row, text, ha="center", va="center", color=color, size=size)
    ticks, labels = range(len(names)), [printable(name) for name in names]
    axes.set_xticks(ticks, labels, color=style.INK, rotation=rotation, ha=align, rotation_mode="anchor")
    axes.set_yticks(ticks, labels, color=style.INK)
    axes.set(xlabel="prediction", ylabel="ground truth", title="Predicted class of the pixels of each class, %")
    axes.tick_params(length=0)
    return figure


@figure_style()
def training_curves(history: Sequence[dict], scores: Sequence[str] = ("miou", "boundary_iou")) -> NotebookFigure:
    """Plot the loss, validation scores and the learning rate against the epoch.

    Args:
        history: The history of a training run, one dictionary per epoch: {"epoch": int (counted from 0), "loss": float,
            "lr": float, "val": {score: float}}. "lr" and "val" may be missing.
        scores: The entries of "val" to plot. The best value of the first score is marked.
    """
    history = list(history)
    if not history or any("epoch" not in entry or "loss" not in entry for entry in history):
        raise VisualizeError("the training history needs at least one epoch, each with its epoch and loss")
    points = {name: _epoch_values(history, name) for name in scores}
    points = {name: (epochs, values) for name, (epochs, values) in points.items() if epochs}
    rates = _epoch_values(history, "lr")
    widths = [1.0] + [1.25] * bool(points) + [0.75] * bool(rates[0])
    figure = NotebookFigure(figsize=(style.WIDTH, 2.8), layout="constrained")
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    losses = np.array([entry["loss"] for entry in history], np.float64)
    _plot_epochs(axes[0], [entry["epoch"] + 1 for entry in history], losses, color=style.BLUE)
    add_title(axes[0], "Training loss", f"{losses[-1]:#.3g} after epoch {history[-1]['epoch'] + 1}")
    if np.isfinite(losses).all() and losses.min() > 0 and losses.max() > 20 * losses.min():
        axes[0].set_yscale("log")
    if points:
        _plot_scores(axes[1], points)
    if rates[0]:
        _plot_epochs(axes[-1], *rates, color=style.GRAY)
        add_title(axes[-1], "Learning rate", f"maximum {max(rates[1]):.3g}")
        axes[-1].set_ylim(0, 1.05 * max(rates[1]) or 1)
        axes[-1].yaxis.set_major_formatter("{x:g}")
    return figure


def _plot_scores(axes, points: dict[str, tuple[list[int], list[float]]]) -> None:
    """Plot a line for each score. The legend is above the axes, so that it does not cover the lines."""
    for (name, (epochs, values)), color in zip(points.items(), LINE_COLORS * len(points), strict=False):
        _plot_epochs(axes, epochs, values, color=color, marker="o", label=printable(SCORE_NAMES.get(name, name)))
    first = next(iter(points))
    epoch, value = max(zip(*points[first], strict=True), key=lambda point: point[1])
    axes.plot(epoch, value, "o", color="none", markeredgecolor=style.INK, markersize=8, markeredgewidth=1.2)
    add_title(axes, f"Validation: best {SCORE_NAMES.get(first, first)} {format_score(value)}, epoch {epoch}", " ")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, labelcolor="linecolor", handlelength=1.6)


@figure_style()
def compared_runs(histories: Mapping[str, Sequence[dict]], score: str = "miou") -> NotebookFigure:
    """Plot the training loss and a validation score against the epoch, with one line per run.

    Args:
        histories: The history of each run by name, in the format of `training_curves`. Runs that have not finished an
            epoch are left out.
        score: The entry of "val" to plot.

    Raises:
        VisualizeError: If no run has finished an epoch, or no run has this validation score.
    """
    losses = {name: _epoch_values(history, "loss") for name, history in histories.items()}
    scores = {name: _epoch_values(history, score) for name, history in histories.items()}
    names = [name for name in histories if losses[name][0] or scores[name][0]]
    if not names:
        raise VisualizeError("no run has finished an epoch yet: there is nothing to show")
    if not any(scores[name][0] for name in names):
        known = sorted({name for history in histories.values() for entry in history for name in entry.get("val") or {}})
        raise VisualizeError(f"no run has the validation score '{score}'; they have: {', '.join(known) or 'no scores'}")
    figure = NotebookFigure(figsize=(style.WIDTH, 2.9 + 0.17 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2)
    titles = "Training loss", f"Validation {SCORE_NAMES.get(score, score)}"
    for axes, title, points in zip(panels, titles, (losses, scores), strict=True):
        add_title(axes, title)
        for number, name in enumerate(names):
            line = {"color": LINE_COLORS[number % 5], "linestyle": _DASHES[number // 5 % 3]}
            _plot_epochs(axes, *points[name], label=printable(name), **line)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower left", handlelength=2.2, borderaxespad=0.8)
    return figure


def _epoch_values(history: Sequence[dict], name: str) -> tuple[list[int], list[float]]:
    """Return the epochs, counted from 1, in which the entry or validation score `name` is finite, and its values."""
    values = {entry.get("epoch"): ((entry.get("val") or {}) | entry).get(name) for entry in history}
    points = {e + 1: v for e, v in values.items() if isinstance(e, int) and isinstance(v, int | float) and isfinite(v)}
    return list(points), list(points.values())


def _plot_epochs(axes, epochs, values, marker: str = "", **line) -> None:
    axes.plot(epochs, values, marker="o" if len(epochs) < 3 else marker, markersize=2.8, **line)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.grid(axis="y")


def _percent(share: float) -> str:
    """Format a fraction as an integer percentage: "100" only for exactly 1, and "" only for exactly 0."""
    if 0 < share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else "" if share == 0 else f"{100 * share:.0f}"
