"""Concept figures for the notebooks, with one module for each topic. This module draws the basic shapes.

Coordinates are in inches: x runs to the right, y runs down, and (0, 0) is the upper left corner of the figure.

    figure, axes = canvas(5, 2, "Two boxes, an arrow from the first to the second.")
    box(axes, 0.2, 0.6, 1.6, 0.8, "encoder", BLUE)
    box(axes, 3.2, 0.6, 1.6, 0.8, "decoder", ORANGE)
    arrow(axes, (1.8, 1.0), (3.2, 1.0), "features")
"""

from collections.abc import Collection

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from seglib.visualize.style import AMBER, BLUE, GRAY, GRID, INK, LIGHT_GRAY, ORANGE, WIDTH, NotebookFigure, figure_style

__all__ = [
    "AMBER",
    "BLUE",
    "GRAY",
    "GRID",
    "INK",
    "LIGHT_GRAY",
    "ORANGE",
    "WIDTH",
    "arrow",
    "box",
    "canvas",
    "figure_style",
    "label",
    "number_grid",
    "photo",
]


def canvas(width: float, height: float, alt: str):
    """Return an empty figure of `width` x `height` inches and its axes; `alt` is its text for screen readers.

    The width must be at most WIDTH.
    """
    figure = NotebookFigure(figsize=(width, height))
    figure.alt = alt
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def tint(color: str, strength: float = 0.2):
    """Return `color` mixed with white. A strength of 1 returns the color itself."""
    return tuple(1 - strength * (1 - value) for value in to_rgb(color))


def label(axes, x: float, y: float, text: str, color: str = INK, size: float = 9, **style) -> None:
    """Write `text` centered at (x, y), with matplotlib's text properties `style`, such as ha="left", weight="bold"."""
    axes.text(x, y, text, color=color, fontsize=size, **({"ha": "center", "va": "center"} | style))


def box(axes, x: float, y: float, width: float, height: float, text: str = "", color: str = BLUE, size: float = 9):
    """Draw a rounded box with its upper left corner at (x, y) and `text` in its center."""
    shape = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((x, y), width, height, shape, facecolor=tint(color), edgecolor=color, linewidth=1.2))
    label(axes, x + width / 2, y + height / 2, text, size=size)


def arrow(axes, start, end, text: str = "", color: str = GRAY, curve: float = 0.0, dashed: bool = False) -> None:
    """Draw an arrow from `start` (x, y) to `end` (x, y), with `text` above its center. `curve` bends the arrow."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=11,
            color=color,
            linewidth=1.3,
            linestyle="--" if dashed else "-",
            connectionstyle=f"arc3,rad={curve}",
            shrinkA=0,
            shrinkB=0,
        )
    )
    label(axes, (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - 0.12, text, color, 8)


def number_grid(
    axes,
    values: np.ndarray,
    x: float,
    y: float,
    cell: float = 0.3,
    color: str = BLUE,
    marked: Collection[tuple[int, int]] = (),
    numbers: bool = True,
) -> None:
    """Draw a matrix as a grid with its upper left corner at (x, y) and cells of `cell` inches.

    `marked` contains the (row, column) of each cell to tint. If `numbers` is true, the values are written.
    """
    for (row, column), value in np.ndenumerate(np.asarray(values)):
        corner = (x + column * cell, y + row * cell)
        face = tint(color, 0.45) if (row, column) in marked else "white"
        axes.add_patch(Rectangle(corner, cell, cell, facecolor=face, edgecolor=GRAY, linewidth=0.7))
        if numbers:
            label(axes, corner[0] + cell / 2, corner[1] + cell / 2, f"{value:g}", size=min(9, 26 * cell))


def photo(axes, image: np.ndarray, x: float, y: float, width: float) -> float:
    """Draw a uint8 image (H, W, 3) or (H, W) with its upper left corner at (x, y), and return its height in inches."""
    height = width * image.shape[0] / image.shape[1]
    axes.imshow(image, extent=(x, x + width, y + height, y), cmap="gray", aspect="auto", interpolation="nearest")
    axes.set(xlim=(0, axes.figure.get_figwidth()), ylim=(axes.figure.get_figheight(), 0))
    return height
