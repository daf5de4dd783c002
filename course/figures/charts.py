"""Charts and images that only the notebooks use."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from seglib.metrics import boundary_bands, boundary_width
from seglib.visualize import masks
from seglib.visualize.charts import LINE_COLORS
from seglib.visualize.layout import Tile, arrange_tiles
from seglib.visualize.style import (
    BLUE,
    GRAY,
    GRID,
    INK,
    LIGHT_GRAY,
    ORANGE,
    WIDTH,
    NotebookFigure,
    VisualizeError,
    add_title,
    figure_style,
    printable,
)

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
    """Draw named lines {name: (xs, ys)} in one chart, with a legend beside it if there are several.

    `log` makes the vertical axis logarithmic. Raises VisualizeError if a line has no points or its lists differ in
    length.
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
    """Draw the distribution of the images' scores, 0 to 1, with median and mean. None and NaN are left out."""
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
    """Draw the course as a line of chapters; those before `current` (counted from 1; 0 for none) are filled."""
    if not chapters or not 0 <= current <= len(chapters):
        raise VisualizeError(f"the roadmap has {len(chapters)} chapters, so current must be from 0 to {len(chapters)}")
    room = max(9, int(104 / len(chapters)))  # letters below one chapter
    labels = [textwrap.wrap(printable(chapter), room) for chapter in chapters]
    height = 0.66 + 0.16 * max(len(label) for label in labels)
    figure = NotebookFigure(figsize=(WIDTH, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0.4, len(chapters) + 0.6), ylim=(0.25 - height, 0.25))  # inches below the middle of the line
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
    """Show the first `n` channels of a (C, H, W) tensor or array, each scaled from its minimum to its maximum."""
    features = features.detach().cpu().float().numpy() if hasattr(features, "detach") else np.asarray(features)
    if features.ndim != 3 or features.size == 0 or n < 1 or columns < 1:
        raise VisualizeError(f"feature maps must have shape (C, H, W), but these have {features.shape}")
    if not np.isfinite(features).all():
        raise VisualizeError("the feature maps have NaN or infinite values: look for the layer that makes them")
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
    """Show the two bands that Boundary IoU compares, over the darkened grey image; (H, W, 3) uint8.

    TRUE_POSITIVE where the bands of target and prediction meet, FALSE_NEGATIVE for the target's band alone,
    FALSE_POSITIVE for the prediction's alone: Boundary IoU is the first area over all three. `ratio` is the width of
    the bands in image diagonals.
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
    """Return (H, W, 4) uint8 RGBA: the image where the label is `foreground`, transparent elsewhere."""
    image, labels = masks.check_image(image), masks.check_labels(labels, "the label map")
    masks.check_same_size(image=image, labels=labels)
    return np.dstack([image, np.where(labels == foreground, 255, 0).astype(np.uint8)])
