"""Where the tiles of a figure made of pictures lie, in inches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.patches import Patch

from .style import WIDTH, Picture, head

_GAP, _MARGIN, _LINE = 0.09, 0.06, 0.19
_HIGHEST, _SHORTEST = 3.2, 3.0  # the height of a picture, the width of a figure that has a legend


@dataclass
class Tile:
    picture: np.ndarray
    title: str = ""
    detail: str = ""  # a second, quieter line

    @property
    def aspect(self) -> float:
        return self.picture.shape[1] / self.picture.shape[0]


def mosaic(rows: list[list[Tile]], legends: Sequence[list[Patch]] = (), justify: bool = False) -> Picture:
    """Pictures laid out to the hundredth of an inch, which no layout engine does with pictures of many shapes.

    In columns, or with `justify` so that each row fills the page at one height. Below them the legends, each
    beginning on a new line.
    """
    page = WIDTH - 2 * _MARGIN
    heights, lefts, extent = _justified(rows, page) if justify else _in_columns(rows, page)
    heads = [0.21 * any(t.title for t in row) + 0.19 * any(t.detail for t in row) for row in rows]
    gaps = [0.0] + [_GAP + 0.08 * any(tile.title for tile in row) for row in rows[1:]]
    grids = [_legend_grid(handles, page) for handles in legends]
    width = max(extent, _SHORTEST if legends else 0) + 2 * _MARGIN
    foot = sum(0.12 + _LINE * lines for _, lines in grids)
    height = sum(heights) + sum(heads) + sum(gaps) + foot + 2 * _MARGIN
    figure = Picture(figsize=(width, height))
    figure.photographic = True
    top = height - _MARGIN
    for row, row_height, row_lefts, header, gap in zip(rows, heights, lefts, heads, gaps, strict=True):
        top -= gap + header + row_height
        for tile, left in zip(row, row_lefts, strict=True):
            tile_width = row_height * tile.aspect
            box = ((_MARGIN + left) / width, top / height, tile_width / width, row_height / height)
            _draw_tile(figure.add_axes(box), tile, tile_width, any(t.detail for t in row))
    for handles, (per_line, lines) in zip(legends, grids, strict=True):
        across = [handles[i] for column in range(per_line) for i in range(column, len(handles), per_line)]
        top -= 0.12
        figure.legend(handles=across, loc="upper left", bbox_to_anchor=(_MARGIN / width, top / height), ncols=per_line)
        top -= _LINE * lines
    return figure


def _in_columns(rows, page: float) -> tuple[list[float], list[list[float]], float]:
    """Heights of the rows, left edges of their tiles, and the extent of the whole, in inches."""
    columns = max(len(row) for row in rows)
    cell = (page - _GAP * (columns - 1)) / columns
    heights = [min(_HIGHEST, *(cell / tile.aspect for tile in row)) for row in rows]
    widths = [[height * tile.aspect for tile in row] for row, height in zip(rows, heights, strict=True)]
    tracks = [max(row[column] for row in widths if column < len(row)) for column in range(columns)]
    starts = [sum(tracks[:c]) + _GAP * c for c in range(columns)]
    return heights, [starts[: len(row)] for row in rows], sum(tracks) + _GAP * (columns - 1)


def _justified(rows, page: float) -> tuple[list[float], list[list[float]], float]:
    heights, lefts, extent = [], [], 0.0
    for row in rows:
        fit = (page - _GAP * (len(row) - 1)) / sum(tile.aspect for tile in row)
        heights.append(min(fit, max(heights, default=_HIGHEST), _HIGHEST))
        edges = [0.0]
        for tile in row:
            edges.append(edges[-1] + heights[-1] * tile.aspect + _GAP)
        lefts.append(edges[:-1])
        extent = max(extent, edges[-1] - _GAP)
    return heights, lefts, extent


def _legend_grid(handles, page: float) -> tuple[int, int]:
    """How many swatches go on a line, and how many lines that makes, by the longest name."""
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    per_line = max(1, min(len(handles), int(page / (0.42 + 0.085 * longest))))
    return per_line, -(-len(handles) // per_line)


def _draw_tile(axes, tile: Tile, width: float, detailed: bool) -> None:
    axes.imshow(tile.picture, aspect="auto")
    axes.set_axis_off()
    room = max(6, int(width / 0.073))  # letters that fit above the picture
    detail = tile.detail if len(tile.detail) <= room else tile.detail[: room - 1] + "\u2026"
    head(axes, tile.title, detail or " " * detailed)
