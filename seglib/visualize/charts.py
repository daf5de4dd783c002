"""Figures made of numbers: scores by class and by image, confusions, label counts."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .masks import check_palette
from .style import (
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

_BLUES = LinearSegmentedColormap.from_list("white to blue", ["#FFFFFF", "#A9CFE6", BLUE, "#00365A"])


@drawing_style()
def per_class_bars(scores: dict) -> Picture:
    """IoU (broad) and Boundary IoU (narrow) of each class, from `metrics.Counts.scores()`; absent classes say so."""
    classes = scores.get("per_class")
    if not classes:
        raise VisualizeError('the scores hold no "per_class" entry: give the dict that metrics.Counts.scores() returns')
    figure, axes = _rows(list(classes), "IoU and Boundary IoU of each class", " ")
    for row, values in enumerate(classes.values()):
        region, boundary = values["iou"], values.get("boundary_iou")
        if region is None:
            axes.text(0.008, row, "absent from truth and prediction", va="center", color=QUIET, style="italic")
            continue
        axes.barh(row - 0.12, region, 0.44, color=BLUE)
        axes.barh(row + 0.24, boundary or 0, 0.2, color=ORANGE)
        numbers = three(region), three(boundary)
        end = max(region, boundary or 0)
        axes.text(end + 0.012, row, numbers[0], va="center", color=BLUE)
        axes.text(end + 0.1, row, numbers[1], va="center", color=ORANGE)
    axes.set(xlim=(0, 1.2), xticks=np.linspace(0, 1, 6))
    handles = [Patch(color=BLUE, label=f"IoU, mean {three(scores.get('miou'))}")]
    ratio = scores.get("boundary_ratio")
    band = "" if ratio is None else f" (band {100 * ratio:g}% of the diagonal)"
    handles.append(Patch(color=ORANGE, label=f"Boundary IoU, mean {three(scores.get('boundary_iou'))}{band}"))
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2)
    return figure


@drawing_style()
def class_histogram(counts: Sequence[int], names: Sequence[str], palette=None) -> Picture:
    """The share of pixels that each class has; on a logarithmic scale where they differ more than fiftyfold."""
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or len(counts) != len(names) or not counts.sum() > 0 or counts.min() < 0:
        raise VisualizeError(f"the class histogram needs one count for each of the {len(names)} names, not all zero")
    colours = [BLUE] * len(names) if palette is None else check_palette(palette)[: len(names)] / 255
    if len(colours) < len(names):
        raise VisualizeError(f"there are {len(names)} class names but only {len(colours)} colours: give one for each")
    shares = 100 * counts / counts.sum()
    least = shares[shares > 0].min()
    logarithmic = shares.max() > 50 * least
    figure, axes = _rows(names, f"Share of each class in {int(counts.sum()):,} pixels")
    left = 10 ** np.floor(np.log10(least) - 0.2) if logarithmic else 0
    for row, (share, colour) in enumerate(zip(shares, colours, strict=True)):
        axes.barh(row, max(share - left, 0), 0.62, left=left, color=colour, edgecolor=FAINT, linewidth=0.5)
        text = f" {share:.1f}%" if share >= 1 else f" {share:.2g}%" if share else " none"
        axes.text(max(share, left), row, text, va="center", color=INK if share else QUIET)
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(left, shares.max() * 3)
        axes.set_xlabel("% of pixels, logarithmic")
    else:
        axes.set_xlim(0, shares.max() * 1.15)
        axes.set_xlabel("% of pixels")
    axes.xaxis.set_major_formatter("{x:g}")
    return figure


@drawing_style()
def confusion_figure(confusion, names: Sequence[str]) -> Picture:
    """Where the pixels of each true class (a row) were put (columns), in % of the row; (C, C) counts in.

    Rows sum to 100; a class without true pixels has a row of dashes.
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
    figure = Picture(figsize=(min(max(side + 1.9, 4.2), 14), min(side + 1.5, 14)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap=_BLUES, vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        text = _percent(share) if totals[row, 0] else "\u2013"
        colour = "white" if share > 0.55 else INK if share >= 0.005 else QUIET
        font = {"weight": "bold" if row == column and share else "normal", "size": 8 if cell < 0.9 else 11}
        axes.text(column, row, text, ha="center", va="center", color=colour, **font)
    ticks = range(len(names))
    slant = {} if cell == 0.9 else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(ticks, [plain(name) for name in names], color=INK, **slant)
    axes.set_yticks(ticks, [plain(name) for name in names], color=INK)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title("Where the pixels of each class went, %")
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=RULE)
    return figure


@drawing_style()
def score_histogram(scores: Sequence[float | None], name: str = "IoU") -> Picture:
    """How the images' scores, 0 to 1, are spread, with their median and mean. None and NaN are left out."""
    values = np.array([score for score in scores if score is not None], np.float64)
    values = values[~np.isnan(values)]
    if not len(values) or values.min() < 0 or values.max() > 1:
        raise VisualizeError("the histogram of scores needs at least one score, and all of them from 0 to 1")
    figure = Picture(figsize=(WIDTH * 0.62, 2.4), layout="constrained")
    axes = figure.subplots()
    low = np.floor(20 * min(values.min(), 0.95)) / 20
    axes.hist(values, np.linspace(low, 1, 21), color=BLUE, edgecolor="white", linewidth=0.6)
    axes.plot(
        values,
        np.full(len(values), -0.04),
        "|",
        color=INK,
        alpha=0.6,
        transform=axes.get_xaxis_transform(),
        markersize=5,
        clip_on=False,
    )
    median, mean = np.median(values), values.mean()
    axes.axvline(median, color=INK, linewidth=1.2)
    axes.axvline(mean, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_title(plain(f"{name} of {len(values)} images: median {median:.3f}, mean {mean:.3f}"))
    axes.set_xlabel(plain(f"{name} (line: median, dashes: mean)"))
    axes.set_ylabel("images")
    axes.set_xlim(low, 1)
    axes.tick_params(axis="x", pad=8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.grid(axis="y")
    return figure


def _rows(names: Sequence[str], title: str, detail: str = ""):
    """A figure for horizontal bars, one row for each name, the first on top."""
    figure = Picture(figsize=(WIDTH * 0.75, 0.8 + 0.2 * bool(detail) + 0.33 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [plain(name) for name in names], color=INK)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    head(axes, title, detail)
    return figure, axes


def _percent(share: float) -> str:
    """Whole per cent, but never a 0 or 100 that is not exact."""
    if 0 < share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else "" if share == 0 else f"{100 * share:.0f}"
