"""How far training has come, and how far the reader: training curves and the course's roadmap."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from .style import (
    AMBER,
    BLUE,
    FAINT,
    INK,
    ORANGE,
    QUIET,
    RULE,
    WIDTH,
    Picture,
    VisualizeError,
    drawing_style,
    head,
    plain,
    three,
)

SCORE_NAMES = {
    "miou": "mIoU",
    "boundary_iou": "Boundary IoU",
    "foreground_iou": "foreground IoU",
    "boundary_iou_foreground": "foreground Boundary IoU",
    "pixel_accuracy": "pixel accuracy",
}


@drawing_style()
def training_curves(history: Sequence[dict], scores: Sequence[str] = ("miou", "boundary_iou")) -> Picture:
    """Loss, validation scores and learning rate by epoch.

    history: one dict for each epoch, {"epoch": int, "loss": float, "lr": float, "val": {score: float}}; epochs count
    from 0 there, as training writes them, and from 1 in the figure, as people do; "lr" and
    "val" may be missing. `scores` names the entries of "val" to draw; the best of the first is ringed.
    """
    history = list(history)
    if not history or any("epoch" not in entry or "loss" not in entry for entry in history):
        raise VisualizeError("the training history needs at least one epoch, each with its epoch and loss")
    history = [{**entry, "epoch": entry["epoch"] + 1} for entry in history]
    drawn = {name: points for name in scores if (points := _validation(history, name))}
    rates = [(entry["epoch"], entry["lr"]) for entry in history if entry.get("lr") is not None]
    shares = [1.0] + [1.25] * bool(drawn) + [0.75] * bool(rates)
    figure = Picture(figsize=(WIDTH, 2.8), layout="constrained")
    axes = figure.subplots(1, len(shares), width_ratios=shares, squeeze=False)[0]
    losses = np.array([entry["loss"] for entry in history], np.float64)
    _curve(axes[0], [entry["epoch"] for entry in history], losses, BLUE)
    head(axes[0], "Training loss", f"{losses[-1]:#.3g} after epoch {history[-1]['epoch']}")
    if np.isfinite(losses).all() and losses.min() > 0 and losses.max() > 20 * losses.min():
        axes[0].set_yscale("log")
    if drawn:
        _score_curves(axes[1], drawn)
    if rates:
        _curve(axes[-1], *zip(*rates, strict=True), QUIET)
        peak = max(rate for _, rate in rates)
        head(axes[-1], "Learning rate", f"highest after an epoch {peak:.3g}")
        axes[-1].set_ylim(0, 1.05 * peak or 1)
        axes[-1].yaxis.set_major_formatter("{x:g}")
    return figure


def _validation(history: Sequence[dict], name: str) -> list[tuple[int, float]]:
    values = ((entry["epoch"], (entry.get("val") or {}).get(name)) for entry in history)
    return [(epoch, value) for epoch, value in values if value is not None and np.isfinite(value)]


def _score_curves(axes, drawn: dict[str, list[tuple[int, float]]]) -> None:
    """A line for each score, with a legend that stands above the data, not on it."""
    for (name, points), colour in zip(drawn.items(), (BLUE, ORANGE, AMBER, QUIET) * len(drawn), strict=False):
        _curve(axes, *zip(*points, strict=True), colour, plain(SCORE_NAMES.get(name, name)), marker="o")
    first = next(iter(drawn))
    epoch, value = max(drawn[first], key=lambda point: point[1])
    axes.plot(epoch, value, "o", color="none", markeredgecolor=INK, markersize=8, markeredgewidth=1.2)
    head(axes, f"Validation: best {SCORE_NAMES.get(first, first)} {three(value)}, epoch {epoch}", " ")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, labelcolor="linecolor", handlelength=1.6)


def _curve(axes, epochs, values, colour: str, label: str = "", marker: str = "") -> None:
    axes.plot(epochs, values, color=colour, label=label, marker="o" if len(epochs) < 3 else marker, markersize=2.8)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.grid(axis="y")


@drawing_style()
def roadmap(chapters: Sequence[str], current: int = 0) -> Picture:
    """The course as a line of stations: chapters before `current` (counted from 1; 0 for none) are filled."""
    if not chapters or not 0 <= current <= len(chapters):
        raise VisualizeError(f"the roadmap has {len(chapters)} chapters, so current must lie from 0 to {len(chapters)}")
    room = max(9, int(104 / len(chapters)))  # letters beneath one station
    labels = [textwrap.wrap(plain(chapter), room) for chapter in chapters]
    height = 0.66 + 0.16 * max(len(label) for label in labels)
    figure = Picture(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0.4, len(chapters) + 0.6), ylim=(0.25 - height, 0.25))  # inches below the line's middle
    axes.set_axis_off()
    axes.plot([1, len(chapters)], [0, 0], color=RULE, linewidth=3, zorder=1)
    axes.plot([1, max(current, 1)], [0, 0], color=BLUE, linewidth=3, zorder=1)
    for number, label in enumerate(labels, 1):
        here, passed = number == current, number < current
        face, edge = (ORANGE, ORANGE) if here else (BLUE, BLUE) if passed else ("white", FAINT)
        axes.plot(number, 0, "o", markersize=24 if here else 19, color=face, markeredgecolor=edge, markeredgewidth=1.5)
        style = {"ha": "center", "va": "center", "weight": "bold"}
        axes.text(number, -0.006, str(number), color="white" if here or passed else QUIET, **style)
        axes.text(
            number,
            -0.27,
            "\n".join(label),
            ha="center",
            va="top",
            color=INK if here else QUIET,
            weight="bold" if here else "normal",
            linespacing=1.15,
        )
    return figure
