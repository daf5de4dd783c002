"""Route the arrows of an architecture diagram so that they do not cross blocks. All positions are in inches.

Blocks are placed in columns by depth. Within a column, a block has a track, which is its vertical position.
"""

import math
from dataclasses import dataclass, field

from .trace import Block

BUS = 0.11  # distance between parallel arrows
_AIR = 0.03  # distance between text and arrow


@dataclass
class Box:
    """A block in the diagram: its position (`x`, `y` of the center), its size, and the text below it."""

    block: Block
    column: int  # index of the column, counted from the left
    row: tuple[int, int]  # height and width of the feature map; each resolution has its own row of the diagram
    width: float
    height: float
    lines: list[str]  # lines of text below the block, its name first
    names: int  # number of lines used by the name; the first line is bold
    lane: int = 0  # vertical position within the row, counted from the top
    x: float = 0.0
    y: float = 0.0
    text_top: float = 0.0


@dataclass
class Route:
    """An arrow between two boxes. `points` are its corners (x, y)."""

    source: int
    target: int
    # "straight"; "early" or "late" if the arrow moves to the track of the target right after the source or right before
    # the target; "over" if it passes above the boxes of its source's track
    way: str
    level: int = 0  # for "over": 1 for the lowest arrow above the boxes, 2 for the one above it, and so on
    points: list[tuple[float, float]] = field(default_factory=list)


def track(box: Box) -> tuple:
    """Return the sort key of a box's track: boxes on the same track have equal keys, and keys increase downward."""
    return -box.row[0] * box.row[1], box.row, box.lane


def find_routes(boxes: list[Box]) -> list[Route]:
    """Choose how each arrow runs, based on the columns and tracks of the boxes. `corners` computes the points later."""
    taken = {(box.column, track(box)) for box in boxes}

    def free(height: tuple, first: int, last: int) -> bool:
        return not any((column, height) in taken for column in range(first + 1, last))

    routes = []
    for place, box in enumerate(boxes):
        for number in box.block.sources:
            source = boxes[number]
            span = source.column, box.column
            if track(source) == track(box):
                way = "straight" if free(track(box), *span) else "over"
            elif free(track(source), *span):
                way = "late"
            else:
                way = "early" if free(track(box), *span) else "over"
            routes.append(Route(number, place, way))
    above: dict[tuple, list[tuple]] = {}
    for route in sorted(routes, key=lambda r: boxes[r.target].column - boxes[r.source].column):
        if route.way == "over":
            first, last = boxes[route.source].column, boxes[route.target].column
            others = above.setdefault(track(boxes[route.source]), [])
            route.level = 1 + max((level for a, b, level in others if a <= last and first <= b), default=0)
            others.append((first, last, route.level))
    return routes


def corners(route: Route, boxes: list[Box], extents: list[float]) -> list[tuple[float, float]]:
    """Return the corners of an arrow. `extents` are the widths of the columns in inches."""
    source, target = boxes[route.source], boxes[route.target]
    start, end = (source.x + source.width / 2 + 0.02, source.y), (target.x - target.width / 2 - 0.02, target.y)
    if route.way == "straight":
        return [start, end]
    if route.way == "over":
        tallest = max(box.height for box in boxes if track(box) == track(source))
        bus = source.y + tallest / 2 + BUS * route.level
        points = [(source.x, source.y + source.height / 2 + 0.02), (source.x, bus)]
        if track(source) == track(target):
            return [*points, (target.x, bus), (target.x, target.y + target.height / 2 + 0.02)]
    else:  # start above or below the point where straight arrows start
        points = [(start[0], start[1] + _shift(source, target))]
    column = source.column if route.way == "early" else target.column - 1
    middle = {box.column: box.x for box in boxes}
    left, right = middle[column] + extents[column] / 2, middle[column + 1] - extents[column + 1] / 2
    arrival = target.y + _shift(target, source)
    right = min(right, end[0])
    left = min(max(left + _AIR, points[-1][0]), right - _AIR)
    return [*points, (left, points[-1][1]), (right, arrival), (end[0], arrival)]


def _shift(box: Box, other: Box) -> float:
    """Return the vertical offset from the center of `box` at which the arrow from or to `other` is attached."""
    return math.copysign(0.25 * box.height, other.y - box.y) if box.block.kind == "block" else 0.0
