"""Pictures made pixel by pixel: uint8 arrays in, uint8 arrays out.

Images are (H, W, 3) uint8 RGB; label maps are (H, W) integers, 255 meaning ignored; palettes are (C, 3) uint8.
Everything raises VisualizeError, a ValueError, for arrays that do not fit together.
"""

import colorsys

import numpy as np

from ..metrics import boundary_bands, boundary_width
from .style import VisualizeError

# What error maps and band pictures paint; blue against orange can be told apart by every reader.
HIT = (238, 240, 235)
MISS = (47, 146, 229)
FALSE_ALARM = (240, 106, 18)
IGNORED = (168, 171, 178)

_IGNORE_INDEX = 255
_FIRST_COLOURS = (
    (36, 40, 52),
    (22, 163, 200),
    (230, 159, 0),
    (204, 121, 167),
    (0, 158, 115),
    (213, 94, 0),
    (0, 114, 178),
    (240, 228, 66),
    (51, 34, 136),
    (153, 153, 51),
    (136, 34, 85),
    (136, 204, 238),
    (17, 119, 51),
    (204, 102, 119),
    (221, 204, 119),
    (170, 68, 153),
    (119, 119, 119),
    (102, 51, 0),
    (68, 170, 153),
    (221, 221, 221),
)


def default_palette(num_classes: int) -> np.ndarray:
    """(num_classes, 3) uint8: a dark background, then colours after Okabe and Ito, and Tol; hues beyond twenty."""
    hues = ((0.618034 * i) % 1 for i in range(num_classes - len(_FIRST_COLOURS)))
    more = [[round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.6, 0.85)] for hue in hues]
    return np.array([*_FIRST_COLOURS, *more][:num_classes], np.uint8)


def colorize(labels, palette=None, ignore_color=(224, 224, 228), ignore_index: int = _IGNORE_INDEX) -> np.ndarray:
    """The (H, W) label map as an (H, W, 3) picture: each class in its colour, ignored pixels in `ignore_color`."""
    labels = check_labels(labels, "the label map")
    kept = labels[labels != ignore_index]
    top = int(kept.max(initial=0))
    palette = default_palette(top + 1) if palette is None else check_palette(palette)
    if top >= len(palette):
        raise VisualizeError(
            f"the label map holds label {top}, but the palette has only {len(palette)} colours: "
            f"give one colour for each class, or mark the pixels as ignored ({ignore_index})"
        )
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette[:256]
    table[ignore_index] = ignore_color
    return table[labels]


def overlay(
    image,
    labels,
    palette=None,
    alpha: float = 0.45,
    outline: bool = True,
    background_class: int | None = None,
    ignore_index: int = _IGNORE_INDEX,
) -> np.ndarray:
    """The image tinted by its labels, with a crisp line in the class's colour along each border.

    `alpha` is the strength of the tint, 0 to 1. Pixels of `background_class` and ignored ones stay as they were.
    """
    image, labels = check_image(image), check_labels(labels, "the label map")
    check_same_size(image=image, labels=labels)
    if not 0 <= alpha <= 1:
        raise VisualizeError(f"alpha is {alpha}, but must lie between 0 and 1")
    colours = colorize(labels, palette, ignore_index=ignore_index)
    untouched = labels == ignore_index
    if background_class is not None:
        untouched |= labels == background_class
    result = np.empty_like(image)
    for top in range(0, len(image), 256):  # in floating point the whole of a large picture would fill the memory
        result[top : top + 256] = _mix(image[top : top + 256], colours[top : top + 256], alpha)
    if outline:
        result = np.where(_outline(labels)[..., None], colours, result)
    return np.where(untouched[..., None], image, result)


def cutout(image, labels, foreground: int = 1) -> np.ndarray:
    """(H, W, 4) uint8 RGBA: the image where the label is `foreground`, fully transparent elsewhere."""
    image, labels = check_image(image), check_labels(labels, "the label map")
    check_same_size(image=image, labels=labels)
    return np.dstack([image, np.where(labels == foreground, 255, 0).astype(np.uint8)])


def error_map(image, truth, prediction, foreground: int | None = 1, ignore_index: int = _IGNORE_INDEX) -> np.ndarray:
    """Where a prediction is right and wrong, over the dimmed grey image; (H, W, 3) uint8.

    For one class, `foreground`: HIT, MISS (only in truth) and FALSE_ALARM (only predicted). With foreground=None,
    for many classes: wrong pixels FALSE_ALARM, right ones bare. Ignored pixels are flat grey (IGNORED).
    """
    image, truth, prediction = _checked(image, truth, prediction)
    if foreground is None:
        alarm = truth != prediction
        hit = miss = np.zeros_like(alarm)
    else:
        ours, theirs = truth == foreground, prediction == foreground
        hit, miss, alarm = ours & theirs, ours & ~theirs, ~ours & theirs
    return _paint(image, hit, miss, alarm, truth == ignore_index)


def boundary_band_picture(
    image, truth, prediction, class_index: int = 1, ratio: float = 0.02, ignore_index: int = _IGNORE_INDEX
) -> np.ndarray:
    """The two bands that Boundary IoU compares, over the dimmed grey image; (H, W, 3) uint8.

    HIT where the bands of truth and prediction meet, MISS for truth's alone, FALSE_ALARM for the prediction's
    alone: Boundary IoU is the first area over all three. `ratio` is the band's width in image diagonals.
    """
    image, truth, prediction = _checked(image, truth, prediction)
    width = boundary_width(*truth.shape, ratio)
    ours = (truth == class_index) & boundary_bands(truth, width)
    theirs = (prediction == class_index) & boundary_bands(prediction, width)
    return _paint(image, ours & theirs, ours & ~theirs, ~ours & theirs, truth == ignore_index)


def dimmed(image) -> np.ndarray:
    """The image in dark grey, (H, W, 3) uint8: a quiet ground for colours."""
    grey = check_image(image) @ np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601 luma
    return np.repeat((24 + 0.45 * grey).astype(np.uint8)[..., None], 3, axis=2)


def _paint(image, hit, miss, alarm, ignored) -> np.ndarray:
    ground = dimmed(image)
    result = ground.copy()
    for where, colour, alpha in ((hit, HIT, 0.7), (miss, MISS, 0.9), (alarm, FALSE_ALARM, 0.9)):
        result[where] = _mix(ground[where], np.uint8(colour), alpha)
    result[ignored] = IGNORED
    return result


def _mix(below: np.ndarray, above: np.ndarray, alpha: float) -> np.ndarray:
    return (below * (1 - alpha) + above * alpha + 0.5).astype(np.uint8)


def _outline(labels: np.ndarray) -> np.ndarray:
    """True along borders between classes, as thick as survives when the picture is shown at a third of a page."""
    width = max(1, round(max(labels.shape) / 220))
    padded = np.pad(labels, width, mode="edge")  # the image's own edge is no border
    return boundary_bands(padded, width)[width:-width, width:-width]


def _checked(image, truth, prediction):
    image = check_image(image)
    truth, prediction = check_labels(truth, "the truth"), check_labels(prediction, "the prediction")
    check_same_size(image=image, truth=truth, prediction=prediction)
    return image, truth, prediction


def check_image(image) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise VisualizeError(
            f"an image must be uint8 of shape (H, W, 3), but this one is {image.dtype} of shape {image.shape}"
        )
    return image


def check_labels(labels, name: str) -> np.ndarray:
    labels = np.asarray(labels)
    labels = labels.astype(np.uint8) if labels.dtype == bool else labels
    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.size == 0:
        raise VisualizeError(
            f"{name} must hold integers in shape (H, W), but it is {labels.dtype} of shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() > 255:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise VisualizeError(f"{name} holds label {wrong}, but labels run from 0 to 255 (255 for ignored pixels)")
    return labels


def check_palette(palette) -> np.ndarray:
    palette = np.asarray(palette)
    if palette.ndim != 2 or palette.shape[1] != 3 or palette.min() < 0 or palette.max() > 255:
        raise VisualizeError(
            f"a palette must be (classes, 3) of values from 0 to 255, but this one has shape {palette.shape}"
        )
    return palette.astype(np.uint8)


def check_same_size(**arrays: np.ndarray) -> None:
    sizes = {name: array.shape[:2] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {height}x{width}" for name, (height, width) in sizes.items())
        raise VisualizeError(f"the arrays must have one height and width, but they are {listed}")
