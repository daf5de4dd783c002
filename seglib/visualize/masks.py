"""Show label maps in color, with palettes, overlays and error maps as uint8 arrays.

Images are (H, W, 3) uint8 in RGB, label maps are (H, W) integers with 255 for ignored pixels, and palettes are (C, 3)
uint8. For arrays with invalid types, shapes or values, the functions raise VisualizeError, which is a ValueError.
"""

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from ..errors import SeglibError
from ..metrics import boundary_bands

# Colors of error maps. Readers with color-vision deficiency can also distinguish blue and orange.
TRUE_POSITIVE = (238, 240, 235)
FALSE_NEGATIVE = (47, 146, 229)
FALSE_POSITIVE = (240, 106, 18)
TRUE_NEGATIVE = (72, 72, 72)  # color in the legend; in the error map, these pixels show the darkened image
IGNORED = (168, 171, 178)
IGNORED_LABEL = (224, 224, 228)  # color of ignored pixels in a colored label map

_IGNORE_INDEX = 255
_FIRST_COLORS = bytes.fromhex(
    "242834 16a3c8 e69f00 cc79a7 009e73 d55e00 0072b2 f0e442 332288 999933"
    "882255 88ccee 117733 cc6677 ddcc77 aa4499 777777 663300 44aa99 dddddd"
)
# In CamVid's original palette, Car, Fence and Pavement look similar. The colors below differ from each other, and from
# the color of ignored pixels, by a CIELAB distance of at least 34, even with red-green color blindness.
_STREET_CLASSES = "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist".split()
_STREET_COLORS = bytes.fromhex("c6b4ff 6b3309 6a5a97 343238 ffd98a 379c70 eeff2d 8862ec 0008f6 e66706 2a0085")


class VisualizeError(SeglibError, ValueError):
    """Raised if the arguments cannot be displayed. The message says what to change."""


def default_palette(num_classes: int) -> np.ndarray:
    """Return the default palette, (num_classes, 3) uint8.

    The first color is a dark background color. The next 19 are suitable for color-blind readers. Additional colors
    differ in hue.
    """
    first = np.frombuffer(_FIRST_COLORS, np.uint8).reshape(-1, 3)
    hues = ((0.618034 * i) % 1 for i in range(num_classes - len(first)))
    more = [[round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.6, 0.85)] for hue in hues]
    return np.array([*first, *more][:num_classes], np.uint8)


def figure_palette(classes: Sequence[str], palette=None) -> np.ndarray:
    """Return the colors to use in figures.

    If all classes are CamVid classes, return colors that are easy to distinguish. Otherwise return `palette`, or the
    default palette if `palette` is None.
    """
    if set(classes) <= set(_STREET_CLASSES):
        return np.frombuffer(_STREET_COLORS, np.uint8).reshape(-1, 3)[[_STREET_CLASSES.index(name) for name in classes]]
    return default_palette(len(classes)) if palette is None else check_palette(palette)


def colorize(labels, palette=None, ignore_color=IGNORED_LABEL, ignore_index: int = _IGNORE_INDEX) -> np.ndarray:
    """Convert a label map (H, W) to an image (H, W, 3) with the color of each class.

    Pixels with the label `ignore_index` have the color `ignore_color`.
    """
    labels = check_labels(labels, "the label map")
    highest = int(labels[labels != ignore_index].max(initial=0))
    palette = default_palette(highest + 1) if palette is None else check_palette(palette)
    if highest >= len(palette):
        few = f"the label map has label {highest}, but the palette has only {len(palette)} colors"
        raise VisualizeError(f"{few}: give one for each class, or mark the pixels as ignored ({ignore_index})")
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette[:256]
    table[ignore_index] = ignore_color
    return table.take(labels, axis=0)  # three times as fast as table[labels]


def overlay(
    image,
    labels,
    palette=None,
    alpha: float = 0.45,
    outline: bool = True,
    background_class: int | None = None,
    ignore_index: int = _IGNORE_INDEX,
) -> np.ndarray:
    """Blend the image with the colors of its labels, and outline each region in its color.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W) integers.
        palette: (C, 3), a color for each class. None means the default palette.
        alpha: Opacity of the colors, 0 to 1.
        outline: Whether to draw the borders between regions.
        background_class: A class whose pixels are not changed, or None.
        ignore_index: The label of ignored pixels, which are not changed.

    Returns:
        (H, W, 3) uint8.
    """
    image, labels = check_image(image), check_labels(labels, "the label map")
    check_same_size(image=image, labels=labels)
    if not 0 <= alpha <= 1:
        raise VisualizeError(f"alpha is {alpha}, but must be between 0 and 1")
    colors = colorize(labels, palette, ignore_index=ignore_index)
    unchanged = labels == ignore_index
    if background_class is not None:
        unchanged |= labels == background_class
    result = cv2.addWeighted(image, 1 - alpha, colors, alpha, 0)
    if outline:
        cv2.copyTo(colors, _outline(labels).view(np.uint8), result)
    return cv2.copyTo(image, unchanged.view(np.uint8), result)


def error_map(image, target, prediction, foreground: int | None = 1, ignore_index: int = _IGNORE_INDEX) -> np.ndarray:
    """Show in color where a prediction is correct or wrong, on a darkened grayscale copy of the image.

    Args:
        image: (H, W, 3) uint8.
        target: (H, W) integers, the ground truth.
        prediction: (H, W) integers, the predicted classes.
        foreground: The class to compare. Its true positives, false negatives and false positives have the colors
            TRUE_POSITIVE, FALSE_NEGATIVE and FALSE_POSITIVE. If None, all classes are compared, and wrong pixels have
            the color FALSE_POSITIVE.
        ignore_index: The label of ignored pixels, which have the color IGNORED.

    Returns:
        (H, W, 3) uint8.
    """
    image = check_image(image)
    target, prediction = check_labels(target, "the target mask"), check_labels(prediction, "the prediction")
    check_same_size(image=image, target=target, prediction=prediction)
    if foreground is None:
        wrong = target != prediction
        nowhere = np.zeros_like(wrong)
        return paint_errors(image, nowhere, nowhere, wrong, target == ignore_index)
    is_target, is_predicted = target == foreground, prediction == foreground
    areas = is_target & is_predicted, is_target & ~is_predicted, ~is_target & is_predicted
    return paint_errors(image, *areas, target == ignore_index)


def darken(image) -> np.ndarray:
    """Return a darkened grayscale copy of the image, (H, W, 3) uint8, as a background for colors."""
    gray = check_image(image) @ np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601 luma
    return np.repeat((24 + 0.45 * gray).astype(np.uint8)[..., None], 3, axis=2)


def paint_errors(image, true_positive, false_negative, false_positive, ignored) -> np.ndarray:
    """Color four areas, given as boolean masks (H, W), on the darkened image."""
    background = darken(image)
    result = background.copy()
    for area, color, alpha in (
        (true_positive, TRUE_POSITIVE, 0.7),
        (false_negative, FALSE_NEGATIVE, 0.9),
        (false_positive, FALSE_POSITIVE, 0.9),
    ):
        result[area] = (background[area] * (1 - alpha) + np.uint8(color) * alpha + 0.5).astype(np.uint8)
    result[ignored] = IGNORED
    return result


def _outline(labels: np.ndarray) -> np.ndarray:
    """Return a mask of the borders between classes, which are wide enough to be visible in a small figure."""
    width = max(1, round(max(labels.shape) / 220))
    padded = np.pad(labels, width, mode="edge")  # the edge of the image is not a border
    return boundary_bands(padded, width)[width:-width, width:-width]


def check_image(image) -> np.ndarray:
    """Return `image` as an array. Raise VisualizeError unless it is uint8 of shape (H, W, 3)."""
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise VisualizeError(f"an image must be uint8 (H, W, 3), but this one is {image.dtype} of shape {image.shape}")
    return image


def check_labels(labels, name: str) -> np.ndarray:
    """Return `labels` as an array. Raise VisualizeError unless they are integers 0 to 255 or bool, of shape (H, W)."""
    labels = np.asarray(labels)
    labels = labels.astype(np.uint8) if labels.dtype == bool else labels
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.size == 0:
        raise VisualizeError(f"{name} must be integers (H, W), but it is {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() > 255:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise VisualizeError(f"{name} has label {wrong}, but labels are 0 to 255 (255 for ignored pixels)")
    return labels


def check_palette(palette) -> np.ndarray:
    """Return `palette` as uint8. Raise VisualizeError unless its shape is (C, 3) and its values are 0 to 255."""
    palette = np.asarray(palette)
    if palette.ndim != 2 or palette.shape[1] != 3 or palette.min() < 0 or palette.max() > 255:
        raise VisualizeError(f"a palette must be (classes, 3), values from 0 to 255, but its shape is {palette.shape}")
    return palette.astype(np.uint8)


def check_same_size(**arrays: np.ndarray) -> None:
    """Raise VisualizeError unless all arrays have the same height and width."""
    sizes = {name: array.shape[:2] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {height}x{width}" for name, (height, width) in sizes.items())
        raise VisualizeError(f"the arrays must have the same height and width, but they are {listed}")
