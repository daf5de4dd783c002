"""The confusion matrix, and the scores that are read off it: IoU, Dice, precision, recall and the accuracies."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch

from .labels import Array, to_marks, to_numpy


def confusion_matrix(truth: Array, prediction: Array, num_classes: int, ignore_index: int = 255) -> Array:
    """Count the pixels of every pair of true and predicted class.

    Args:
        truth: label map of any shape, integers 0..num_classes-1 or ``ignore_index``, in an array or a tensor.
        prediction: label map of the same shape and kind, integers 0..num_classes-1 at every pixel.
        num_classes: C, 1 to 255.
        ignore_index: the label of pixels to leave out; not one of the classes.

    Returns:
        int64 (C, C), rows are truth and columns prediction; on the truth's device if that is a tensor.

    Raises:
        MetricError: the shapes differ, a label is out of range, an input does not hold integers or is empty.
    """
    return confusion_of_marks(*to_marks(truth, prediction, num_classes, ignore_index), num_classes)


def iou(confusion: Array) -> np.ndarray:
    """Intersection over union TP / (TP + FP + FN) of each class: float64 (C,), 0..1, NaN for an absent class."""
    hits, true, predicted = _marginals(confusion)
    return quotient(hits, true + predicted - hits)


def dice(confusion: Array) -> np.ndarray:
    """Dice coefficient 2 TP / (2 TP + FP + FN) of each class: float64 (C,), 0..1, NaN for an absent class."""
    hits, true, predicted = _marginals(confusion)
    return quotient(2 * hits, true + predicted)


def precision(confusion: Array) -> np.ndarray:
    """TP / (TP + FP) of each class: float64 (C,), 0..1, NaN for a class never predicted."""
    hits, _, predicted = _marginals(confusion)
    return quotient(hits, predicted)


def recall(confusion: Array) -> np.ndarray:
    """TP / (TP + FN) of each class: float64 (C,), 0..1, NaN for a class not in the truth."""
    hits, true, _ = _marginals(confusion)
    return quotient(hits, true)


def mean_iou(confusion: Array) -> float:
    """Mean IoU over the classes that occur in truth or prediction."""
    return mean(iou(confusion))


def pixel_accuracy(confusion: Array) -> float:
    """Share of the counted pixels whose class is right."""
    hits, true, _ = _marginals(confusion)
    return float(quotient(hits.sum(), true.sum()))


def mean_class_accuracy(confusion: Array) -> float:
    """Mean recall over the classes that occur in the truth."""
    return mean(recall(confusion))


def frequency_weighted_iou(confusion: Array) -> float:
    """Mean IoU over the classes that occur in the truth, weighted by their pixels there."""
    true = _marginals(confusion)[1]
    return float(quotient(np.nansum(true * iou(confusion)), true.sum()))


def confusion_of_marks(truth: Array, prediction: Array, num_classes: int) -> Array:
    """``confusion_matrix`` of two maps of marks 0..C, class + 1 or 0 for ignored, as ``labels.to_marks`` makes them."""
    if num_classes <= 2 and isinstance(truth, np.ndarray):  # few passes over bytes take less than one bincount
        pairs, marks = truth * 3 + prediction, range(1, num_classes + 1)
        return np.array([[np.count_nonzero(pairs == 3 * t + p) for p in marks] for t in marks], np.int64)
    return count_pairs(truth, prediction, num_classes)[1:, 1:]


def count_pairs(truth: Array, prediction: Array, num_classes: int) -> Array:
    """int64 (C + 1, C + 1): how often each pair of marks 0..C occurs."""
    side = num_classes + 1
    if isinstance(truth, torch.Tensor):
        pairs = truth.int() * side + prediction
        return torch.bincount(pairs.reshape(-1), minlength=side * side).reshape(side, side)
    pairs = truth.astype(next(t for t in (np.uint8, np.int16, np.int32) if np.iinfo(t).max >= side * side)) * side
    pairs += prediction
    counts = torch.bincount(torch.from_numpy(pairs).reshape(-1), minlength=side * side)  # no copy as 64-bit integers
    return counts.numpy().reshape(side, side)


def _marginals(confusion: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class: pixels that agree, pixels in the truth, pixels in the prediction."""
    confusion = to_numpy(confusion)
    return confusion.diagonal(), confusion.sum(1), confusion.sum(0)


def quotient(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def occurring(values: Iterable[float]) -> list[float]:
    """The values that are not NaN."""
    return [float(value) for value in values if not math.isnan(value)]


def mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN, the same in whatever order they come."""
    values = occurring(values)
    return math.fsum(values) / len(values) if values else math.nan
