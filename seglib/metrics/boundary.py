"""Boundary bands, and the counts behind Boundary IoU, for every class of a label map at once.

After Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .confusion import count_pairs
from .labels import Array, MetricError, as_bytes, integers, to_marks

Differences = Callable[[int], Array]


def boundary_width(height: int, width: int, ratio: float = 0.02) -> int:
    """The reach of boundary bands in pixels: ``ratio`` of an image's diagonal, rounded (half to even), at least 1."""
    if not (height > 0 and width > 0 and 0 < ratio < math.inf):
        raise MetricError(f"no boundary width for a {height}x{width} image at ratio {ratio}: all must be positive")
    return max(1, round(ratio * math.sqrt(height**2 + width**2)))


def boundary_bands(labels: Array, width: int) -> Array:
    """Mark the pixels that lie in the boundary band of their own class.

    The band of a class is the set of its pixels within Chebyshev distance ``width`` of a pixel with another label,
    and everything outside the image counts as another label. So a pixel is in a band exactly when its window of
    (2 width + 1)^2 pixels leaves the image or holds two labels, and then one of the (2 width)^2 blocks of 2x2 pixels
    in the window does the same: a test that knows nothing of classes and serves them all at once.

    Args:
        labels: integers (..., H, W), array or tensor; an ignored label is a label like any other here.
        width: the reach in pixels, at least 1, as from ``boundary_width``.

    Returns:
        bool (..., H, W), of the kind and on the device of ``labels``.
    """
    labels = integers(labels, "the label map")
    flat = labels.reshape(-1)
    everywhere = as_bytes(flat == flat) * 255
    return _band_bits(lambda step: as_bytes(flat[step:] != flat[:-step]), everywhere, labels.shape, width) > 0


def boundary_counts(
    truth: Array, prediction: Array, num_classes: int, width: int, ignore_index: int = 255
) -> tuple[Array, Array]:
    """Count, for each class, the pixels in both bands, truth's and prediction's, and those in at least one.

    The bands are drawn first, on all labels as they are, and then lose the pixels that the truth ignores. Arguments
    and errors as for ``confusion_matrix``, but the label maps are (..., H, W); ``width`` is the bands' reach.

    Returns:
        Two int64 (C,): intersections and unions. Boundary IoU is their ratio.
    """
    return boundary_of_marks(*to_marks(truth, prediction, num_classes, ignore_index), num_classes, width)


def boundary_of_marks(truth: Array, prediction: Array, num_classes: int, width: int) -> tuple[Array, Array]:
    """``boundary_counts`` of two maps of marks 0..C, class + 1 or 0 for ignored, as ``labels.to_marks`` makes them."""
    bits = _band_bits(_differences(truth, prediction, num_classes), truth.reshape(-1) | 255, truth.shape, width)
    in_truth, in_prediction = as_bytes(bits > 15), as_bytes((bits & 15) > 0) & as_bytes(truth > 0)
    return _shared_and_joint(truth * in_truth, prediction * in_prediction, num_classes)


def _shared_and_joint(truth: Array, prediction: Array, num_classes: int) -> tuple[Array, Array]:
    """Two int64 (C,): of each of the marks 1..C, the pixels that have it in both maps, and in at least one."""
    if num_classes <= 2 and isinstance(truth, np.ndarray):  # marks 1 and 2 are a bit each, which spares a matrix
        both, either = truth & prediction, truth | prediction
        return _count_bits(both, num_classes), _count_bits(either, num_classes)
    pairs = count_pairs(truth, prediction, num_classes)
    both = pairs.diagonal()[1:]
    return both, pairs.sum(0)[1:] + pairs.sum(1)[1:] - both


def _count_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return np.array([np.count_nonzero(values & 1 << position) for position in range(bits)], np.int64)


def _differences(truth: Array, prediction: Array, num_classes: int) -> Differences:
    """Both maps at once: the upper four bits tell whether the truth differs, the lower four whether the prediction."""
    if num_classes <= 15:  # two marks fit into a byte, and xor compares both at once
        packed = (truth * 16 + prediction).reshape(-1)
        return lambda step: packed[step:] ^ packed[:-step]
    true, predicted = truth.reshape(-1), prediction.reshape(-1)

    def differences(step: int) -> Array:
        # numpy multiplies bytes faster than it shifts them
        return as_bytes(true[step:] != true[:-step]) * 16 | as_bytes(predicted[step:] != predicted[:-step])

    return differences


def _band_bits(differences: Differences, everywhere: Array, shape: tuple[int, ...], width: int) -> Array:
    """uint8 (..., H, W) = ``shape``, not 0 in the bands; each bit by itself, so that one pass serves several maps.

    ``differences(step)`` has a bit set where a pixel of the flattened maps differs from the one ``step`` further on.
    ``everywhere`` is 255 at every pixel of them; it becomes the result.
    """
    if len(shape) < 2 or width < 1:
        raise MetricError(f"bands need labels (..., H, W), not {tuple(shape)}, and a width >= 1, not {width}")
    row = shape[-1]  # so much further on is the pixel below
    changes = differences(1)
    changes[row - 1 :: row] = 255  # beyond the end of a row lies the outside
    mixed = differences(row)[:-1]  # 2x2 blocks, by their top left pixel
    mixed |= changes[:-row]
    mixed |= changes[row:]
    mixed = _any_of_next(_any_of_next(mixed, 2 * width, step=1), 2 * width, step=row)  # windows, likewise
    centre = width * row + width
    everywhere[centre : centre + len(mixed)] = mixed
    bits = everywhere.reshape(shape)
    bits[..., :width, :] = 255
    bits[..., -width:, :] = 255
    return bits


def _any_of_next(flags: Array, count: int, step: int) -> Array:
    """Each byte or-ed with those after it, ``count`` bytes in all and ``step`` apart, in log2(count) passes."""
    reach = 1
    while reach < count:
        shift = min(reach, count - reach) * step
        flags = flags[:-shift] | flags[shift:]
        reach += shift // step
    return flags
