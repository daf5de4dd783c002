"""Place the blocks of a network in columns by depth and in rows by resolution; all positions are in inches."""

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from seglib.visualize.style import WIDTH, printable

from .arrows import BUS, Box, Route, corners, find_routes, track
from .trace import Block

WIDEST = 10.4  # about a thousand pixels on a screen
DOT = 0.11  # diameter of a join
_FOOT = "parameters of the arrows"
# Pairs of font size (points) and page width; the first pair for which the diagram fits on the page is used.
_CHOICES = ((8.0, WIDTH), (7.5, WIDTH), (7.0, WIDTH), (7.5, WIDEST), (7.0, WIDEST), (6.5, WIDEST), (6.0, WIDEST))
_TALLEST, _THICKEST = 0.46, 0.5  # largest height and width of a block
LINE, _ROOM = 1.22, 0.13  # line height as a multiple of the font size; vertical distance between tracks
_GAP, _CROSSING = 0.06, 0.15  # minimum gap between columns, without and with arrows that change height in the gap
MARGIN, _LEFT, _TOP = 0.08, 0.42, 0.04  # the resolutions are written between MARGIN and _LEFT
_STACK = 3  # columns with at least this many blocks of the same resolution have shorter text below the blocks


@dataclass
class Sheet:
    """The layout of a diagram, with all positions in inches from the lower left corner."""

    width: float
    height: float
    size: float  # font size in points
    boxes: list[Box]
    routes: list[Route]
    rows: dict[tuple[int, int], float]  # {(height, width) of the feature maps: top of their row in the diagram}
    feet: list[tuple[float, float, str]]  # x, y and text of the parameter counts of the arrows


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of a text in inches, with 4% added because letters are aligned to whole pixels."""
    return 1.04 * size / 72 * _width_of_a_point(text, bold)


@functools.lru_cache(maxsize=4096)
def _width_of_a_point(text: str, bold: bool) -> float:
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return TextPath((0, 0), printable(text), size=10, prop=font).get_extents().width / 10 if text.strip() else 0.0


def arrange(blocks: Sequence[Block]) -> Sheet:
    """Place blocks and arrows on a sheet; the `sources` of each block must be indices into `blocks`."""
    columns = _columns(blocks)
    piles = Counter((column, *block.shape[1:]) for block, column in zip(blocks, columns, strict=True))
    tall = {column for (column, *_), count in piles.items() if count >= _STACK}
    boxes = [_box(block, column, blocks, column in tall) for block, column in zip(blocks, columns, strict=True)]
    _choose_lanes(boxes)
    routes = find_routes(boxes)
    size, gaps, extents = _spread(boxes, routes)
    width = _set_across(boxes, gaps, extents)
    rows, height, feet = _set_down(boxes, routes, size)
    for route in routes:
        route.points = corners(route, boxes, extents)
    return Sheet(width, height, size, boxes, routes, rows, feet)


def weights(count: int) -> str:
    """Format a number of parameters, in millions if it is 100,000 or more."""
    if count < 1e5:
        return f"{count:,}"
    return f"{count / 1e6:.2f} M" if count < 1e6 else f"{count / 1e6:.1f} M"


def _columns(blocks: Sequence[Block]) -> list[int]:
    """Return the column of each block.

    The column is the depth of the block, counted from the input. Ordinary blocks, but not joins, are then shifted right
    until they are next to the first block that uses their output.
    """
    depths: list[int] = []
    for block in blocks:
        depths.append(1 + max((depths[source] for source in block.sources), default=-1))
    waiting: dict[int, int] = {}
    for place in reversed(range(len(blocks))):
        if blocks[place].kind == "block":
            depths[place] = waiting.get(place, depths[place] + 1) - 1
        for source in blocks[place].sources:
            waiting[source] = min(waiting.get(source, depths[place]), depths[place])
    return depths


def _box(block: Block, column: int, blocks: Sequence[Block], stacked: bool) -> Box:
    channels, rows, columns = block.shape
    if block.kind != "block":
        lines = [] if block.kind == "join" else [{"input": "in", "output": "out"}[block.kind]]
        return Box(block, column, (rows, columns), DOT, DOT, lines, 0)
    widest, finest = (max(other.shape[axis] for other in blocks if other.kind == "block") for axis in (0, 1))
    width = max(_THICKEST * math.sqrt(channels / widest), 0.05)
    height = max(_TALLEST * math.sqrt(rows / finest), 0.05)
    titles = [block.title] if block.title else []
    names = [", ".join([*titles, block.name])] if stacked else [*titles, *_name(block.name)]
    facts = [f"{channels} ch", f"{rows} \u00d7 {columns}", weights(block.parameters)]
    if max(block.dilations, default=1) > 1:
        least, most = min(block.dilations), max(block.dilations)
        facts.append(f"dilation {most}" if least == most else f"dilation {least}\u2013{most}")
    if stacked:
        facts = [", ".join(facts[:2]), ", ".join(facts[2:])]
    return Box(block, column, (rows, columns), width, height, names + facts, len(names))


def _name(dotted: str) -> list[str]:
    """Split a dotted name into two lines, the parent and the module; "list.0" is not split."""
    parts = dotted.split(".")
    last = 2 if parts[-1].isdigit() and len(parts) > 1 else 1
    return [".".join(part) for part in (parts[:-last], parts[-last:]) if part]


def _choose_lanes(boxes: list[Box]) -> None:
    """Assign lanes, the vertical positions in a row, so that blocks of the same row and column do not overlap.

    A block also gets a different lane from every arrow that passes through its column at its resolution. Columns are
    processed from right to left, so that a block can be in the same lane as the block that uses its output.
    """
    arrows = [(boxes[source], box) for box in boxes for source in box.block.sources]
    taken: set[tuple] = set()
    for box in sorted(boxes, key=lambda box: -box.column):
        passing = {t.lane for s, t in arrows if s.row == t.row == box.row and s.column < box.column < t.column}
        wish = min((t.lane for s, t in arrows if s is box and t.row == box.row), default=0)
        lanes = [wish, *range(len(boxes) + 1)]
        box.lane = next(n for n in lanes if n not in passing and (box.column, box.row, n) not in taken)
        taken.add((box.column, box.row, box.lane))


def _spread(boxes: list[Box], routes: list[Route]) -> tuple[float, list[float], list[float]]:
    """Choose the first font size in _CHOICES at which the columns fit on the page.

    Returns:
        The font size, the gap before each column, and the width of each column.
    """
    columns = 1 + max(box.column for box in boxes)
    crossing = [0] * columns
    for route in routes:
        if route.way in ("late", "early"):
            target, source = boxes[route.target], boxes[route.source]
            crossing[source.column + 1 if route.way == "early" else target.column] = 1
    least = [0.0] + [_CROSSING if cross else _GAP for cross in crossing[1:]]
    for size, page in _CHOICES:
        extents = [max(_extent(box, size) for box in boxes if box.column == column) for column in range(columns)]
        spare = page - (_LEFT + MARGIN + sum(extents) + sum(least))
        if spare >= 0:
            break
    share = min(max(spare, 0) / max(columns - 1, 1), 0.7)
    return size, [0.0, *(gap + share for gap in least[1:])], extents


def _extent(box: Box, size: float) -> float:
    return max(box.width, *(text_width(line, size, n == 0 < box.names) for n, line in enumerate(box.lines or [""])))


def _set_across(boxes: list[Box], gaps: list[float], extents: list[float]) -> float:
    x, middles = _LEFT, []
    for gap, extent in zip(gaps, extents, strict=True):
        middles.append(x + gap + extent / 2)
        x += gap + extent
    for box in boxes:
        box.x = middles[box.column]
    return max(x + MARGIN, WIDTH)


def _set_down(boxes: list[Box], routes: list[Route], size: float) -> tuple[dict, float, list]:
    """Set the vertical positions of the boxes.

    Returns:
        The top of each row of the diagram, the height of the page, and the text at the bottom of the page.
    """
    y, rows = _TOP, {}  # y increases downward here and is flipped at the end
    for height in sorted({track(box) for box in boxes}):
        members = [box for box in boxes if track(box) == height]
        levels = max((r.level for r in routes if track(boxes[r.source]) == height), default=0)
        tallest = max(box.height for box in members)
        rows.setdefault(members[0].row, y)
        y += BUS * (levels + (levels > 0)) + tallest / 2
        for box in members:
            box.y = y
            box.text_top = y + box.height / 2 + 0.04
        text = max(box.text_top + len(box.lines) * size * LINE / 72 for box in members)
        y = max(y + tallest / 2, text) + _ROOM
    feet = _feet(boxes, size)
    height = y + max((top for _, top, _ in feet), default=0) + 0.1 * bool(feet)
    for box in boxes:
        box.y, box.text_top = height - box.y, height - box.text_top
    return {row: height - top for row, top in rows.items()}, height, feet


def _feet(boxes: list[Box], size: float) -> list[tuple[float, float, str]]:
    """Return (x, y, text) for the parameter count below each column that contains joins.

    If a count does not fit on the first line, it is written on the second line.
    """
    sums: Counter = Counter()
    for box in boxes:
        if box.block.kind == "join":
            sums[box.x] += box.block.parameters
    upper, lower = (MARGIN + size * (LINE * line + 0.5) / 72 for line in (1, 0))
    end = MARGIN + text_width(_FOOT, size)
    feet = [(MARGIN, upper, _FOOT)] if sums else []
    for x, count in sorted(sums.items()):
        half = text_width(weights(count), size) / 2 + 0.03
        raised = x - half >= end
        end = x + half if raised else end
        feet.append((x - half + 0.03, upper if raised else lower, weights(count)))
    return feet
