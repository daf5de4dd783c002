"""Figures that explain: a network drawn from its own forward pass, curves, and pictures in rows."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, Patch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, NullLocator
from torch import nn

from seglib.visualize import masks
from seglib.visualize.layout import Tile, mosaic
from seglib.visualize.panels import legend
from seglib.visualize.style import (
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
)

from .arrows import Box, Route
from .placement import LINE, MARGIN, Sheet, arrange
from .trace import record, trace

__all__ = ["architecture", "curves", "pictures", "trace"]

_COLOURS = {"block": BLUE, "merging": ORANGE}
_BOX_LABELS = {"block": "takes one map", "merging": "takes several"}
_ARROWS = {
    "plain": {"color": FAINT, "linewidth": 1.2},
    "skip": {"color": ORANGE, "linewidth": 1.1, "linestyle": (0, (4, 2))},
    "coarser": {"color": BLUE, "linewidth": 0.9},
    "finer": {"color": AMBER, "linewidth": 0.9},
}
_ARROW_LABELS = {
    "plain": "next step",
    "skip": "skip",
    "coarser": "to a coarser stream or other width",
    "finer": "to a finer stream",
}
_HEAD, _FOOT = 0.52, 0.3  # inches above the drawing and below it
_CURVE_COLOURS = (BLUE, ORANGE, AMBER, QUIET, INK)


@drawing_style()
def architecture(
    model: nn.Module,
    input_size: tuple[int, int] = (256, 256),
    in_channels: int | None = None,
    part: str = "",
    title: str = "",
) -> Picture:
    """The network as it ran: depth from left to right, the coarser the resolution the lower.

    A box is a block as `trace` finds it, as high as the square root of its map's height and as wide as that of its
    channels, to scale; below stand its name, channels, height x width, weights and dilation.  Arrows lead to it from
    every block whose result it took.  Where parallel streams meet, the arrows between them have weights, which stand
    at the foot.  `input_size` is (height, width); `in_channels` are by default those of the first convolution.

    `part` draws the inside of one module, named as in `model.named_modules()`, as it ran within the network.
    `title` stands in place of the name of the class.  Raises VisualizeError as `trace` does.
    """
    inputs, blocks = record(model, input_size, in_channels, part)
    sheet = arrange([*inputs, *blocks])
    figure = Picture(figsize=(sheet.width, _HEAD + sheet.height + _FOOT))
    inches = figure.get_figheight()
    axes = figure.add_axes((0, _FOOT / inches, 1, sheet.height / inches))
    axes.set(xlim=(0, sheet.width), ylim=(0, sheet.height))
    axes.set_axis_off()
    _draw_rows(axes, sheet, input_size)
    looks = {_draw_route(axes, sheet, route) for route in sheet.routes}
    looks |= {_draw_box(axes, box, sheet.size) for box in sheet.boxes}
    for x, y, text in sheet.feet:
        axes.text(x, y, text, va="center", color=BLUE, fontsize=sheet.size)
    _draw_legend(figure, looks)
    root = model.get_submodule(part)
    total, drawn = sum(p.numel() for p in root.parameters()), sum(block.parameters for block in blocks)
    whole = f"{title or type(model).__name__}" + (f", its {part} ({type(root).__name__})" if part else "")
    outside = f"; {total - drawn:,} parameters lie outside of the blocks" if total > drawn else ""
    axes.set_title(
        plain(f"{whole} on a picture of {input_size[0]} \u00d7 {input_size[1]}: {total:,} parameters"),
        x=MARGIN / sheet.width,
        y=1,
        pad=72 * (_HEAD - 0.22),
    )
    detail = f"channels, height \u00d7 width of the map, weights{outside}"
    axes.text(MARGIN, sheet.height + _HEAD - 0.42, detail, color=QUIET, fontsize=8)
    return figure


def _draw_rows(axes, sheet: Sheet, input_size: tuple[int, int]) -> None:
    """The resolutions at the left, and a line above each but the first."""
    for number, (row, top) in enumerate(sheet.rows.items()):
        octaves = math.log2(input_size[0] / row[0])
        share = f"1/{2 ** round(octaves)}" if octaves > -0.5 else ""
        fits = share and abs(octaves - round(octaves)) < 0.2 and octaves < 6.5  # else it was pooled to that size
        middle = max(box.y for box in sheet.boxes if box.row == row)
        label = share if fits else f"{row[0]} \u00d7 {row[1]}"
        axes.text(MARGIN, middle, label, va="center", color=QUIET, fontsize=8)
        if number:
            axes.plot((MARGIN, sheet.width - MARGIN), (top + 0.05,) * 2, color=RULE, linewidth=0.8, zorder=-2)


def _draw_box(axes, box: Box, size: float) -> str:
    """Gives its look, for the legend."""
    if box.block.kind != "block":
        axes.add_patch(Circle((box.x, box.y), box.width / 2, facecolor="white", edgecolor=INK, linewidth=1.1))
        look = "join" if box.block.kind == "join" else ""
    else:
        look = "merging" if len(box.block.sources) > 1 else "block"
        corner = box.x - box.width / 2, box.y - box.height / 2
        axes.add_patch(Rectangle(corner, box.width, box.height, facecolor=_COLOURS[look], edgecolor="none"))
    for number, line in enumerate(box.lines):
        weight = "bold" if number == 0 < box.names else "normal"
        colour = INK if number < box.names else QUIET
        y = box.text_top - number * size * LINE / 72
        axes.text(box.x, y, plain(line), ha="center", va="top", fontsize=size, weight=weight, color=colour)
    return look


def _draw_route(axes, sheet: Sheet, route: Route) -> str:
    """Gives its look, for the legend."""
    source, target = sheet.boxes[route.source], sheet.boxes[route.target]
    nearer = any(sheet.boxes[other].column > source.column for other in target.block.sources)
    look = "plain"
    if route.source in target.block.learned:
        look = "finer" if target.row > source.row else "coarser"
    elif nearer and target.block.kind != "join":
        look = "skip"
    points = route.points
    codes = [Path.MOVETO] + [Path.LINETO] * (len(points) - 1)
    if route.way != "straight" and points[-2][1] == points[-1][1]:  # an S in the gap between two columns
        (x0, y0), (x1, y1) = points[-3:-1]
        middle = (x0 + x1) / 2
        points = [*points[:-2], (middle, y0), (middle, y1), *points[-2:]]
        codes = [Path.MOVETO, *[Path.LINETO] * (len(points) - 5), *[Path.CURVE4] * 3, Path.LINETO]
    axes.add_patch(
        FancyArrowPatch(path=Path(points, codes), arrowstyle="-|>", mutation_scale=7, zorder=-1, **_ARROWS[look])
    )
    return look


def _draw_legend(figure: Picture, looks: set[str]) -> None:
    handles = [Patch(color=_COLOURS[look], label=label) for look, label in _BOX_LABELS.items() if look in looks]
    if "join" in looks:
        ring = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markeredgecolor": INK}
        handles.append(Line2D([], [], label="streams meet or begin", **ring))
    handles += [Line2D([], [], label=label, **_ARROWS[look]) for look, label in _ARROW_LABELS.items() if look in looks]
    x = MARGIN / figure.get_figwidth()
    figure.legend(handles=handles, loc="lower left", bbox_to_anchor=(x, 0.07 / figure.get_figheight()), ncols=6)


@drawing_style()
def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_label: str = "",
    y_label: str = "",
    log: bool = False,
) -> Picture:
    """Named curves {name: (xs, ys)} in one chart, with a legend beside it where there are several.

    `log` makes the vertical axis logarithmic.  Raises VisualizeError where a curve has no points or its lists differ
    in length.
    """
    if not lines or any(len(xs) != len(ys) or not len(xs) for xs, ys in lines.values()):
        raise VisualizeError("a chart needs at least one curve, and for each as many values as places, not zero")
    figure = Picture(figsize=(WIDTH * (0.55 if len(lines) == 1 else 0.75), 2.3), layout="constrained")
    axes = figure.subplots()
    for (name, (xs, ys)), colour in zip(lines.items(), _CURVE_COLOURS * len(lines), strict=False):
        axes.plot(xs, ys, color=colour, label=plain(name))
    head(axes, title)
    if len(lines) > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), labelcolor="linecolor", handlelength=1.6)
    axes.set(xlabel=plain(x_label), ylabel=plain(y_label))
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
    return figure


@drawing_style()
def pictures(rows: Sequence[Sequence[tuple]], classes: Sequence[str] = (), palette=None) -> Picture:
    """Pictures in rows; each is a tuple (uint8 (H, W, 3), title, quieter second line), the texts optional.

    With `classes` and `palette`, a legend of the classes below.
    """
    if not rows or not all(rows):
        raise VisualizeError("there are no pictures to show: give at least one in each row")
    tiles = [[Tile(masks.check_image(entry[0]), *entry[1:]) for entry in row] for row in rows]
    swatches = [legend(classes, masks.default_palette(len(classes)) if palette is None else palette)] if classes else []
    return mosaic(tiles, swatches)
