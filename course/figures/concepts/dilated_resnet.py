"""Concept figures for notebook 06: a dilated kernel on a grid, output stride, PPM and ASPP."""

import numpy as np

from seglib.visualize.style import NotebookFigure

from . import AMBER, BLUE, GRAY, INK, ORANGE, WIDTH, arrow, box, canvas, figure_style, label, number_grid


@figure_style()
def dilated_kernel() -> NotebookFigure:
    """Draw the nine weights of a 3 x 3 kernel on a grid of pixels, with dilations 1, 2 and 3."""
    figure, axes = canvas(
        WIDTH,
        3.3,
        "The nine weights of a 3 x 3 kernel on a grid of 9 x 9 pixels. With dilation 1 they cover 3 x 3 pixels "
        "without gaps, with dilation 2 they span 5 x 5, with dilation 3 they span 7 x 7 pixels.",
    )
    weights = np.arange(1, 10).reshape(3, 3)
    for number, dilation in enumerate((1, 2, 3)):
        x, span = 0.35 + 2.95 * number, 2 * dilation + 1
        values = np.full((9, 9), np.nan)
        marked = []
        for row in range(3):
            for column in range(3):
                place = 4 + dilation * (row - 1), 4 + dilation * (column - 1)
                marked.append(place)
                values[place] = weights[row, column]
        number_grid(axes, np.zeros((9, 9)), x, 0.6, 0.26, BLUE, marked, numbers=False)
        for row, column in marked:
            label(axes, x + 0.26 * (column + 0.5), 0.6 + 0.26 * (row + 0.5), f"{values[row, column]:.0f}", size=8)
        label(axes, x + 1.17, 0.22, f"dilation {dilation}", size=10, weight="bold")
        label(axes, x + 1.17, 0.43, f"9 weights, {span} \u00d7 {span} pixels", GRAY, 8)
    label(axes, WIDTH / 2, 3.12, "blue: pixels that a weight multiplies; white: pixels that are skipped", BLUE, 8)
    return figure


@figure_style()
def output_stride() -> NotebookFigure:
    """Draw the feature maps of ResNet-50 as a classifier, and with dilation in its last two stages."""
    figure, axes = canvas(
        WIDTH,
        3.1,
        "The feature maps of ResNet-50 from layer1 to layer4. The classifier shrinks them to 1/4, 1/8, 1/16 and 1/32 "
        "of the image. The dilated network keeps 1/8 from layer2 on, with dilation 2 in layer3 and 4 in layer4.",
    )
    rows = (
        ("classifier\noutput stride 32", (4, 8, 16, 32), ("", "stride 2", "stride 2", "stride 2"), GRAY),
        ("dilated\noutput stride 8", (4, 8, 8, 8), ("", "stride 2", "dilation 2", "dilation 4"), BLUE),
    )
    for row, (title, strides, changes, color) in enumerate(rows):
        middle = 0.98 + 1.42 * row
        label(axes, 0.2, middle, title, size=9, ha="left", weight="bold")
        for column, (stride, change) in enumerate(zip(strides, changes, strict=True)):
            x, side = 2.5 + 1.75 * column, {4: 1.1, 8: 0.8, 16: 0.52, 32: 0.3}[stride]
            box(axes, x - side / 2, middle - side / 2, side, side, f"1/{stride}" if side > 0.4 else "", color, 8)
            if side < 0.4:
                label(axes, x + 0.32, middle, f"1/{stride}", size=8)
            if change:
                arrow(axes, (x - 1.14, middle), (x - 0.6, middle), color=ORANGE if "dil" in change else GRAY)
                label(axes, x - 0.87, middle + 0.17, change, ORANGE if "dil" in change else GRAY, 8)
    for column in range(4):
        label(axes, 2.5 + 1.75 * column, 0.2, f"layer{column + 1}", INK, 9)
    return figure


@figure_style()
def ppm_and_aspp() -> NotebookFigure:
    """Draw the pyramid pooling module on the left, and atrous spatial pyramid pooling (ASPP) on the right."""
    figure, axes = canvas(
        WIDTH,
        3.9,
        "Two pooling heads. The pyramid pooling module averages the feature map over 1, 2 x 2, 3 x 3 and 6 x 6 bins, "
        "applies a 1 x 1 convolution to each and upsamples. ASPP applies a 1 x 1 convolution, 3 x 3 convolutions with "
        "dilations 12, 24 and 36, and global average pooling in parallel. Both concatenate the results.",
    )
    label(axes, 0.15, 0.2, "PPM: averages over bins", size=10, ha="left", weight="bold")
    label(axes, 4.75, 0.2, "ASPP: several dilations", size=10, ha="left", weight="bold")
    _ppm(axes)
    _aspp(axes)
    return figure


def _ppm(axes) -> None:
    box(axes, 0.15, 1.7, 0.85, 0.6, "2048\nchannels", GRAY, 8)
    for number, bins in enumerate((1, 2, 3, 6)):
        top = 0.5 + 0.68 * number
        number_grid(axes, np.zeros((bins, bins)), 1.4, top, 0.5 / bins, BLUE, numbers=False)
        label(axes, 1.65, top + 0.59, f"{bins} \u00d7 {bins}", GRAY, 7.5)
        box(axes, 2.15, top, 0.95, 0.5, "1 \u00d7 1: 512\nupsample", BLUE, 8)
        arrow(axes, (1.0, 2.0), (1.36, top + 0.25))
        arrow(axes, (1.94, top + 0.25), (2.15, top + 0.25))
        arrow(axes, (3.1, top + 0.25), (3.5, 2.0))
    box(axes, 3.5, 1.6, 0.85, 0.8, "concat\n4096", ORANGE, 8)
    axes.plot((0.57, 0.57, 3.92), (2.3, 3.55, 3.55), color=GRAY, linewidth=1.3)
    arrow(axes, (3.92, 3.55), (3.92, 2.4))
    label(axes, 2.2, 3.67, "the input itself: 2048", GRAY, 8)


def _aspp(axes) -> None:
    box(axes, 4.75, 1.7, 0.85, 0.6, "2048\nchannels", GRAY, 8)
    names = ("1 \u00d7 1", "3 \u00d7 3, dilation 12", "3 \u00d7 3, dilation 24", "3 \u00d7 3, dilation 36")
    for number, name in enumerate((*names, "global average, 1 \u00d7 1")):
        top = 0.48 + 0.66 * number
        box(axes, 5.95, top, 1.6, 0.44, name, AMBER if number == 4 else BLUE, 8)
        arrow(axes, (5.6, 2.0), (5.95, top + 0.22))
        arrow(axes, (7.55, top + 0.22), (7.85, 2.0))
    box(axes, 7.85, 1.5, 0.95, 1.0, "concat\n5 \u00d7 256,\n1 \u00d7 1: 256", ORANGE, 8)
