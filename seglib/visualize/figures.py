"""Figures that show an image next to its prediction and its ground truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.patches import Patch

from ..files import write_atomically
from ..metrics import Counts
from . import masks
from .masks import VisualizeError
from .style import LIGHT_GRAY, WIDTH, NotebookFigure, add_title, figure_style, format_score, printable

_IMAGE_HEIGHT = 3.2  # maximum height of an image in inches


def legend(classes: Sequence[str], palette) -> list[Patch]:
    """Return the legend handles of the classes, for `figure.legend(handles=legend(...))`."""
    colors = masks.check_palette(palette)
    if len(classes) > len(colors):
        raise VisualizeError(f"there are {len(classes)} class names but only {len(colors)} colors: give one for each")
    return [
        Patch(facecolor=color / 255, edgecolor=LIGHT_GRAY, linewidth=0.6, label=printable(name))
        for name, color in zip(classes, colors, strict=False)
    ]


@figure_style()
def show_prediction(
    image, prediction, target=None, classes: Sequence[str] | None = None, palette=None
) -> NotebookFigure:
    """Show an image and its prediction. If `target` is given, also show the ground truth, an error map and scores.

    Args:
        image: (H, W, 3) uint8.
        prediction: (H, W) integers, the predicted classes.
        target: (H, W) integers, the ground truth, 255 for ignored pixels.
        classes: The class names. None means "class 0", "class 1" and so on.
        palette: (C, 3), a color for each class. None means the default colors for figures.

    Returns:
        The figure. With two classes, the scores are those of the foreground (class 1). With more classes, they are
        means over the classes that occur.
    """
    image = masks.check_image(image)
    label_maps = {"Prediction": prediction} if target is None else {"Ground truth": target, "Prediction": prediction}
    classes, palette = complete_classes(classes, palette, *label_maps.values())
    background = 0 if len(classes) == 2 else None
    panels = [["Image", describe_size(image), image]]
    for title, labels in label_maps.items():
        blended = masks.overlay(image, labels, palette, background_class=background)
        panels.append([title, describe_labels(labels, classes), blended])
    handles = legend(classes, palette)[0 if background is None else 1 :]
    if target is not None:
        panels.append(["Errors", "", masks.error_map(image, target, prediction, None if background is None else 1)])
        panels[2][1], panels[3][1] = _format_scores(target, prediction, classes)
        handles += error_legend(background, target)
    aspect = image.shape[1] / image.shape[0]
    height = min(_IMAGE_HEIGHT, WIDTH / len(panels) / aspect)
    columns = 4 if len(handles) <= 8 else 7
    size = max(3.0, len(panels) * (height * aspect + 0.1)), height + 0.55 + 0.2 * -(-len(handles) // columns)
    figure = NotebookFigure(figsize=size, layout="constrained")
    figure.has_images = True
    for axes, (title, detail, array) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.imshow(array)
        axes.set_axis_off()
        add_title(axes, title, detail)
    in_lines = [handles[i] for column in range(columns) for i in range(column, len(handles), columns)]
    figure.legend(handles=in_lines, loc="outside lower left", ncols=columns)
    return figure


def complete_classes(classes, palette, *label_maps) -> tuple[list[str], np.ndarray]:
    """Return the class names and the palette, with default values for those that are None."""
    if classes is None:
        highest = max(int(np.max(labels, where=np.not_equal(labels, 255), initial=1)) for labels in label_maps)
        classes = [f"class {index}" for index in range(highest + 1 if palette is None else len(palette))]
    return list(classes), masks.figure_palette(classes) if palette is None else palette


def describe_size(image) -> str:
    """Return width and height as text."""
    return f"{np.shape(image)[1]} \u00d7 {np.shape(image)[0]}"


def describe_labels(labels, classes) -> str:
    """Return the fraction of foreground pixels if there are two classes, else the number of classes that occur."""
    counted = np.asarray(labels)[np.not_equal(labels, 255)]
    if len(classes) == 2:
        return f"{np.mean(counted == 1) if counted.size else 0:.0%} {classes[1]}"
    return f"{len(np.unique(counted))} of {len(classes)} classes"


def _format_scores(target, prediction, classes) -> tuple[str, str]:
    counts = Counts(len(classes))
    counts.update(np.asarray(target), np.asarray(prediction))
    scores, binary = counts.scores(), len(classes) == 2
    region = scores["foreground_iou" if binary else "miou"]
    boundary = scores["boundary_iou_foreground" if binary else "boundary_iou"]
    return f"{'IoU' if binary else 'mIoU'} {format_score(region)}", f"Boundary IoU {format_score(boundary)}"


def error_legend(background: int | None, *targets) -> list[Patch]:
    """Return the legend handles for `masks.error_map`, with one for ignored pixels if they occur in `targets`."""
    entries = {"correct": masks.TRUE_NEGATIVE, "wrong": masks.FALSE_POSITIVE}
    if background is not None:
        entries = {
            "true positive": masks.TRUE_POSITIVE,
            "false negative": masks.FALSE_NEGATIVE,
            "false positive": masks.FALSE_POSITIVE,
            "true negative": masks.TRUE_NEGATIVE,
        }
    if any(np.equal(target, 255).any() for target in targets):
        entries["ignored"] = masks.IGNORED
    return legend(list(entries), list(entries.values()))


def save(figure: NotebookFigure, file: Path | str) -> None:
    """Write a figure to a PNG file, atomically.

    Raises:
        VisualizeError: If the file name does not end in .png.
        OSError: If the file cannot be written.
    """
    if Path(file).suffix.lower() != ".png":
        raise VisualizeError(f"{file}: figures are written as PNG; use a name that ends in .png")
    write_atomically(Path(file), lambda stream: figure.savefig(stream, format="png"))
