"""Figures that explain: a network drawn from its own forward pass, curves, and pictures in rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor, nn

from . import masks
from .layout import Tile, mosaic
from .panels import legend
from .style import (
    AMBER,
    BLUE,
    FAINT,
    INK,
    ORANGE,
    QUIET,
    WIDTH,
    Picture,
    VisualizeError,
    drawing_style,
    head,
    plain,
)

_CURVE_COLOURS = (BLUE, ORANGE, AMBER, QUIET, INK)


@dataclass
class Block:
    """One direct child of a network as it was seen at work."""

    name: str
    shape: tuple[int, int, int]  # channels, height, width of what it gave back
    parameters: int
    sources: list[int]  # the blocks whose results it took, by their place; -1 is the network's input


@torch.no_grad()
def trace(model: nn.Module, input_size: tuple[int, int], in_channels: int = 3) -> list[Block]:
    """The direct children of `model` in the order in which they ran on an image (height, width) of zeros.

    Works on torch's "meta" device too, where nothing is computed.  Raises VisualizeError if no child of the
    network maps one picture to one picture (N, C, H, W).
    """
    blocks: list[Block] = []
    makers: dict[int, int] = {}  # id of a tensor -> the block that made it
    alive: list[Tensor] = []  # an id is only unique while its tensor lives

    def remember(name: str, module: nn.Module, given: tuple, result: object) -> None:
        if isinstance(result, Tensor) and result.ndim == 4:
            sources = [makers[id(tensor)] for tensor in given if id(tensor) in makers]
            makers[id(result)] = len(blocks)
            alive.append(result)
            parameters = sum(p.numel() for p in module.parameters())
            blocks.append(Block(name, tuple(result.shape[1:]), parameters, sources))

    image = torch.zeros(1, in_channels, *input_size, device=next(model.parameters()).device)
    makers[id(image)] = -1
    hooks = [
        child.register_forward_hook(lambda module, given, result, name=name: remember(name, module, given, result))
        for name, child in model.named_children()
    ]
    training = model.training
    try:
        model.eval()(image)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    if not blocks:
        raise VisualizeError(f"no child of {type(model).__name__} gave back a picture (N, C, H, W): nothing to draw")
    return blocks


@drawing_style()
def architecture(model: nn.Module, input_size: tuple[int, int] = (256, 256), in_channels: int = 3) -> Picture:
    """The network as it ran: its direct children from left to right, the lower the coarser their resolution.

    A box is as high as the square root of its resolution and as wide as that of its channels, to scale.  An arrow
    leads to each child from every child whose result it took; those that pass over others are the skips.
    `input_size` is (height, width).  Raises VisualizeError as `trace` does.
    """
    blocks = trace(model, input_size, in_channels)
    levels = [input_size[0] / block.shape[1] for block in blocks]
    widest, finest = max(block.shape[0] for block in blocks), max(block.shape[1] for block in blocks)
    depth = sorted({round(level, 2) for level in levels})
    rows = [depth.index(round(level, 2)) for level in levels]
    figure = Picture(figsize=(WIDTH, 1.3 + 0.78 * len(depth)))
    axes = figure.add_axes((0.01, 0, 0.98, 1 - 0.5 / figure.get_figheight()))
    axes.set(xlim=(-0.7, len(blocks) - 0.3), ylim=(-1.05 * (len(depth) - 1) - 0.95, 0.5))
    axes.set_axis_off()
    boxes = []
    for place, (block, row) in enumerate(zip(blocks, rows, strict=True)):
        width = 0.62 * (block.shape[0] / widest) ** 0.5
        height = 0.7 * (block.shape[1] / finest) ** 0.5
        boxes.append((place, -1.05 * row, max(width, 0.05), height))
    for place, block in enumerate(blocks):
        _draw_block(axes, block, boxes[place])
        for source in block.sources:
            if source >= 0:
                _draw_arrow(axes, boxes[source], boxes[place], skip=place - source > 1)
    total = sum(p.numel() for p in model.parameters())
    size = f"{input_size[1]} \u00d7 {input_size[0]}"
    head(axes, f"{type(model).__name__} on a picture of {size}: {total:,} parameters", "channels, resolution, weights")
    return figure


def _draw_block(axes, block: Block, box: tuple[float, float, float, float]) -> None:
    x, y, width, height = box
    colour = ORANGE if len(block.sources) > 1 else BLUE
    axes.add_patch(Rectangle((x - width / 2, y - height / 2), width, height, facecolor=colour, edgecolor="white"))
    channels, rows, columns = block.shape
    weights = f"{block.parameters / 1e6:.1f} M" if block.parameters >= 1e5 else f"{block.parameters:,}"
    axes.text(x, y - height / 2 - 0.06, plain(block.name), ha="center", va="top", weight="bold", fontsize=8)
    detail = f"{channels} ch\n{columns} \u00d7 {rows}\n{weights}"
    axes.text(x, y - height / 2 - 0.2, detail, ha="center", va="top", color=QUIET, fontsize=7.5, linespacing=1.15)


def _draw_arrow(axes, start: tuple, end: tuple, skip: bool) -> None:
    (x0, y0, width0, _), (x1, y1, width1, _) = start, end
    look = {"color": ORANGE, "linestyle": (0, (4, 2))} if skip else {"color": FAINT}
    places = (x0 + width0 / 2 + 0.03, y0), (x1 - width1 / 2 - 0.03, y1)
    axes.add_patch(FancyArrowPatch(*places, arrowstyle="-|>", mutation_scale=9, linewidth=1.3, zorder=0, **look))


@drawing_style()
def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str, x_label: str = "", y_label: str = "", log: bool = False,
) -> Picture:  # fmt: skip
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
