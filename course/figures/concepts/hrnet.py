"""Concept figures for notebook 04: resolution over depth, the parallel branches, the exchange unit."""

from seglib.visualize.style import NotebookFigure

from . import AMBER, BLUE, GRAY, ORANGE, WIDTH, arrow, box, canvas, figure_style, label

_STRIDES = ("1/4", "1/8", "1/16", "1/32")


@figure_style()
def resolution_over_depth() -> NotebookFigure:
    """Plot the resolution of an encoder-decoder network and of HRNet against their depth."""
    alt = (
        "Left: the feature maps of an encoder-decoder shrink from layer to layer and grow again, so only its first and "
        "last layers have a high resolution. Right: HRNet keeps a branch at 1/4 of the resolution in every layer and "
        "adds branches at 1/8, 1/16 and 1/32 beside it."
    )
    figure, axes = canvas(WIDTH, 2.9, alt)
    label(axes, 0.2, 0.2, "Encoder-decoder: resolution is lost and recovered", weight="bold", ha="left")
    heights = (1.7, 1.25, 0.85, 0.55, 0.3, 0.55, 0.85, 1.25, 1.7)
    for place, height in enumerate(heights):
        box(axes, 0.25 + 0.45 * place, 1.45 - height / 2, 0.25, height, color=BLUE if place < 5 else ORANGE)
        if place:
            arrow(axes, (0.05 + 0.45 * place, 1.45), (0.25 + 0.45 * place, 1.45))
    for start, end, y in ((0, 8, 0.68), (1, 7, 0.94), (2, 6, 1.14)):
        arrow(axes, (0.5 + 0.45 * start, y), (0.25 + 0.45 * end, y), dashed=True)
    label(axes, 1.25, 2.5, "encoder", BLUE)
    label(axes, 3.05, 2.5, "decoder", ORANGE)
    label(axes, 2.15, 2.75, "dashed: skip connection", GRAY, 8)
    label(axes, 4.9, 0.2, "HRNet: a high resolution from start to end", weight="bold", ha="left")
    heights, tops = (0.72, 0.42, 0.24, 0.12), (0.45, 1.32, 1.88, 2.24)
    for branch, (height, top) in enumerate(zip(heights, tops, strict=True)):
        label(axes, 4.95, top + height / 2, _STRIDES[branch], GRAY, 8)
        for place in range(2 * branch, 8):
            x = 5.25 + 0.45 * place
            box(axes, x, top, 0.25, height, color=BLUE)
            if place < 7:
                arrow(axes, (x + 0.25, top + height / 2), (x + 0.45, top + height / 2))
        if branch:
            above = tops[branch - 1] + heights[branch - 1] / 2
            arrow(axes, (5.05 + 0.9 * branch, above), (5.25 + 0.9 * branch, top + height / 2), color=ORANGE)
    label(axes, 7.0, 2.6, "orange: a new branch starts beside the others", ORANGE, 8)
    return figure


@figure_style()
def parallel_branches() -> NotebookFigure:
    """Draw the stem, stages and head of HRNet, with the channels of each branch and the names in the authors' code."""
    alt = (
        "HRNet from left to right: the stem reduces the image to 1/4, stage 1 has one branch, stage 2 two, stage 3 "
        "three and stage 4 four, at 1/4, 1/8, 1/16 and 1/32 with C, 2C, 4C and 8C channels. Transitions start a new "
        "branch from the coarsest one. After each module all branches exchange features. The head concatenates all "
        "four at 1/4."
    )
    figure, axes = canvas(WIDTH, 3.5, alt)
    tops = [0.75 + 0.66 * branch for branch in range(4)]
    box(axes, 0.1, 0.75, 0.62, 0.44, "image", GRAY, 8)
    box(axes, 1.0, 0.75, 0.7, 0.44, "conv1\nconv2", GRAY, 7.5)
    box(axes, 2.0, 0.75, 0.7, 0.44, "layer1", BLUE, 8)
    arrow(axes, (0.72, 0.97), (1.0, 0.97))
    arrow(axes, (1.7, 0.97), (2.0, 0.97))
    for x, text in ((1.35, "stem"), (2.35, "stage 1"), (3.65, "stage 2"), (5.25, "stage 3"), (6.85, "stage 4")):
        label(axes, x, 0.5, text, weight="bold")
    for stage, left in ((2, 3.25), (3, 4.85), (4, 6.45)):
        _draw_stage(axes, left, tops[:stage])
        source = 2.7 if stage == 2 else left - 0.5
        label(axes, (source + left) / 2, 0.3, f"transition{stage - 1}", ORANGE, 7.5)
        for branch in range(stage - 1):
            arrow(axes, (source, tops[branch] + 0.22), (left, tops[branch] + 0.22))
        arrow(axes, (source, tops[stage - 2] + 0.22), (left, tops[stage - 1] + 0.22), color=ORANGE)
    for branch, (top, channels) in enumerate(zip(tops, ("C", "2C", "4C", "8C"), strict=True)):
        label(
            axes, 0.1, top + 0.22 + 0.4 * (branch == 0), f"{_STRIDES[branch]}, {channels} channels", GRAY, 8, ha="left"
        )
        arrow(axes, (7.55, top + 0.22), (8.05, 0.97 + 0.06 * branch))
    box(axes, 8.05, 0.75, 0.85, 0.44, "last_layer", ORANGE, 8)
    label(axes, 8.47, 0.5, "head", weight="bold")
    label(
        axes,
        0.1,
        3.38,
        "orange arrow: start of a new branch; crossing lines: exchange of all branches",
        GRAY,
        8,
        ha="left",
    )
    return figure


def _draw_stage(axes, left: float, tops: list[float]) -> None:
    """Draw the blocks of each branch of a stage, and the exchange after the blocks."""
    for top in tops:
        box(axes, left, top, 0.55, 0.44, "blocks", BLUE, 7.5)
        for other in tops:
            axes.plot((left + 0.55, left + 1.0), (top + 0.22, other + 0.22), color=GRAY, linewidth=0.9)
        axes.plot(left + 1.05, top + 0.22, "o", markersize=7, markerfacecolor="white", markeredgecolor=GRAY)


@figure_style()
def exchange_unit() -> NotebookFigure:
    """Draw the nine paths between three branches before and after an exchange."""
    alt = (
        "Three branches of high, middle and low resolution before and after an exchange. Each output is the sum of "
        "three terms followed by a ReLU: the branch of the same resolution unchanged, every lower resolution through a "
        "1 by 1 convolution and bilinear upsampling, and every higher resolution through 3 by 3 convolutions of "
        "stride 2."
    )
    figure, axes = canvas(WIDTH, 3.7, alt)
    heights, tops = (0.95, 0.6, 0.36), (0.4, 1.65, 2.65)
    middles = [top + height / 2 for top, height in zip(tops, heights, strict=True)]
    names = ("branch 0\n1/4, C", "branch 1\n1/8, 2C", "branch 2\n1/16, 4C")
    for source, start in enumerate(middles):
        for target, end in enumerate(middles):
            color = GRAY if source == target else BLUE if target > source else AMBER
            spread = 0.09 * (source - 1)
            arrow(axes, (1.75, start), (5.3, end + spread), color=color)
    for branch, (top, height, middle) in enumerate(zip(tops, heights, middles, strict=True)):
        for x in (0.35, 6.9):
            box(axes, x, top, 1.4, height, names[branch], BLUE, 8.5)
        box(axes, 5.3, middle - 0.2, 1.1, 0.4, "sum, ReLU", ORANGE, 8.5)
        arrow(axes, (6.4, middle), (6.9, middle))
    label(axes, 1.05, 0.2, "before", weight="bold")
    label(axes, 7.6, 0.2, "after", weight="bold")
    legend = (
        (0.35, GRAY, "same resolution: unchanged"),
        (2.75, BLUE, "to a lower resolution: 3 \u00d7 3 convolutions of stride 2"),
        (6.3, AMBER, "to a higher one: 1 \u00d7 1, then bilinear"),
    )
    for x, color, text in legend:
        axes.plot((x, x + 0.22), (3.45, 3.45), color=color, linewidth=2)
        label(axes, x + 0.28, 3.45, text, size=7.8, ha="left")
    return figure
