"""Boundary bands and the counts for Boundary IoU, for all classes of a label map at once.

After Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021,
https://arxiv.org/abs/2103.16562.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .confusion import count_pairs
from .labels import Array, MetricError, as_bytes, check_integers, shift_labels

Differences = Callable[[int], Any]


def boundary_width(height: int, width: int, ratio: float = 0.02) -> int:
    """Return the width of boundary bands in pixels: a share of the image's diagonal, at least 1.

    Args:
        height, width: of the image, in pixels.
        ratio: the share of the diagonal, more than 0; the result is rounded, half to even.

    Raises:
        MetricError: if an argument is not positive.
    """
    if not (height > 0 and width > 0 and 0 < ratio < math.inf):
        raise MetricError(f"no boundary width for a {height}x{width} image at ratio {ratio}: all must be positive")
    return max(1, round(ratio * math.sqrt(height**2 + width**2)))


def boundary_bands(labels: Array, width: int) -> Array:
    """Mark the pixels that are in the boundary band of their own class.

    The band of a class is the set of its pixels within Chebyshev distance `width` of a pixel with another label, and
    everything outside the image counts as another label.  So a pixel is in a band exactly when its window of
    (2 width + 1)^2 pixels leaves the image or holds two labels, and then one of the (2 width)^2 blocks of 2x2 pixels in
    the window does the same.  This test does not depend on the class, so it serves all classes at once.

    Args:
        labels: integers (..., H, W), array or tensor; an ignored label is a label like any other here.
        width: of the band in pixels, at least 1, as from `boundary_width`.

    Returns:
        bool (..., H, W), of the kind and on the device of `labels`.

    Raises:
        MetricError: if the labels are not integers (..., H, W), or `width` is less than 1.
    """
    labels = check_integers(labels, "label map")
    flat = labels.reshape(-1)
    everywhere = as_bytes(flat == flat) * 255
    return _band_bits(lambda step: as_bytes(flat[step:] != flat[:-step]), everywhere, labels.shape, width) > 0


def boundary_counts(
    target: Array, prediction: Array, num_classes: int, width: int, ignore_index: int = 255
) -> tuple[Array, Array]:
    """Count, for each class, the pixels in both bands, the target's and the prediction's, and those in at least one.

    The bands are computed first, on all labels, and then lose the pixels that the target ignores.

    Args:
        target: labels (..., H, W), as in `confusion_matrix`.
        prediction: labels (..., H, W) or logits (..., C, H, W), as in `confusion_matrix`.
        num_classes: C, 1 to 255.
        width: of the bands in pixels, at least 1.
        ignore_index: the label of pixels to leave out; not one of the classes.

    Returns:
        Two int64 (C,): intersections and unions.  Boundary IoU is their ratio.

    Raises:
        MetricError: as `confusion_matrix` and `boundary_bands`.
    """
    shifted = shift_labels(target, prediction, num_classes, ignore_index)
    return boundary_of_shifted(*shifted, num_classes, width)


def boundary_of_shifted(target: Any, prediction: Any, num_classes: int, width: int) -> tuple[Array, Array]:
    """`boundary_counts` of two maps with labels 0..C, class + 1 or 0 for ignored, as from `labels.shift_labels`."""
    bits = _band_bits(_differences(target, prediction, num_classes), target.reshape(-1) | 255, target.shape, width)
    in_target, in_prediction = as_bytes(bits > 15), as_bytes((bits & 15) > 0) & as_bytes(target > 0)
    return _intersection_and_union(target * in_target, prediction * in_prediction, num_classes)


def _intersection_and_union(target: Any, prediction: Any, num_classes: int) -> tuple[Array, Array]:
    """Two int64 (C,): for each of the labels 1..C, the pixels that have it in both maps, and in at least one."""
    if num_classes <= 2 and isinstance(target, np.ndarray):  # labels 1 and 2 are one bit each, so no matrix is needed
        both, either = target & prediction, target | prediction
        return _count_bits(both, num_classes), _count_bits(either, num_classes)
    pairs: Any = count_pairs(target, prediction, num_classes)
    both = pairs.diagonal()[1:]
    return both, pairs.sum(0)[1:] + pairs.sum(1)[1:] - both


def _count_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return np.array([np.count_nonzero(values & 1 << position) for position in range(bits)], np.int64)


def _differences(target: Any, prediction: Any, num_classes: int) -> Differences:
    """Both maps at once: the upper four bits are set where the target differs, the lower four for the prediction."""
    if num_classes <= 15:  # two labels fit into a byte, and xor compares both at once
        packed = (target * 16 + prediction).reshape(-1)
        return lambda step: packed[step:] ^ packed[:-step]
    true, predicted = target.reshape(-1), prediction.reshape(-1)

    def differences(step: int) -> Array:
        # numpy multiplies bytes faster than it shifts them
        return as_bytes(true[step:] != true[:-step]) * 16 | as_bytes(predicted[step:] != predicted[:-step])

    return differences


def _band_bits(differences: Differences, everywhere: Any, shape: tuple[int, ...], width: int) -> Any:
    """Compute bands of several maps in one pass, each in its own bits.

    Args:
        differences: `differences(step)` has a bit set where a pixel of the flattened maps differs from the pixel
            `step` further on.
        everywhere: uint8, 255 at every pixel of the flattened maps; it becomes the result.
        shape: (..., H, W).
        width: of the bands.

    Returns:
        uint8 (..., H, W), with a bit set in the bands.
    """
    if len(shape) < 2 or width < 1:
        raise MetricError(f"bands need labels (..., H, W), not {tuple(shape)}, and a width >= 1, not {width}")
    row = shape[-1]  # the distance to the pixel below
    changes = differences(1)
    changes[row - 1 :: row] = 255  # the image ends after each row
    mixed = differences(row)[:-1]  # 2x2 blocks, by their top left pixel
    mixed |= changes[:-row]
    mixed |= changes[row:]
    mixed = _any_of_next(_any_of_next(mixed, 2 * width, step=1), 2 * width, step=row)  # windows, by the same pixel
    centre = width * row + width
    everywhere[centre : centre + len(mixed)] = mixed
    bits = everywhere.reshape(shape)
    bits[..., :width, :] = 255
    bits[..., -width:, :] = 255
    return bits


def _any_of_next(flags: Any, count: int, step: int) -> Any:
    """Each byte or-ed with those after it, `count` bytes in all and `step` apart, in log2(count) passes."""
    reach = 1
    while reach < count:
        shift = min(reach, count - reach) * step
        flags = flags[:-shift] | flags[shift:]
        reach += shift // step
    return flags
