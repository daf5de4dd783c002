"""Concept figures for notebook 03: a U inside a U, dilated kernels, deep supervision."""

from seglib.visualize.style import NotebookFigure

from . import AMBER, BLUE, GRAY, INK, ORANGE, WIDTH, arrow, box, canvas, figure_style, label, number_grid

_LEVELS = ("1/1", "1/2", "1/4", "1/8", "1/16", "1/32")


@figure_style()
def nested_u() -> NotebookFigure:
    """Draw U2-Net as a U of eleven blocks, and one block in detail, which is also a U."""
    alt = (
        "Left: eleven blocks form a U, six encoder blocks down to 1/32 of the resolution and five decoder blocks up, "
        "with skip connections between blocks of the same resolution. Right: one block in detail is a small U-Net "
        "with skip connections, and its first convolution is added to its result."
    )
    figure, axes = canvas(WIDTH, 4.3, alt)
    label(axes, 0.1, 0.2, "U\u00b2-Net: a U of eleven blocks", weight="bold", ha="left")
    for level, text in enumerate(_LEVELS):
        y = 0.5 + 0.62 * level
        label(axes, 0.1, y + 0.21, text, GRAY, 8, ha="left")
        left = 0.6 + 0.3 * level
        _small_u(axes, left, y, f"En_{level + 1}", BLUE)
        if level < 5:
            right = 4.1 - 0.3 * level
            _small_u(axes, right, y, f"De_{level + 1}", ORANGE)
            arrow(axes, (left + 0.75, y + 0.21), (right, y + 0.21), dashed=True)
            arrow(axes, (left + 0.4, y + 0.42), (left + 0.6, y + 0.62))
            start = 4.1 - 0.3 * (level + 1) + 0.35 if level < 4 else left + 1.05
            arrow(axes, (start, y + (0.62 if level < 4 else 0.83)), (right + 0.3, y + 0.42))
    axes.plot((3.95, 5.75), (2.57, 0.34), color=GRAY, linewidth=0.8, linestyle=":")
    axes.plot((3.95, 5.75), (2.57, 4.15), color=GRAY, linewidth=0.8, linestyle=":")
    _block_in_detail(axes)
    return figure


def _small_u(axes, x: float, y: float, name: str, color: str) -> None:
    """Draw a block with a U inside."""
    box(axes, x, y, 0.75, 0.42, color=color)
    label(axes, x + 0.25, y + 0.21, name, size=7.5)
    axes.plot((x + 0.5, x + 0.55, x + 0.61, x + 0.66), (y + 0.1, y + 0.31, y + 0.31, y + 0.1), color=color, linewidth=2)


def _block_in_detail(axes) -> None:
    label(axes, 5.8, 0.2, "De_4, an RSU of four levels: a U again", weight="bold", ha="left")
    box(axes, 5.8, 0.85, 0.75, 0.42, "conv_in", GRAY, 8)
    tops = (0.85, 1.6, 2.35, 3.1)
    for level, y in enumerate(tops):
        x, dilation = 6.75 + 0.12 * level, "\nd = 2" if level == 3 else ""
        box(axes, x, y, 0.68, 0.42, f"down {level}{dilation}", BLUE, 7.5)
        if level < 3:
            right = 8.05 - 0.12 * level
            box(axes, right, y, 0.6, 0.42, f"up {level}", ORANGE, 7.5)
            arrow(axes, (x + 0.68, y + 0.21), (right, y + 0.21), dashed=True)
            arrow(axes, (x + 0.34, y + 0.42), (x + 0.4, y + 0.75))
        if 0 < level < 3:
            arrow(axes, (8.05 - 0.12 * level + 0.3, y), (8.05 - 0.12 * (level - 1) + 0.3, y - 0.33))
    arrow(axes, (7.79, 3.31), (8.11, 2.77), curve=0.35)
    arrow(axes, (6.55, 1.06), (6.75, 1.06))
    label(axes, 6.62, 1.44, "pool", GRAY, 7.5)
    label(axes, 6.74, 2.19, "pool", GRAY, 7.5)
    label(axes, 8.72, 1.44, "upsample", GRAY, 7.5)
    arrow(axes, (8.65, 1.06), (8.8, 0.68))
    label(axes, 8.8, 0.57, "+", INK, 13, weight="bold")
    axes.plot((6.17, 6.17), (0.85, 0.57), color=AMBER, linewidth=1.6)
    arrow(axes, (6.17, 0.57), (8.7, 0.57), color=AMBER)
    label(axes, 7.4, 0.45, "residual connection", AMBER, 8)
    label(axes, 7.25, 3.85, "dashed: skip connection", GRAY, 8)


@figure_style()
def dilated_kernels() -> NotebookFigure:
    """Draw kernels with dilation 1, 2 and 4: three weights in one dimension, nine in two dimensions."""
    alt = (
        "Kernels with dilation 1, 2 and 4. On a line the three weights are 1, 2 and 4 pixels apart. On a grid the nine "
        "weights cover areas of 3 by 3, 5 by 5 and 9 by 9 pixels; the pixels between them are not used."
    )
    figure, axes = canvas(WIDTH, 4.1, alt)
    for column, dilation in enumerate((1, 2, 4)):
        x0, cell = 0.4 + 2.95 * column, 0.25
        label(axes, x0, 0.2, f"dilation {dilation}", weight="bold", ha="left")
        middle = x0 + 4.5 * cell
        taps = (4 - dilation, 4, 4 + dilation)
        number_grid(axes, [range(1)], middle - cell / 2, 0.4, cell, ORANGE, {(0, 0)}, numbers=False)
        number_grid(axes, [range(9)], x0, 1.05, cell, BLUE, {(0, tap) for tap in taps}, numbers=False)
        for tap in taps:
            arrow(axes, (x0 + (tap + 0.5) * cell, 1.05), (middle, 0.4 + cell))
        marked = {(row, tap) for row in taps for tap in taps}
        number_grid(axes, [range(9)] * 9, x0, 1.5, cell, BLUE, marked, numbers=False)
        side = 1 + 2 * dilation
        label(axes, x0, 3.93, f"9 weights, {side} \u00d7 {side} pixels", GRAY, 8.5, ha="left")
    return figure


@figure_style()
def deep_supervision() -> NotebookFigure:
    """Draw the six side outputs of U2-Net, the fused output, and the seven losses."""
    alt = (
        "Six feature maps, from full resolution to 1/32. A 3 by 3 convolution and upsampling turn each into a side "
        "output. The six side outputs are concatenated, and a 1 by 1 convolution makes the fused output. Each of the "
        "seven outputs is compared with the same mask, and the seven losses are added."
    )
    figure, axes = canvas(WIDTH, 4.3, alt)
    headings = ((0.85, "feature map"), (3.6, "side output"), (5.65, "fused output"), (7.35, "loss"))
    for x, text in headings:
        label(axes, x, 0.2, text, weight="bold")
    box(axes, 5.05, 0.42, 1.2, 0.42, "1 \u00d7 1 conv", ORANGE)
    box(axes, 6.95, 0.42, 0.8, 0.42, "loss 0", GRAY)
    arrow(axes, (6.25, 0.63), (6.95, 0.63))
    arrow(axes, (7.75, 0.63), (8.45, 2.3))
    for level, text in enumerate(_LEVELS):
        y, width = 1.05 + 0.54 * level, 1.3 - 0.2 * level
        name = ("En_6" if level == 5 else f"De_{level + 1}") + f", {text}"
        box(axes, 0.15, y, width, 0.4, name if level < 2 else "", BLUE, 8)
        if level >= 2:
            label(axes, 0.19 + width, y + 0.2, name, size=8, ha="left")
        arrow(axes, (1.75, y + 0.2), (2.95, y + 0.2))
        label(axes, 2.33, y + 0.09, "3 \u00d7 3 conv, upsample", GRAY, 6.5)
        box(axes, 2.95, y, 1.3, 0.4, f"side {level + 1}", AMBER)
        axes.plot((4.25, 4.65), (y + 0.2, y + 0.2), color=ORANGE, linewidth=1.3)
        arrow(axes, (4.65, y + 0.2), (6.95, y + 0.2))
        box(axes, 6.95, y, 0.8, 0.4, f"loss {level + 1}", GRAY)
        arrow(axes, (7.75, y + 0.2), (8.45, 2.45))
    axes.plot((4.65, 4.65), (3.95, 0.63), color=ORANGE, linewidth=1.3)
    arrow(axes, (4.65, 0.63), (5.05, 0.63), color=ORANGE)
    label(axes, 4.6, 0.45, "concatenate", ORANGE, 8, ha="right")
    label(axes, 8.65, 2.4, "sum", weight="bold")
    return figure
