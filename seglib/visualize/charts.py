"""Charts: label counts, confusion matrices, scores by class, training curves, training runs side by side."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..files import write_atomically
from .masks import check_palette
from .style import (
    AMBER,
    BLUE,
    GRAY,
    GRID,
    INK,
    LIGHT_GRAY,
    ORANGE,
    SCORE_NAMES,
    WIDTH,
    NotebookFigure,
    VisualizeError,
    add_title,
    figure_style,
    format_score,
    printable,
)

LINE_COLORS = (BLUE, ORANGE, AMBER, GRAY, INK)
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))  # with five colours enough for fifteen runs
_BLUES = LinearSegmentedColormap.from_list("white to blue", ["#FFFFFF", "#A9CFE6", BLUE, "#00365A"])


def save(figure: NotebookFigure, file: Path | str) -> None:
    """Write a figure as PNG, atomically.

    Raises:
        VisualizeError: For another suffix.
        OSError: If the file cannot be written.
    """
    if Path(file).suffix.lower() != ".png":
        raise VisualizeError(f"{file}: figures are written as PNG; use a name that ends in .png")
    write_atomically(Path(file), lambda stream: figure.savefig(stream, format="png"))


@figure_style()
def per_class_bars(scores: dict) -> NotebookFigure:
    """Show IoU (wide bars) and Boundary IoU (narrow bars) of each class, from `metrics.Counts.scores()`."""
    classes = scores.get("per_class")
    if not classes:
        raise VisualizeError('the scores have no "per_class" entry: give the dict that metrics.Counts.scores() returns')
    figure, axes = _bar_figure(list(classes), "IoU and Boundary IoU of each class", " ")
    for row, values in enumerate(classes.values()):
        region, boundary = values["iou"], values.get("boundary_iou")
        if region is None:
            axes.text(0.008, row, "absent from ground truth and prediction", va="center", color=GRAY, style="italic")
            continue
        axes.barh(row - 0.12, region, 0.44, color=BLUE)
        axes.barh(row + 0.24, boundary or 0, 0.2, color=ORANGE)
        end = max(region, boundary or 0)
        axes.text(end + 0.012, row, format_score(region), va="center", color=BLUE)
        axes.text(end + 0.1, row, format_score(boundary), va="center", color=ORANGE)
    axes.set(xlim=(0, 1.2), xticks=np.linspace(0, 1, 6))
    ratio = scores.get("boundary_ratio")
    band = "" if ratio is None else f" (band {100 * ratio:g}% of the diagonal)"
    handles = [
        Patch(color=BLUE, label=f"IoU, mean {format_score(scores.get('miou'))}"),
        Patch(color=ORANGE, label=f"Boundary IoU, mean {format_score(scores.get('boundary_iou'))}{band}"),
    ]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2)
    return figure


@figure_style()
def class_histogram(counts: Sequence[int], names: Sequence[str], palette=None) -> NotebookFigure:
    """Show the share of pixels of each class, on a logarithmic scale if the shares differ more than fifty times."""
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or len(counts) != len(names) or not counts.sum() > 0 or counts.min() < 0:
        raise VisualizeError(f"the class histogram needs one count for each of the {len(names)} names, not all zero")
    colors = [BLUE] * len(names) if palette is None else check_palette(palette)[: len(names)] / 255
    if len(colors) < len(names):
        raise VisualizeError(f"there are {len(names)} class names but only {len(colors)} colours: give one for each")
    shares = 100 * counts / counts.sum()
    smallest = shares[shares > 0].min()
    logarithmic = bool(shares.max() > 50 * smallest)
    figure, axes = _bar_figure(names, f"Share of each class in {int(counts.sum()):,} pixels")
    left = 10 ** np.floor(np.log10(smallest) - 0.2) if logarithmic else 0
    for row, (share, color) in enumerate(zip(shares, colors, strict=True)):
        axes.barh(row, max(share - left, 0), 0.62, left=left, color=color, edgecolor=LIGHT_GRAY, linewidth=0.5)
        text = f" {share:.1f}%" if share >= 1 else f" {share:.2g}%" if share else " none"
        axes.text(max(share, left), row, text, va="center", color=INK if share else GRAY)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlim(left, shares.max() * (3 if logarithmic else 1.15))
    axes.set_xlabel("% of pixels" + ", logarithmic" * logarithmic)
    axes.xaxis.set_major_formatter("{x:g}")
    return figure


@figure_style()
def confusion_figure(confusion, names: Sequence[str]) -> NotebookFigure:
    """Show a confusion matrix, normalised by row.

    Args:
        confusion: (C, C) counts, a row for each class of the ground truth, a column for each predicted class.
        names: The C class names.

    Returns:
        A figure whose rows sum to 100 %; a class without pixels in the ground truth has a row of dashes.
    """
    confusion = np.asarray(confusion, np.float64)
    if confusion.shape != (len(names), len(names)):
        raise VisualizeError(
            f"the confusion matrix must be {len(names)} by {len(names)}, a row for each name, "
            f"but its shape is {confusion.shape}"
        )
    totals = confusion.sum(1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros_like(confusion), where=totals > 0)
    cell = 0.9 if len(names) <= 4 else max(0.42, 0.62 - 0.02 * len(names))
    side = cell * len(names)
    figure = NotebookFigure(figsize=(min(max(side + 1.9, 4.2), 14), min(side + 1.5, 14)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap=_BLUES, vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = _percent(share) if totals[row, 0] else "\u2013"
        color = "white" if share > 0.55 else INK if share >= 0.005 else GRAY
        font = {"weight": "bold" if row == column and share else "normal", "size": 8 if cell < 0.9 else 11}
        axes.text(column, row, text, ha="center", va="center", color=color, **font)
    ticks, labels = range(len(names)), [printable(name) for name in names]
    rotation = {} if cell == 0.9 else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(ticks, labels, color=INK, **rotation)
    axes.set_yticks(ticks, labels, color=INK)
    axes.set(xlabel="prediction", ylabel="ground truth", title="Predicted class of the pixels of each class, %")
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=GRID)
    return figure


@figure_style()
def training_curves(history: Sequence[dict], scores: Sequence[str] = ("miou", "boundary_iou")) -> NotebookFigure:
    """Show loss, validation scores and learning rate by epoch.

    Args:
        history: One dict for each epoch, as training writes it: {"epoch": int, counted from 0, "loss": float,
            "lr": float, "val": {score: float}}. "lr" and "val" may be missing.
        scores: The entries of "val" to show. The best value of the first one is marked.
    """
    history = list(history)
    if not history or any("epoch" not in entry or "loss" not in entry for entry in history):
        raise VisualizeError("the training history needs at least one epoch, each with its epoch and loss")
    points = {name: _points(history, lambda entry, name=name: (entry.get("val") or {}).get(name)) for name in scores}
    points = {name: (epochs, values) for name, (epochs, values) in points.items() if epochs}
    rates = _points(history, lambda entry: entry.get("lr"))
    widths = [1.0] + [1.25] * bool(points) + [0.75] * bool(rates[0])
    figure = NotebookFigure(figsize=(WIDTH, 2.8), layout="constrained")
    axes = figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
    losses = np.array([entry["loss"] for entry in history], np.float64)
    _plot_epochs(axes[0], [entry["epoch"] + 1 for entry in history], losses, color=BLUE)
    add_title(axes[0], "Training loss", f"{losses[-1]:#.3g} after epoch {history[-1]['epoch'] + 1}")
    if np.isfinite(losses).all() and losses.min() > 0 and losses.max() > 20 * losses.min():
        axes[0].set_yscale("log")
    if points:
        _plot_scores(axes[1], points)
    if rates[0]:
        _plot_epochs(axes[-1], *rates, color=GRAY)
        add_title(axes[-1], "Learning rate", f"maximum {max(rates[1]):.3g}")
        axes[-1].set_ylim(0, 1.05 * max(rates[1]) or 1)
        axes[-1].yaxis.set_major_formatter("{x:g}")
    return figure


def _plot_scores(axes, points: dict[str, tuple[list[int], list[float]]]) -> None:
    """Plot a line for each score, with a legend above the axes so that it hides no data."""
    for (name, (epochs, values)), color in zip(points.items(), LINE_COLORS * len(points), strict=False):
        _plot_epochs(axes, epochs, values, color=color, marker="o", label=printable(SCORE_NAMES.get(name, name)))
    first = next(iter(points))
    epoch, value = max(zip(*points[first], strict=True), key=lambda point: point[1])
    axes.plot(epoch, value, "o", color="none", markeredgecolor=INK, markersize=8, markeredgewidth=1.2)
    add_title(axes, f"Validation: best {SCORE_NAMES.get(first, first)} {format_score(value)}, epoch {epoch}", " ")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, labelcolor="linecolor", handlelength=1.6)


@figure_style()
def compared_runs(histories: Mapping[str, Sequence[dict]], score: str = "miou") -> NotebookFigure:
    """Show training loss and a validation score by epoch, one line for each run.

    Args:
        histories: {name of the run: history as training returns it}. Runs without an epoch are left out.
        score: The entry of "val" to show.

    Raises:
        VisualizeError: If no run has an epoch, or no run was validated with this score.
    """
    losses = {name: _points(entries, lambda e: e.get("loss")) for name, entries in histories.items()}
    scores = {name: _points(entries, lambda e: (e.get("val") or {}).get(score)) for name, entries in histories.items()}
    if not any(epochs for epochs, _ in losses.values()):
        raise VisualizeError("no run has finished an epoch yet: there is nothing to show")
    if not any(epochs for epochs, _ in scores.values()):
        known = sorted({name for entries in histories.values() for entry in entries for name in entry.get("val") or {}})
        raise VisualizeError(f"no run has the validation score '{score}'; they have: {', '.join(known) or 'no scores'}")
    names = [name for name in histories if losses[name][0] or scores[name][0]]
    figure = NotebookFigure(figsize=(WIDTH, 2.9 + 0.17 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, title in zip(panels, ("Training loss", f"Validation {SCORE_NAMES.get(score, score)}"), strict=True):
        add_title(axes, title)
    for number, name in enumerate(names):
        style = {"color": LINE_COLORS[number % 5], "linestyle": _DASHES[number // 5 % 3], "label": printable(name)}
        for axes, points in zip(panels, (losses[name], scores[name]), strict=True):
            _plot_epochs(axes, *points, **style)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower left", handlelength=2.2, borderaxespad=0.8)
    return figure


def _points(entries: Sequence[dict], value) -> tuple[list[int], list[float]]:
    """Return the epochs, counted from 1, where `value(entry)` is a finite number, and these numbers."""
    points = [(entry.get("epoch"), value(entry)) for entry in entries]
    points = [(e + 1, v) for e, v in points if isinstance(e, int) and isinstance(v, int | float) and isfinite(v)]
    return [e for e, _ in points], [v for _, v in points]


def _plot_epochs(axes, epochs, values, marker: str = "", **style) -> None:
    axes.plot(epochs, values, marker="o" if len(epochs) < 3 else marker, markersize=2.8, **style)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.grid(axis="y")


def _bar_figure(names: Sequence[str], title: str, detail: str = ""):
    """Return a figure and axes for horizontal bars, one row for each name, the first at the top."""
    height = 0.8 + 0.2 * bool(detail) + 0.33 * len(names)
    figure = NotebookFigure(figsize=(WIDTH * 0.75, height), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [printable(name) for name in names], color=INK)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    add_title(axes, title, detail)
    return figure, axes


def _percent(share: float) -> str:
    """Return a whole percentage, but never a rounded 0 or 100."""
    if 0 < share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else "" if share == 0 else f"{100 * share:.0f}"
