"""Charts and images for the notebooks."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from seglib.metrics import boundary_bands, boundary_width
from seglib.visualize import VisualizeError, masks
from seglib.visualize.style import (
    BLUE,
    GRAY,
    GRID,
    INK,
    LIGHT_GRAY,
    ORANGE,
    WIDTH,
    NotebookFigure,
    add_title,
    figure_style,
    format_score,
    printable,
)

from .layout import Tile, arrange_tiles
from .training import LINE_COLORS

CHAPTERS = (
    "Data",
    "U-Net",
    "U\u00b2-Net",
    "HRNet",
    "Mini-HRNet",
    "Dilated ResNet",
    "Humans",
    "Transfer learning",
    "Evaluation",
    "Your own data",
)


@figure_style()
def line_chart(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_label: str = "",
    y_label: str = "",
    log: bool = False,
) -> NotebookFigure:
    """Draw lines in one chart, with a legend if there are several lines.

    Args:
        lines: {name: (xs, ys)}.
        title: Title of the chart.
        x_label: Label of the horizontal axis.
        y_label: Label of the vertical axis.
        log: Whether the vertical axis is logarithmic.

    Raises:
        VisualizeError: If there are no lines, or a line has no points or different numbers of x and y values.
    """
    if not lines or any(len(xs) != len(ys) or not len(xs) for xs, ys in lines.values()):
        raise VisualizeError(
            "a chart needs at least one line, and each line as many y values as x values, at least one"
        )
    figure = NotebookFigure(figsize=(WIDTH * (0.55 if len(lines) == 1 else 0.75), 2.3), layout="constrained")
    axes = figure.subplots()
    for (name, (xs, ys)), color in zip(lines.items(), LINE_COLORS * len(lines), strict=False):
        axes.plot(xs, ys, color=color, label=printable(name))
    add_title(axes, title)
    if len(lines) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), labelcolor="linecolor", handlelength=1.6)
    axes.set(xlabel=printable(x_label), ylabel=printable(y_label))
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
    return figure


@figure_style()
def score_histogram(scores: Sequence[float | None], name: str = "IoU") -> NotebookFigure:
    """Draw a histogram of per-image scores from 0 to 1 with their median and mean, leaving out None and NaN."""
    values = np.array([score for score in scores if score is not None], np.float64)
    values = values[~np.isnan(values)]
    if not len(values) or values.min() < 0 or values.max() > 1:
        raise VisualizeError("the histogram needs at least one score, and all scores from 0 to 1")
    figure = NotebookFigure(figsize=(WIDTH * 0.62, 2.4), layout="constrained")
    axes = figure.subplots()
    low = np.floor(20 * min(values.min(), 0.95)) / 20
    axes.hist(values, np.linspace(low, 1, 21), color=BLUE, edgecolor="white", linewidth=0.6)
    ticks = {"transform": axes.get_xaxis_transform(), "markersize": 5, "clip_on": False}
    axes.plot(values, np.full(len(values), -0.04), "|", color=INK, alpha=0.6, **ticks)
    median, mean = np.median(values), values.mean()
    axes.axvline(median, color=INK, linewidth=1.2)
    axes.axvline(mean, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_title(printable(f"{name} of {len(values)} images: median {median:.3f}, mean {mean:.3f}"))
    axes.set_xlabel(printable(f"{name} (line: median, dashes: mean)"))
    axes.set_ylabel("images")
    axes.set_xlim(low, 1)
    axes.tick_params(axis="x", pad=8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.grid(axis="y")
    return figure


@figure_style()
def roadmap(chapters: Sequence[str] = CHAPTERS, current: int = 0) -> NotebookFigure:
    """Draw the chapters of the course in a line and highlight chapter number `current`, or no chapter if it is 0."""
    if not chapters or not 0 <= current <= len(chapters):
        raise VisualizeError(f"the roadmap has {len(chapters)} chapters, so current must be from 0 to {len(chapters)}")
    room = max(9, int(104 / len(chapters)))  # characters per line below a chapter
    labels = [textwrap.wrap(printable(chapter), room) for chapter in chapters]
    height = 0.66 + 0.16 * max(len(label) for label in labels)
    figure = NotebookFigure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0.4, len(chapters) + 0.6), ylim=(0.25 - height, 0.25))  # inches relative to the line
    axes.set_axis_off()
    axes.plot([1, len(chapters)], [0, 0], color=GRID, linewidth=3, zorder=1)
    axes.plot([1, max(current, 1)], [0, 0], color=BLUE, linewidth=3, zorder=1)
    for number, label in enumerate(labels, 1):
        here, done = number == current, number < current
        face, edge = (ORANGE, ORANGE) if here else (BLUE, BLUE) if done else ("white", LIGHT_GRAY)
        axes.plot(number, 0, "o", markersize=24 if here else 19, color=face, markeredgecolor=edge, markeredgewidth=1.5)
        style = {"ha": "center", "va": "center", "weight": "bold"}
        axes.text(number, -0.006, str(number), color="white" if here or done else GRAY, **style)
        style = {"ha": "center", "va": "top", "linespacing": 1.15, "weight": "bold" if here else "normal"}
        axes.text(number, -0.27, "\n".join(label), color=INK if here else GRAY, **style)
    place = f"; this is chapter {current}, {chapters[current - 1]}" if current else ""
    figure.alt = f"The chapters of the course: {', '.join(chapters)}{place}."
    return figure


@figure_style()
def feature_maps(features, n: int = 16, columns: int = 8) -> NotebookFigure:
    """Show the first `n` channels of a tensor or array (C, H, W), each scaled from its minimum to its maximum."""
    features = features.detach().cpu().float().numpy() if hasattr(features, "detach") else np.asarray(features)
    if features.ndim != 3 or features.size == 0 or n < 1 or columns < 1:
        raise VisualizeError(f"feature maps must have shape (C, H, W), but these have {features.shape}")
    if not np.isfinite(features).all():
        raise VisualizeError("the feature maps have NaN or infinite values: look for the layer that produces them")
    tiles = []
    for channel, values in enumerate(features[:n].astype(np.float64)):
        span = np.ptp(values)
        gray = np.full(values.shape, 0.5) if span == 0 else (values - values.min()) / span
        tiles.append(Tile(np.repeat((255 * gray + 0.5).astype(np.uint8)[..., None], 3, axis=2), "", str(channel)))
    height, width = features.shape[1:]
    tiles[0].title = f"{len(tiles)} of {len(features)} channels, {width} \u00d7 {height}"
    return arrange_tiles([tiles[start : start + columns] for start in range(0, len(tiles), columns)])


def boundary_errors(
    image, target, prediction, class_index: int = 1, ratio: float = 0.02, ignore_index: int = 255
) -> np.ndarray:
    """Show the two bands that Boundary IoU compares, over a darkened grayscale image.

    Pixels in both bands are drawn in TRUE_POSITIVE, pixels only in the target's band in FALSE_NEGATIVE, and pixels only
    in the prediction's band in FALSE_POSITIVE. Boundary IoU is the first area divided by the sum of the three.

    Args:
        image: (H, W, 3) uint8.
        target: The target mask (H, W).
        prediction: The predicted label map (H, W).
        class_index: The class whose boundary is shown.
        ratio: Width of the bands as a fraction of the image diagonal.
        ignore_index: The label of ignored pixels.

    Returns:
        An image (H, W, 3) uint8.
    """
    image = masks.check_image(image)
    target, prediction = masks.check_labels(target, "the target"), masks.check_labels(prediction, "the prediction")
    masks.check_same_size(image=image, target=target, prediction=prediction)
    width = boundary_width(*target.shape, ratio)
    target_band = (target == class_index) & boundary_bands(target, width)
    band = (prediction == class_index) & boundary_bands(prediction, width)
    areas = target_band & band, target_band & ~band, ~target_band & band
    return masks.paint_errors(image, *areas, target == ignore_index)


def cutout(image, labels, foreground: int = 1) -> np.ndarray:
    """Make the image transparent where the label is not `foreground`. Return RGBA (H, W, 4) uint8."""
    image, labels = masks.check_image(image), masks.check_labels(labels, "the label map")
    masks.check_same_size(image=image, labels=labels)
    return np.dstack([image, np.where(labels == foreground, 255, 0).astype(np.uint8)])


@figure_style()
def per_class_bars(scores: dict) -> NotebookFigure:
    """Show IoU (wide bars) and Boundary IoU (narrow bars) of each class, from the result of `metrics.Counts.scores`."""
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
    """Show the percentage of pixels in each class, on a logarithmic scale if it varies by more than a factor of 50."""
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or len(counts) != len(names) or not counts.sum() > 0 or counts.min() < 0:
        raise VisualizeError(f"the class histogram needs one count for each of the {len(names)} names, not all zero")
    colors = [BLUE] * len(names) if palette is None else masks.check_palette(palette)[: len(names)] / 255
    if len(colors) < len(names):
        raise VisualizeError(f"there are {len(names)} class names but only {len(colors)} colors: give one for each")
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


def _bar_figure(names: Sequence[str], title: str, detail: str = ""):
    """Return a figure and axes for horizontal bars, with one row for each name and the first name at the top."""
    height = 0.8 + 0.2 * bool(detail) + 0.33 * len(names)
    figure = NotebookFigure(figsize=(WIDTH * 0.75, height), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(names)), [printable(name) for name in names], color=INK)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    add_title(axes, title, detail)
    return figure, axes
