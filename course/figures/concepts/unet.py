"""Concept figures for notebook 02: a sliding kernel, a transposed convolution, the feature maps of a U-Net."""

import numpy as np
import torch
from matplotlib.patches import Rectangle
from torch import nn

from . import AMBER, BLUE, GRAY, GRID, ORANGE, WIDTH, arrow, canvas, figure_style, label, number_grid, photo, tint

GREEN = "#009E73"  # from the palette of Okabe and Ito, like the other colors


@figure_style()
def sliding_kernel():
    """Show a 3x3 kernel at two positions on a padded 4x4 image, and the two output values."""
    image = np.tile([0, 0, 1, 1], (4, 1))
    kernel = np.tile([-1, 0, 1], (3, 1))
    padded = np.pad(image, 1)
    output = np.zeros((4, 4))
    for row, column in np.ndindex(4, 4):
        output[row, column] = (padded[row : row + 3, column : column + 3] * kernel).sum()
    alt = (
        "A 4 by 4 image with zeros on the left and ones on the right, padded with a ring of zeros. A 3 by 3 kernel "
        "with minus one, zero and one in each row stands at two places. In the middle the output is 3, at the right "
        "border -3."
    )
    figure, axes = canvas(WIDTH, 2.6, alt)
    cell = 0.33
    label(axes, 0.2, 0.2, "image, padded with zeros", ha="left", weight="bold")
    _padded_grid(axes, padded, 0.2, 0.42, cell)
    for column, color in ((1, BLUE), (3, ORANGE)):
        place = 0.2 + column * cell, 0.42 + cell
        axes.add_patch(Rectangle(place, 3 * cell, 3 * cell, fill=False, edgecolor=color, linewidth=2.6))
    label(axes, 2.85, 1.4, "×", size=16)
    label(axes, 3.2, 0.55, "kernel", ha="left", weight="bold")
    number_grid(axes, kernel, 3.2, 0.75 + 0.16, cell)
    label(axes, 3.2 + 1.5 * cell, 2.1, "multiply and add", GRAY)
    arrow(axes, (4.45, 1.4), (5.15, 1.4))
    label(axes, 5.4, 0.42, "output", ha="left", weight="bold")
    number_grid(axes, output, 5.4, 0.62 + 0.13, cell)
    for column, color in ((1, BLUE), (3, ORANGE)):
        place = 5.4 + column * cell, 0.75 + cell
        axes.add_patch(Rectangle(place, cell, cell, fill=False, edgecolor=color, linewidth=2.6))
    label(axes, 6.95, 1.15, "left 0, right 1:\n3 × 1 − 3 × 0 = 3", BLUE, ha="left")
    label(axes, 6.95, 1.75, "left 1, right padding:\n3 × 0 − 3 × 1 = −3", ORANGE, ha="left")
    return figure


def _padded_grid(axes, padded: np.ndarray, x: float, y: float, cell: float) -> None:
    """Draw an array with its outer ring, the padding, in gray."""
    rows, columns = padded.shape
    for (row, column), value in np.ndenumerate(padded):
        ring = row in (0, rows - 1) or column in (0, columns - 1)
        corner = x + column * cell, y + row * cell
        axes.add_patch(
            Rectangle(corner, cell, cell, facecolor=GRID if ring else "white", edgecolor=GRAY, linewidth=0.7)
        )
        label(axes, corner[0] + cell / 2, corner[1] + cell / 2, f"{value:g}", GRAY if ring else "black", 9)


@figure_style()
def transposed_convolution():
    """Show that each value of a 2x2 feature map becomes a 2x2 block of the output, with stride 2."""
    x, kernel = np.array([[3, 1], [0, 2]]), np.array([[1, 2], [0, -1]])
    colors = ((BLUE, ORANGE), (AMBER, GREEN))
    alt = (
        "A transposed convolution with a 2 by 2 kernel and stride 2. Each of the four numbers of the input is "
        "multiplied with the kernel and fills its block of 2 by 2 numbers of the 4 by 4 output. The blocks do not "
        "overlap."
    )
    figure, axes = canvas(WIDTH, 2.25, alt)
    cell = 0.4
    label(axes, 0.4, 0.38, "input, 2 × 2", ha="left", weight="bold")
    label(axes, 2.0, 0.98, "×", size=16)
    label(axes, 2.5, 0.38, "kernel, 2 × 2", ha="left", weight="bold")
    number_grid(axes, kernel, 2.5, 0.58, cell)
    label(axes, 5.1, 0.2, "output, 4 × 4", ha="left", weight="bold")
    arrow(axes, (3.75, 0.98), (4.75, 0.98), "stride 2")
    for (row, column), value in np.ndenumerate(x):
        color = colors[row][column]
        _colored_cells(axes, np.array([[value]]), 0.4 + column * cell, 0.58 + row * cell, cell, color)
        _colored_cells(axes, value * kernel, 5.1 + 2 * column * cell, 0.4 + 2 * row * cell, cell, color)
    label(axes, 7.0, 0.8, "each input times\nthe whole kernel", ha="left")
    label(axes, 7.0, 1.55, "next block:\n2 pixels further", GRAY, ha="left")
    return figure


def _colored_cells(axes, values: np.ndarray, x: float, y: float, cell: float, color: str) -> None:
    for (row, column), value in np.ndenumerate(values):
        corner = x + column * cell, y + row * cell
        axes.add_patch(Rectangle(corner, cell, cell, facecolor=tint(color, 0.4), edgecolor=GRAY, linewidth=0.7))
        label(axes, corner[0] + cell / 2, corner[1] + cell / 2, f"{value:g}")


@figure_style()
def skip_connections(model: nn.Module, image: torch.Tensor):
    """Show one feature map of every block of a U-Net, and the skip connections.

    Args:
        model: A network with the blocks stem, down1 to down4 and up1 to up4.
        image: A normalized image (1, 3, H, W).
    """
    names = ["stem", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4"]
    features = _activations(model, image, names)
    alt = (
        "One feature map of each block of a U-Net, arranged as a U. On the left the encoder's maps get coarser from "
        "stem to down4. On the right the decoder's maps get finer from up1 to up4. Dashed arrows, the skip "
        "connections, lead from each encoder block to the decoder block of the same resolution. The encoder's fine "
        "maps show edges and texture, the coarse ones the place of the animal."
    )
    figure, axes = canvas(WIDTH, 4.75, alt)
    figure.has_images = True
    rows, columns = features["stem"].shape
    height = min(0.7, 1.1 * rows / columns)
    width = height * columns / rows
    step_x, step_y = 0.87, 0.9
    for level in range(4):
        left, top = 0.15 + step_x * level, 0.32 + step_y * level
        right = WIDTH - left - width
        _activation(axes, features[names[level]], names[level], left, top, width)
        _activation(axes, features[names[8 - level]], names[8 - level], right, top, width, side="right")
        middle = top + height / 2
        arrow(axes, (left + width + 0.06, middle), (right - 0.06, middle), color=ORANGE, dashed=True)
    _activation(axes, features["down4"], "down4", (WIDTH - width) / 2, 0.32 + 4 * step_y, width)
    label(axes, WIDTH / 2, 0.32 + height / 2 - 0.14, "skip connection", ORANGE)
    label(axes, 0.15, 4.4, "encoder: fewer pixels, more channels", BLUE, ha="left", weight="bold")
    label(axes, WIDTH - 0.15, 4.4, "decoder: back to full size", BLUE, ha="right", weight="bold")
    return figure


def _activations(model: nn.Module, image: torch.Tensor, names: list[str]) -> dict[str, np.ndarray]:
    """Return the output channel (H, W) with the largest variance for each block in `names`, scaled to 0..255."""
    features: dict[str, np.ndarray] = {}

    def keep(name):
        def hook(module, inputs, output):
            channels = output[0].flatten(1)
            values = output[0, channels.std(1).argmax()].float().numpy()
            span = max(float(np.ptp(values)), 1e-6)
            features[name] = (255 * (values - values.min()) / span).astype(np.uint8)

        return hook

    handles = [getattr(model, name).register_forward_hook(keep(name)) for name in names]
    with torch.no_grad():
        model.eval()(image)
    for handle in handles:
        handle.remove()
    return features


def _activation(axes, values: np.ndarray, name: str, x: float, y: float, width: float, side: str = "left") -> None:
    """Draw a feature map, with its name and size above it at the left or right side."""
    photo(axes, values, x, y, width)
    edge = x if side == "left" else x + width
    label(axes, edge, y - 0.1, f"{name}  {values.shape[1]} × {values.shape[0]}", GRAY, 8, ha=side)
