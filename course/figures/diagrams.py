"""Architecture diagrams generated from the forward pass of a network."""

import math
from collections.abc import Mapping

from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, Patch, Rectangle
from matplotlib.path import Path
from torch import nn

from seglib.visualize.style import (
    AMBER,
    BLUE,
    GRAY,
    GRID,
    INK,
    LIGHT_GRAY,
    ORANGE,
    NotebookFigure,
    figure_style,
    printable,
)

from .arrows import Box, Route
from .placement import LINE, MARGIN, Sheet, arrange
from .trace import record, trace

__all__ = ["architecture", "trace"]

_COLORS = {"block": BLUE, "merging": ORANGE}
_BOX_LABELS = {"block": "one input", "merging": "several inputs"}
_ARROWS = {
    "plain": {"color": LIGHT_GRAY, "linewidth": 1.2},
    "skip": {"color": ORANGE, "linewidth": 1.1, "linestyle": (0, (4, 2))},
    "coarser": {"color": BLUE, "linewidth": 0.9},
    "finer": {"color": AMBER, "linewidth": 0.9},
}
_ARROW_LABELS = {
    "plain": "next step",
    "skip": "skip",
    "coarser": "to a lower resolution or another width",
    "finer": "to a higher resolution",
}
_HEAD, _FOOT = 0.52, 0.3  # inches above and below the drawing


@figure_style()
def architecture(
    model: nn.Module,
    input_size: tuple[int, int] = (256, 256),
    in_channels: int | None = None,
    part: str = "",
    title: str = "",
    names: Mapping[str, str] | None = None,
) -> NotebookFigure:
    """Draw the blocks of a network, with depth from left to right and resolution decreasing from top to bottom.

    Each box is a block found by `trace`. The height of a box is proportional to the square root of the height of its
    feature map, and its width to the square root of the number of channels. The text below a box gives the name of the
    block, the number of channels, height x width, the number of parameters, and the dilation if it is not 1. Arrows
    lead to a block from all blocks whose outputs it uses. Where parallel branches exchange features, the layers between
    the branches are drawn as arrows, and their parameter counts are written at the bottom.

    Args:
        model: The network.
        input_size: (height, width) of the input image.
        in_channels: Channels of the input; by default the input channels of the first convolution.
        part: Draw only this module, named as in `model.named_modules()`.
        title: Title of the diagram; by default the class name of the model.
        names: Other names of blocks, such as those in the paper, which are written above the names of the modules.

    Raises:
        VisualizeError: If the model has no such part, or the part has no blocks.
    """
    inputs, blocks = record(model, input_size, in_channels, part)
    for block in blocks:
        block.title = (names or {}).get(block.name, "")
    sheet = arrange([*inputs, *blocks])
    figure = NotebookFigure(figsize=(sheet.width, _HEAD + sheet.height + _FOOT))
    inches = figure.get_figheight()
    axes = figure.add_axes((0, _FOOT / inches, 1, sheet.height / inches))
    axes.set(xlim=(0, sheet.width), ylim=(0, sheet.height))
    axes.set_axis_off()
    _draw_rows(axes, sheet, input_size)
    looks = {_draw_route(axes, sheet, route) for route in sheet.routes}
    looks |= {_draw_box(axes, box, sheet.size, f"block-{place}") for place, box in enumerate(sheet.boxes)}
    for x, y, text in sheet.feet:
        axes.text(x, y, text, va="center", color=BLUE, fontsize=sheet.size)
    _draw_legend(figure, looks)
    root = model.get_submodule(part)
    total, drawn = sum(p.numel() for p in root.parameters()), sum(block.parameters for block in blocks)
    whole = f"{title or type(model).__name__}" + (f", its {part} ({type(root).__name__})" if part else "")
    outside = f"; {total - drawn:,} parameters are outside of the blocks" if total > drawn else ""
    axes.set_title(
        printable(f"{whole} on an image of {input_size[0]} \u00d7 {input_size[1]}: {total:,} parameters"),
        x=MARGIN / sheet.width,
        y=1,
        pad=72 * (_HEAD - 0.22),
    )
    detail = f"channels, height \u00d7 width of the feature map, parameters{outside}"
    axes.text(MARGIN, sheet.height + _HEAD - 0.42, detail, color=GRAY, fontsize=8)
    return figure


def _draw_rows(axes, sheet: Sheet, input_size: tuple[int, int]) -> None:
    """Label the resolutions at the left edge, and draw a line between neighboring resolutions."""
    for number, (row, top) in enumerate(sheet.rows.items()):
        octaves = math.log2(input_size[0] / row[0])
        share = f"1/{2 ** round(octaves)}" if octaves > -0.5 else ""
        fits = share and abs(octaves - round(octaves)) < 0.2 and octaves < 6.5  # false after pooling to a fixed size
        middle = max(box.y for box in sheet.boxes if box.row == row)
        label = share if fits else f"{row[0]} \u00d7 {row[1]}"
        axes.text(MARGIN, middle, label, va="center", color=GRAY, fontsize=8)
        if number:
            axes.plot((MARGIN, sheet.width - MARGIN), (top + 0.05,) * 2, color=GRID, linewidth=0.8, zorder=-2)


def _draw_box(axes, box: Box, size: float, gid: str) -> str:
    """Draw a box with the SVG id `gid`, and return its key in the legend."""
    if box.block.kind != "block":
        circle = {"facecolor": "white", "edgecolor": INK, "linewidth": 1.1}
        axes.add_patch(Circle((box.x, box.y), box.width / 2, gid=gid, **circle))
        look = "join" if box.block.kind == "join" else ""
    else:
        look = "merging" if len(box.block.sources) > 1 else "block"
        corner = box.x - box.width / 2, box.y - box.height / 2
        axes.add_patch(Rectangle(corner, box.width, box.height, facecolor=_COLORS[look], edgecolor="none", gid=gid))
    for number, line in enumerate(box.lines):
        weight = "bold" if number == 0 < box.names else "normal"
        color = INK if number < box.names else GRAY
        y = box.text_top - number * size * LINE / 72
        axes.text(box.x, y, printable(line), ha="center", va="top", fontsize=size, weight=weight, color=color)
    return look


def _draw_route(axes, sheet: Sheet, route: Route) -> str:
    """Draw an arrow, and return its key in the legend."""
    source, target = sheet.boxes[route.source], sheet.boxes[route.target]
    nearer = any(sheet.boxes[other].column > source.column for other in target.block.sources)
    look = "plain"
    if route.source in target.block.learned:
        look = "finer" if target.row > source.row else "coarser"
    elif nearer and target.block.kind != "join":
        look = "skip"
    points = route.points
    codes = [Path.MOVETO] + [Path.LINETO] * (len(points) - 1)
    if route.way != "straight" and points[-2][1] == points[-1][1]:  # S-shaped curve between two columns
        (x0, y0), (x1, y1) = points[-3:-1]
        middle = (x0 + x1) / 2
        points = [*points[:-2], (middle, y0), (middle, y1), *points[-2:]]
        codes = [Path.MOVETO, *[Path.LINETO] * (len(points) - 5), *[Path.CURVE4] * 3, Path.LINETO]
    axes.add_patch(
        FancyArrowPatch(path=Path(points, codes), arrowstyle="-|>", mutation_scale=7, zorder=-1, **_ARROWS[look])
    )
    return look


def _draw_legend(figure: NotebookFigure, looks: set[str]) -> None:
    handles = [Patch(color=_COLORS[look], label=label) for look, label in _BOX_LABELS.items() if look in looks]
    if "join" in looks:
        ring = {"linestyle": "", "marker": "o", "markerfacecolor": "white", "markeredgecolor": INK}
        handles.append(Line2D([], [], label="branches meet or begin", **ring))
    handles += [Line2D([], [], label=label, **_ARROWS[look]) for look, label in _ARROW_LABELS.items() if look in looks]
    x = MARGIN / figure.get_figwidth()
    place = {"loc": "lower left", "bbox_to_anchor": (x, 0.07 / figure.get_figheight())}
    figure.legend(handles=handles, ncols=6, columnspacing=1.5, **place)
