"""Concept figures for notebook 05: four small HRNets, the block with three dilations, and the fusion of branches."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from seglib.visualize.style import NotebookFigure

from . import (
    AMBER,
    BLUE,
    GRAY,
    INK,
    LIGHT_GRAY,
    ORANGE,
    WIDTH,
    arrow,
    box,
    canvas,
    figure_style,
    label,
    number_grid,
    tint,
)

STRIDES = ("1/4", "1/8", "1/16", "1/32")
ROW, FIRST_ROW = 0.42, 0.95  # inches


@figure_style()
def four_networks() -> NotebookFigure:
    """Draw mini_hrnet_v1, v2, v3 and mini_hrnet side by side, with a row per resolution and a column per stage."""
    figure, axes = canvas(
        WIDTH,
        3.15,
        "Four small HRNets side by side, with rows for the resolutions 1/4 to 1/32. v1 has no fourth stage. v2 has "
        "one module in each stage. v3 starts its four branches one after the other, fuses them twice, and has three "
        "dilations in each block. Ours has a narrow stem and first stage, and one, two and two modules.",
    )
    for row, stride in enumerate(STRIDES):
        label(axes, 0.25, FIRST_ROW + ROW * row + 0.13, stride, GRAY, 8)
    left = 0.55
    titles = (
        ("v1: no fourth stage", "17.2 M parameters, 101 GMACs"),
        ("v2: fewer modules", "13.4 M parameters, 62 GMACs"),
        ("v3: new blocks", "9.5 M parameters, 77 GMACs"),
        ("mini_hrnet: ours", "6.0 M parameters, 17 GMACs"),
    )
    for number, (title, detail) in enumerate(titles):
        x = left + number * 2.13
        label(axes, x, 0.2, title, size=10, ha="left", weight="bold")
        label(axes, x, 0.43, detail, GRAY, 8, ha="left")
    _stages(axes, left, modules=(1, 4, None), first_width=0.3)
    _stages(axes, left + 2.13, modules=(1, 1, 1), first_width=0.3)
    _one_after_the_other(axes, left + 4.26)
    _stages(axes, left + 6.39, modules=(1, 2, 2), first_width=0.15)
    handles = (
        (GRAY, "stem and stage 1"),
        (BLUE, "residual blocks"),
        (AMBER, "three-dilation blocks"),
        (ORANGE, "fusion of all branches"),
    )
    for number, (color, text) in enumerate(handles):
        x = left + number * 2.13
        axes.add_patch(Rectangle((x, 2.86), 0.16, 0.14, facecolor=tint(color, 0.35), edgecolor=color))
        label(axes, x + 0.24, 2.93, text, INK, 8, ha="left")
    return figure


def _stages(axes, x: float, modules: Sequence[int | None], first_width: float) -> None:
    """Draw the stem, stage 1, and a column for each later stage with its number of modules (None: no such stage)."""
    top = FIRST_ROW
    axes.add_patch(Rectangle((x, top), first_width, 0.26, facecolor=tint(GRAY, 0.35), edgecolor=GRAY))
    x += 0.42
    for stage, count in enumerate(modules, start=2):
        color = BLUE if count else LIGHT_GRAY
        for row in range(stage):
            style = {"facecolor": tint(color, 0.35) if count else "white", "edgecolor": color}
            line = "-" if count else (0, (3, 2))
            axes.add_patch(Rectangle((x, top + ROW * row), 0.34, 0.26, linestyle=line, **style))
        if count:
            _fusion(axes, x + 0.4, stage)
        text = f"\u00d7 {count}" if count else "left out"
        label(axes, x + 0.17, top - 0.16, text, INK if count else GRAY, 8)
        x += 0.52


def _one_after_the_other(axes, x: float) -> None:
    """Draw mini_hrnet_v3, in which every branch starts from the previous branch, followed by two fusions."""
    top = FIRST_ROW
    axes.add_patch(Rectangle((x, top), 0.2, 0.26, facecolor=tint(GRAY, 0.35), edgecolor=GRAY))
    look = {"facecolor": tint(AMBER, 0.35), "edgecolor": AMBER}
    for row in range(4):
        left = x + 0.28 + 0.2 * row
        axes.add_patch(Rectangle((left, top + ROW * row), 0.2, 0.26, **look))
        axes.plot((left + 0.2, x + 1.06), (top + ROW * row + 0.13,) * 2, color=LIGHT_GRAY, linewidth=1)
        if row < 3:
            arrow(axes, (left + 0.1, top + ROW * row + 0.26), (left + 0.3, top + ROW * (row + 1)), color=GRAY)
    _fusion(axes, x + 1.1, 4)
    for row in range(4):
        axes.add_patch(Rectangle((x + 1.24, top + ROW * row), 0.24, 0.26, **look))
    _fusion(axes, x + 1.56, 4)


def _fusion(axes, x: float, branches: int) -> None:
    height = ROW * (branches - 1) + 0.26
    axes.add_patch(Rectangle((x, FIRST_ROW), 0.06, height, facecolor=tint(ORANGE, 0.6), edgecolor=ORANGE))


@figure_style()
def dilated_block() -> NotebookFigure:
    """Draw the block of mini_hrnet_v3: three parallel pairs of convolutions, their mean, and a shortcut."""
    figure, axes = canvas(
        WIDTH,
        3.5,
        "The three-dilation block. The input goes to three parallel pairs of 3 x 3 convolutions with dilations 1, 2 "
        "and 4, drawn as nine marked cells on a grid. Their outputs are averaged, the input is added, then ReLU.",
    )
    box(axes, 0.2, 1.4, 0.9, 0.7, "input\nC channels", GRAY)
    for number, dilation in enumerate((1, 2, 4)):
        top = 0.35 + 1.0 * number
        marked = {(4 + dilation * row, 4 + dilation * column) for row in (-1, 0, 1) for column in (-1, 0, 1)}
        number_grid(axes, np.zeros((9, 9)), 1.75, top, 0.095, BLUE, marked, numbers=False)
        box(axes, 2.85, top + 0.08, 1.35, 0.7, f"3 \u00d7 3, dilation {dilation}\nnorm, ReLU", BLUE, 8)
        box(axes, 4.45, top + 0.08, 1.35, 0.7, f"3 \u00d7 3, dilation {dilation}\nnorm", BLUE, 8)
        middle = top + 0.43
        arrow(axes, (1.1, 1.75), (1.7, middle))
        arrow(axes, (2.65, middle), (2.85, middle))
        arrow(axes, (4.2, middle), (4.45, middle))
        arrow(axes, (5.8, middle), (6.4, 1.75))
    box(axes, 6.4, 1.45, 0.75, 0.6, "mean", AMBER)
    arrow(axes, (7.15, 1.75), (7.45, 1.75))
    box(axes, 7.45, 1.45, 0.45, 0.6, "+", ORANGE, 12)
    arrow(axes, (7.9, 1.75), (8.15, 1.75))
    box(axes, 8.15, 1.45, 0.7, 0.6, "ReLU", ORANGE)
    axes.plot((0.65, 0.65, 7.67), (1.4, 0.16, 0.16), color=ORANGE, linewidth=1.3)
    arrow(axes, (7.67, 0.16), (7.67, 1.45), color=ORANGE)
    label(axes, 4.2, 0.26, "shortcut", ORANGE, 8)
    return figure


@figure_style()
def octave_fusion() -> NotebookFigure:
    """Draw the paths between branches 0 and 3 in the fusion of HRNet and in the fusion of mini_hrnet_v3."""
    figure, axes = canvas(
        WIDTH,
        3.0,
        "Two fusions. In HRNet, branch 3 reaches branch 0 in one step: a 1 x 1 convolution and upsampling by 8. In "
        "v3 it passes through the widths of branches 2 and 1, with upsampling by 2 each time. Downwards HRNet keeps "
        "the width of branch 0 until the last step; v3 changes it at every step.",
    )
    for left, title, names in (
        (0.2, "HRNet: one step up, narrow steps down", ("48 \u2192 48", "48 \u2192 48", "48 \u2192 384")),
        (4.8, "v3: octave by octave, through the widths between", ("48 \u2192 60", "60 \u2192 72", "72 \u2192 84")),
    ):
        label(axes, left, 0.2, title, size=10, ha="left", weight="bold")
        widths = (48, 96, 192, 384) if left < 1 else (48, 60, 72, 84)
        for row, (stride, width) in enumerate(zip(STRIDES, widths, strict=True)):
            size = 0.95 - 0.2 * row
            box(axes, left + 0.95 - size / 2, 0.5 + 0.62 * row, size, 0.4, f"{width}", BLUE)
            label(axes, left + 0.16, 0.7 + 0.62 * row, stride, GRAY, 8)
        for row, name in enumerate(names):
            y = 0.78 + 0.62 * row
            arrow(axes, (left + 1.75, y), (left + 1.75, y + 0.55), color=BLUE)
            label(axes, left + 1.83, y + 0.26, f"3 \u00d7 3 / 2\n{name}", BLUE, 7.5, ha="left")
        _upward_path(axes, left + 3.05, jumps=left < 1)
    label(axes, 2.3, 2.86, "blue: downwards, branch 0 to branch 3", BLUE, 8)
    label(axes, 6.9, 2.86, "orange: upwards, branch 3 to branch 0", ORANGE, 8)
    return figure


def _upward_path(axes, x: float, jumps: bool) -> None:
    if jumps:
        arrow(axes, (x, 2.62), (x, 0.78), color=ORANGE)
        label(axes, x + 0.1, 1.7, "1 \u00d7 1\n384 \u2192 48\n\u00d7 8", ORANGE, 8, ha="left")
        return
    for row, name in enumerate(("60 \u2192 48", "72 \u2192 60", "84 \u2192 72")):
        y = 0.78 + 0.62 * row
        arrow(axes, (x, y + 0.55), (x, y), color=ORANGE)
        label(axes, x + 0.1, y + 0.28, f"1 \u00d7 1, \u00d7 2\n{name}", ORANGE, 7.5, ha="left")


@figure_style()
def cost_bars(networks: Mapping[str, Mapping[str, tuple[float, float]]]) -> NotebookFigure:
    """Show the parameters and MACs of each part of several networks as bars.

    Args:
        networks: {network: {part: (millions of parameters, GMACs)}}, at most four networks with the same parts.
    """
    parts = list(next(iter(networks.values())))
    rows = len(parts) * len(networks) ** 0.5
    figure = NotebookFigure(figsize=(WIDTH, 1 + 0.3 * rows), layout="constrained")
    figure.alt = f"Bars of parameters and MACs of {', '.join(parts)} for {', '.join(networks)}."
    height = 0.72 / len(networks)
    titles = "Parameters, millions", "GMACs"
    for which, (axes, title) in enumerate(zip(figure.subplots(1, 2, sharey=True), titles, strict=True)):
        for row, ((name, costs), color) in enumerate(zip(networks.items(), (BLUE, ORANGE, AMBER, GRAY), strict=False)):
            places = np.arange(len(parts)) - 0.36 + (row + 0.5) * height
            values = [costs[part][which] for part in parts]
            bars = axes.barh(places, values, 0.9 * height, label=name, color=color)
            axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=7.5)
        axes.set(yticks=range(len(parts)), yticklabels=parts, ylim=(len(parts) - 0.5, -0.5), title=title)
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    if len(networks) > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(networks))
    return figure
