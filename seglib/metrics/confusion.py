"""The confusion matrix, and the scores computed from it, which are IoU, Dice, precision, recall and accuracies.

Every score can be computed from a confusion matrix, as in `iou(matrix)`, or from label maps, as in
`iou(target, prediction, num_classes, ignore_index)`.  Label maps may be batches, and the prediction may be logits; see
`confusion_matrix`.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from .labels import Array, MetricError, shift_labels, to_numpy


def confusion_matrix(target: Array, prediction: Array, num_classes: int, ignore_index: int = 255) -> Array:
    """Count the pixels of every pair of target class and predicted class.

    Args:
        target: label map of any shape with integers 0..C-1 or `ignore_index`, an array or a tensor.
        prediction: label map of the same shape with integers 0..C-1 at every pixel, or floating-point logits
            (..., C, H, W), or logits (..., 1, H, W) for two classes.  Both label maps must be arrays, or both tensors.
        num_classes: C, 1 to 255.
        ignore_index: the target label of the pixels to ignore, which must not be one of the classes.

    Returns:
        int64 (C, C), with a row for each target class and a column for each predicted class.  It is an array, or a
        tensor on the target's device.

    Raises:
        MetricError: if the shapes differ, a label is out of range, or an input is empty or does not contain integers.
    """
    return confusion_of_shifted(*shift_labels(target, prediction, num_classes, ignore_index), num_classes)


def iou(
    target: Array, prediction: Array | None = None, num_classes: int | None = None, ignore_index: int = 255
) -> np.ndarray:
    """Return the intersection over union (IoU) of each class, TP / (TP + FP + FN).

    Args:
        target: a confusion matrix (C, C) if this is the only argument, otherwise label maps as in `confusion_matrix`.
        prediction: label maps or logits as in `confusion_matrix`.
        num_classes: C.
        ignore_index: the target label of the pixels to ignore.

    Returns:
        float64 (C,), from 0 to 1; NaN for a class that occurs in neither target nor prediction.

    Raises:
        MetricError: if the only argument is not a confusion matrix, or the label maps are invalid (see
            `confusion_matrix`).
    """
    hits, true, predicted = _marginals(target, prediction, num_classes, ignore_index)
    return quotient(hits, true + predicted - hits)


def dice(
    target: Array, prediction: Array | None = None, num_classes: int | None = None, ignore_index: int = 255
) -> np.ndarray:
    """Return the Dice coefficient of each class, 2 TP / (2 TP + FP + FN).  See `iou` for arguments and errors."""
    hits, true, predicted = _marginals(target, prediction, num_classes, ignore_index)
    return quotient(2.0 * hits, true + predicted)


def precision(
    target: Array, prediction: Array | None = None, num_classes: int | None = None, ignore_index: int = 255
) -> np.ndarray:
    """Return the precision of each class, TP / (TP + FP), or NaN if it is not predicted.  See `iou` for arguments."""
    hits, _, predicted = _marginals(target, prediction, num_classes, ignore_index)
    return quotient(hits, predicted)


def recall(
    target: Array, prediction: Array | None = None, num_classes: int | None = None, ignore_index: int = 255
) -> np.ndarray:
    """Return the recall of each class, TP / (TP + FN), or NaN if it is not in the target.  See `iou` for arguments."""
    hits, true, _ = _marginals(target, prediction, num_classes, ignore_index)
    return quotient(hits, true)


def mean_iou(
    target: Array, prediction: Array | None = None, num_classes: int | None = None, ignore_index: int = 255
) -> float:
    """Return the mean IoU over the classes that occur in the target or the prediction.  See `iou` for arguments."""
    return mean(iou(target, prediction, num_classes, ignore_index))


def pixel_accuracy(
    target: Array, prediction: Array | None = None, num_classes: int | None = None, ignore_index: int = 255
) -> float:
    """Return the fraction of correctly classified pixels, excluding ignored pixels.  See `iou` for arguments."""
    hits, true, _ = _marginals(target, prediction, num_classes, ignore_index)
    return float(quotient(hits.sum(), true.sum()))


def mean_class_accuracy(
    target: Array, prediction: Array | None = None, num_classes: int | None = None, ignore_index: int = 255
) -> float:
    """Return the mean recall over the classes that occur in the target.  See `iou` for arguments."""
    return mean(recall(target, prediction, num_classes, ignore_index))


def frequency_weighted_iou(
    target: Array, prediction: Array | None = None, num_classes: int | None = None, ignore_index: int = 255
) -> float:
    """Return the mean of the class IoUs, weighted by the number of target pixels.  See `iou` for arguments."""
    hits, true, predicted = _marginals(target, prediction, num_classes, ignore_index)
    return float(quotient(np.nansum(true * quotient(hits, true + predicted - hits)), true.sum()))


def confusion_of_shifted(target: Array, prediction: Array, num_classes: int) -> Array:
    """Compute `confusion_matrix` from the label maps that `labels.shift_labels` returns."""
    if num_classes <= 2 and isinstance(target, np.ndarray):  # faster than bincount
        pairs, labels = target * 3 + prediction, range(1, num_classes + 1)
        return np.array([[np.count_nonzero(pairs == 3 * t + p) for p in labels] for t in labels], np.int64)
    return count_pairs(target, prediction, num_classes)[1:, 1:]


def count_pairs(target: Any, prediction: Any, num_classes: int) -> Array:
    """Count the pixels of every pair of shifted labels 0..C, and return int64 (C + 1, C + 1)."""
    side = num_classes + 1
    if isinstance(target, torch.Tensor):
        pairs = target.int() * side + prediction
        return torch.bincount(pairs.reshape(-1), minlength=side * side).reshape(side, side)
    pairs = target.astype(next(t for t in (np.uint8, np.int16, np.int32) if np.iinfo(t).max >= side * side)) * side
    pairs += prediction
    counts = torch.bincount(torch.from_numpy(pairs).reshape(-1), minlength=side * side)  # NumPy would copy to int64
    return counts.numpy().reshape(side, side)


def _marginals(
    target: Array, prediction: Array | None, num_classes: int | None, ignore_index: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return three arrays (C,): the numbers of true positives, target pixels and predicted pixels of each class."""
    if prediction is not None:
        if num_classes is None:
            raise MetricError("num_classes is missing: give target, prediction and the number of classes")
        matrix = to_numpy(confusion_matrix(target, prediction, num_classes, ignore_index))
    else:
        matrix = to_numpy(target)
        square = matrix.ndim == 2 and 1 <= matrix.shape[0] == matrix.shape[1] <= 255
        if not square or matrix.dtype.kind not in "iu" or matrix.dtype.itemsize < 4 or matrix.min() < 0:
            raise MetricError(
                f"{matrix.dtype} {matrix.shape} is not a confusion matrix (C, C) of counts: "
                "give one, or label maps as target, prediction and the number of classes"
            )
    return matrix.diagonal(), matrix.sum(1), matrix.sum(0)


def quotient(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, or NaN where `whole` is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def occurring(values: Iterable[float]) -> list[float]:
    """Return the values that are not NaN."""
    return [float(value) for value in values if not math.isnan(value)]


def mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN, independent of their order, or NaN if there are none."""
    values = occurring(values)
    return math.fsum(values) / len(values) if values else math.nan
