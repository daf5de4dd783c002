"""Concept figures for notebook 08: transfer learning, learning rates of encoder and decoder, and distillation."""

import numpy as np

from . import (
    AMBER,
    BLUE,
    GRAY,
    GRID,
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
)


@figure_style()
def transfer_diagram():
    """Draw a network for ImageNet and a network for segmentation, with the copied weights and the new layers."""
    figure, axes = canvas(
        WIDTH,
        2.6,
        "Above: pre-training on ImageNet, an encoder and a classifier for 1000 classes. Below: fine-tuning on your "
        "images, where the encoder starts with the copied weights, and a new decoder and a new classifier for your "
        "classes start with random weights. The classifier for 1000 classes is left out.",
    )
    for y, name, detail in ((0.35, "pre-training", "1.3 million images"), (1.65, "fine-tuning", "a few images")):
        label(axes, 0.1, y + 0.2, name, weight="bold", ha="left")
        label(axes, 0.1, y + 0.42, detail, GRAY, 8.5, ha="left")
        arrow(axes, (1.55, y + 0.3), (2.0, y + 0.3))
        box(axes, 2.0, y, 2.1, 0.6, "encoder", BLUE, size=10)
    arrow(axes, (4.1, 0.65), (4.6, 0.65))
    box(axes, 4.6, 0.35, 1.6, 0.6, "classifier,\n1000 classes", LIGHT_GRAY)
    arrow(axes, (6.2, 0.65), (6.7, 0.65))
    label(axes, 6.8, 0.65, '"sorrel horse"', ha="left")
    label(axes, 5.4, 1.1, "left out", GRAY, 8.5)
    arrow(axes, (3.05, 0.95), (3.05, 1.65), color=BLUE)
    label(axes, 3.15, 1.3, "weights are copied", BLUE, 8.5, ha="left")
    arrow(axes, (4.1, 1.95), (4.6, 1.95))
    box(axes, 4.6, 1.65, 1.6, 0.6, "decoder,\nrandom start", ORANGE)
    arrow(axes, (6.2, 1.95), (6.7, 1.95))
    box(axes, 6.7, 1.65, 1.4, 0.6, "classifier,\n2 classes", ORANGE)
    arrow(axes, (8.1, 1.95), (8.5, 1.95))
    label(axes, 8.72, 1.95, "mask")
    label(axes, 3.05, 2.42, "kept", BLUE, 9, weight="bold")
    label(axes, 6.35, 2.42, "new", ORANGE, 9, weight="bold")
    return figure


@figure_style()
def learning_rates():
    """Plot the learning rates of encoder and decoder against the epoch for three ways of fine-tuning."""
    figure, axes = canvas(
        WIDTH,
        1.95,
        "Three ways of fine-tuning. One rate: encoder and decoder learn at the same rate. Two rates: the encoder "
        "learns at 0.3 times the rate of the decoder. Frozen first: the encoder has rate 0 in the first epochs.",
    )
    ways = ("one rate for all", "two rates", "encoder frozen first")
    epochs = np.linspace(0, 1, 60)
    rate = np.where(epochs < 0.15, epochs / 0.15, 0.5 * (1 + np.cos(np.pi * (epochs - 0.15) / 0.85)))
    encoders = (rate, 0.3 * rate, np.where(epochs < 0.3, 0, rate))
    for place, (way, encoder) in enumerate(zip(ways, encoders, strict=True)):
        left, bottom, width, height = 0.35 + place * 2.95, 1.5, 2.4, 1.05
        label(axes, left + width / 2, 0.2, way, weight="bold")
        axes.plot([left, left, left + width], [bottom - height - 0.05, bottom, bottom], color=GRAY, linewidth=1)
        axes.plot(left + width * epochs, bottom - height * rate, color=ORANGE, linewidth=2)
        axes.plot(left + width * epochs, bottom - height * encoder, color=BLUE, linewidth=2, linestyle=(0, (4, 2)))
        label(axes, left + width / 2, bottom + 0.14, "epochs", GRAY, 8)
        label(axes, left - 0.14, bottom - height / 2, "learning rate", GRAY, 8, rotation=90)
    label(axes, 3.3, 1.83, "decoder (solid)", ORANGE, 9)
    label(axes, 5.6, 1.83, "encoder (dashed)", BLUE, 9)
    return figure


@figure_style()
def distillation_diagram():
    """Draw a student network that learns from labels and from the soft predictions of a teacher for the same crop."""
    figure, axes = canvas(
        WIDTH,
        2.5,
        "One crop goes to the teacher, whose weights are fixed, and to the student. The student's prediction is "
        "compared with the mask by the segmentation loss and with the teacher's soft prediction by the "
        "Kullback-Leibler divergence. Both losses are added, and gradients go to the student only.",
    )
    box(axes, 0.15, 0.95, 1.1, 0.6, "crop", LIGHT_GRAY)
    arrow(axes, (1.25, 1.15), (1.95, 0.6))
    arrow(axes, (1.25, 1.35), (1.95, 1.9))
    box(axes, 1.95, 0.3, 1.7, 0.6, "teacher\n(fixed)", BLUE)
    box(axes, 1.95, 1.6, 1.7, 0.6, "student\n(learns)", ORANGE)
    number_grid(axes, np.array([[0.9, 0.6], [0.7, 0.1]]), 4.15, 0.3, 0.32, BLUE, {(0, 0), (0, 1), (1, 0)})
    number_grid(axes, np.array([[0.7, 0.5], [0.4, 0.2]]), 4.15, 1.58, 0.32, ORANGE, {(0, 0), (0, 1)})
    number_grid(axes, np.array([[1, 1], [1, 0]]), 6.6, 1.58, 0.32, AMBER, {(0, 0), (0, 1), (1, 0)})
    arrow(axes, (3.65, 0.6), (4.1, 0.6))
    arrow(axes, (3.65, 1.9), (4.1, 1.9))
    label(axes, 4.47, 0.16, "soft targets", BLUE, 8.5)
    label(axes, 4.47, 2.36, "prediction", ORANGE, 8.5)
    label(axes, 6.92, 2.36, "mask", AMBER, 8.5)
    arrow(axes, (5.75, 1.9), (4.83, 1.9), color=INK)
    arrow(axes, (5.75, 1.9), (6.56, 1.9), color=INK)
    label(axes, 5.75, 1.72, "segmentation loss", size=8.5)
    arrow(axes, (4.47, 1.2), (4.47, 0.97), color=INK)
    arrow(axes, (4.47, 1.2), (4.47, 1.55), color=INK)
    label(axes, 4.6, 1.23, "Kullback-Leibler divergence", size=8.5, ha="left")
    axes.plot([7.4, 7.4], [0.4, 2.1], color=GRID)
    label(axes, 8.2, 1.0, "loss =", weight="bold")
    label(axes, 8.2, 1.25, "segmentation loss", size=8.5)
    label(axes, 8.2, 1.47, "+ weight * divergence", size=8.5)
    return figure
