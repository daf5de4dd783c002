"""Place images in a figure; all positions are in inches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.patches import Patch

from seglib.visualize.style import WIDTH, NotebookFigure, add_title

_GAP, _MARGIN, _LEGEND_LINE = 0.09, 0.06, 0.19
_MAX_IMAGE_HEIGHT, _MIN_LEGEND_WIDTH = 3.2, 3.0


@dataclass
class Tile:
    """An image with a title and a gray subtitle above it."""

    image: np.ndarray
    title: str = ""
    detail: str = ""

    @property
    def aspect(self) -> float:
        """Return the aspect ratio, width / height."""
        return self.image.shape[1] / self.image.shape[0]


def arrange_tiles(rows: list[list[Tile]], legends: Sequence[list[Patch]] = (), justify: bool = False) -> NotebookFigure:
    """Place images of different shapes without distortion.

    Args:
        rows: The tiles of each row.
        legends: The patches of each legend; each legend starts a new line below the images.
        justify: Whether to scale each row to the full width, so that all images in a row have the same height. By
            default, images are aligned in columns.
    """
    page = WIDTH - 2 * _MARGIN
    heights, lefts, extent = _justified(rows, page) if justify else _in_columns(rows, page)
    headers = [0.21 * any(t.title for t in row) + 0.19 * any(t.detail for t in row) for row in rows]
    gaps = [0.0] + [_GAP + 0.08 * any(tile.title for tile in row) for row in rows[1:]]
    grids = [_legend_grid(handles, page) for handles in legends]
    width = max(extent, _MIN_LEGEND_WIDTH if legends else 0) + 2 * _MARGIN
    footer = sum(0.12 + _LEGEND_LINE * lines for _, lines in grids)
    height = sum(heights) + sum(headers) + sum(gaps) + footer + 2 * _MARGIN
    figure = NotebookFigure(figsize=(width, height))
    figure.has_images = True
    top = height - _MARGIN
    for row, row_height, row_lefts, header, gap in zip(rows, heights, lefts, headers, gaps, strict=True):
        top -= gap + header + row_height
        for tile, left in zip(row, row_lefts, strict=True):
            tile_width = row_height * tile.aspect
            box = ((_MARGIN + left) / width, top / height, tile_width / width, row_height / height)
            _draw_tile(figure.add_axes(box), tile, tile_width, any(t.detail for t in row))
    for handles, (per_line, lines) in zip(legends, grids, strict=True):
        in_lines = [handles[i] for column in range(per_line) for i in range(column, len(handles), per_line)]
        top -= 0.12
        place = _MARGIN / width, top / height
        figure.legend(handles=in_lines, loc="upper left", bbox_to_anchor=place, ncols=per_line)
        top -= _LEGEND_LINE * lines
    return figure


def _in_columns(rows, page: float) -> tuple[list[float], list[list[float]], float]:
    """Align tiles in columns. Return the heights of the rows, the left edges of their tiles, and the total width."""
    columns = max(len(row) for row in rows)
    cell = (page - _GAP * (columns - 1)) / columns
    heights = [min(_MAX_IMAGE_HEIGHT, *(cell / tile.aspect for tile in row)) for row in rows]
    widths = [[height * tile.aspect for tile in row] for row, height in zip(rows, heights, strict=True)]
    tracks = [max(row[column] for row in widths if column < len(row)) for column in range(columns)]
    starts = [sum(tracks[:c]) + _GAP * c for c in range(columns)]
    return heights, [starts[: len(row)] for row in rows], sum(tracks) + _GAP * (columns - 1)


def _justified(rows, page: float) -> tuple[list[float], list[list[float]], float]:
    """Scale each row to the width of the page. The return values are the same as for `_in_columns`."""
    heights, lefts, extent = [], [], 0.0
    for row in rows:
        fit = (page - _GAP * (len(row) - 1)) / sum(tile.aspect for tile in row)
        heights.append(min(fit, max(heights, default=_MAX_IMAGE_HEIGHT), _MAX_IMAGE_HEIGHT))
        edges = [0.0]
        for tile in row:
            edges.append(edges[-1] + heights[-1] * tile.aspect + _GAP)
        lefts.append(edges[:-1])
        extent = max(extent, edges[-1] - _GAP)
    return heights, lefts, extent


def _legend_grid(handles, page: float) -> tuple[int, int]:
    """Return the number of patches per line, chosen so that the longest name fits, and the number of lines."""
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    per_line = max(1, min(len(handles), int(page / (0.42 + 0.085 * longest))))
    return per_line, -(-len(handles) // per_line)


def _draw_tile(axes, tile: Tile, width: float, keep_detail_line: bool) -> None:
    axes.imshow(tile.image, aspect="auto")
    axes.set_axis_off()
    room = max(6, int(width / 0.073))  # characters that fit above the image
    detail = tile.detail if len(tile.detail) <= room else tile.detail[: room - 1] + "\u2026"
    add_title(axes, tile.title, detail or " " * keep_detail_line)
