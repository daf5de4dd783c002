"""Boundary bands and the pixel counts for Boundary IoU, computed for all classes of a label map at once.

Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021,
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
    """Return the width of boundary bands in pixels, which is a fraction of the image's diagonal but at least 1.

    Args:
        height: height of the image in pixels.
        width: width of the image in pixels.
        ratio: the fraction of the diagonal, greater than 0.  The product is rounded to an integer.

    Raises:
        MetricError: if an argument is not positive.
    """
    if not (height > 0 and width > 0 and 0 < ratio < math.inf):
        raise MetricError(f"no boundary width for a {height}x{width} image at ratio {ratio}: all must be positive")
    return max(1, round(ratio * math.sqrt(height**2 + width**2)))


def boundary_bands(labels: Array, width: int) -> Array:
    """Return a mask of the pixels that belong to the boundary band of their own class.

    The band of a class is the set of its pixels within Chebyshev distance `width` of a pixel with a different label.
    Everything outside the image counts as a different label.  A pixel is therefore in a band if its window of
    (2 width + 1)^2 pixels extends beyond the image or contains different labels.  A window inside the image contains
    different labels if and only if one of its (2 width)^2 blocks of 2x2 pixels does.  This test does not depend on the
    class, so one pass computes the bands of all classes.

    Args:
        labels: integers (..., H, W) in an array or a tensor.  The label of ignored pixels is treated like any other.
        width: width of the band in pixels, at least 1, such as the result of `boundary_width`.

    Returns:
        bool (..., H, W), an array or a tensor on the same device as `labels`.

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
    """For each class, count the pixels in the intersection and the union of the target's and the prediction's bands.

    The bands are computed from all labels.  Ignored pixels are removed from the bands afterward.

    Args:
        target: labels (..., H, W), as in `confusion_matrix`.
        prediction: labels (..., H, W) or logits (..., C, H, W), as in `confusion_matrix`.
        num_classes: C, 1 to 255.
        width: width of the bands in pixels, at least 1.
        ignore_index: the target label of the pixels to ignore, which must not be one of the classes.

    Returns:
        Two int64 arrays (C,): intersections and unions.  Boundary IoU is their ratio.

    Raises:
        MetricError: if the label maps or `num_classes` are invalid (see `confusion_matrix`), or `width` is less than 1.
    """
    return boundary_of_shifted(*shift_labels(target, prediction, num_classes, ignore_index), num_classes, width)


def boundary_of_shifted(target: Any, prediction: Any, num_classes: int, width: int) -> tuple[Array, Array]:
    """Compute `boundary_counts` from the label maps that `labels.shift_labels` returns."""
    bits = _band_bits(_differences(target, prediction, num_classes), target.reshape(-1) | 255, target.shape, width)
    in_target, in_prediction = as_bytes(bits > 15), as_bytes((bits & 15) > 0) & as_bytes(target > 0)
    return _intersection_and_union(target * in_target, prediction * in_prediction, num_classes)


def _intersection_and_union(target: Any, prediction: Any, num_classes: int) -> tuple[Array, Array]:
    """Return the number of pixels with each label 1..C in both maps, and in at least one map, as two int64 (C,)."""
    if num_classes <= 2 and isinstance(target, np.ndarray):  # labels 1 and 2 are single bits, so no matrix is needed
        both, either = target & prediction, target | prediction
        return _count_bits(both, num_classes), _count_bits(either, num_classes)
    pairs: Any = count_pairs(target, prediction, num_classes)
    both = pairs.diagonal()[1:]
    return both, pairs.sum(0)[1:] + pairs.sum(1)[1:] - both


def _count_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return np.array([np.count_nonzero(values & 1 << position) for position in range(bits)], np.int64)


def _differences(target: Any, prediction: Any, num_classes: int) -> Differences:
    """Return a function of `step` that compares each pixel with the pixel `step` positions later, in both maps at once.

    In the bytes that this function returns, the upper four bits are nonzero where the target differs, and the lower
    four bits are nonzero where the prediction differs.
    """
    if num_classes <= 15:  # two labels fit into a byte, and xor compares both at once
        packed = (target * 16 + prediction).reshape(-1)
        return lambda step: packed[step:] ^ packed[:-step]
    true, predicted = target.reshape(-1), prediction.reshape(-1)
    # In NumPy, multiplying bytes is faster than shifting them.
    return lambda step: as_bytes(true[step:] != true[:-step]) * 16 | as_bytes(predicted[step:] != predicted[:-step])


def _band_bits(differences: Differences, everywhere: Any, shape: tuple[int, ...], width: int) -> Any:
    """Compute the bands of several label maps in one pass, with separate bits for each map.

    Args:
        differences: function of `step` that returns one byte per pixel.  The bits of a map are nonzero where the pixel
            differs from the pixel `step` positions later in the flattened map.
        everywhere: uint8, 255 at every pixel of the flattened maps.  This array is overwritten with the result.
        shape: the shape of the label maps, (..., H, W).
        width: width of the bands in pixels.

    Returns:
        uint8 (..., H, W).  The bits of a map are nonzero in its bands.
    """
    if len(shape) < 2 or width < 1:
        raise MetricError(f"bands need labels (..., H, W), not {tuple(shape)}, and a width >= 1, not {width}")
    row = shape[-1]  # the step to the pixel below
    changes = differences(1)
    changes[row - 1 :: row] = 255  # the last pixel of each row has no right neighbor
    mixed = differences(row)[:-1]  # 2x2 blocks with different labels, stored at their top left pixel
    mixed |= changes[:-row]
    mixed |= changes[row:]
    mixed = _any_of_next(_any_of_next(mixed, 2 * width, step=1), 2 * width, step=row)  # windows with different labels
    centre = width * row + width
    everywhere[centre : centre + len(mixed)] = mixed
    bits = everywhere.reshape(shape)
    bits[..., :width, :] = 255
    bits[..., -width:, :] = 255
    return bits


def _any_of_next(flags: Any, count: int, step: int) -> Any:
    """Return, for each position, the bitwise OR of `count` bytes at intervals of `step`, starting at this position.

    The function needs about log2(count) passes.
    """
    reach = 1
    while reach < count:
        shift = min(reach, count - reach) * step
        flags = flags[:-shift] | flags[shift:]
        reach += shift // step
    return flags
