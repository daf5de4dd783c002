"""Pixel counts accumulated over the images of a data set, and the scores computed from them.

`Counts` objects from several processes can be added together.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import confusion
from .boundary import boundary_of_shifted, boundary_width
from .labels import Array, MetricError, check_options, shift_labels, to_numpy


class Counts:
    """The counts from which all scores of a data set are computed.

    Args:
        num_classes: C, 1 to 255.
        ratio: the width of boundary bands as a fraction of each image's diagonal.  The Boundary IoU paper (Cheng et
            al., CVPR 2021) uses 0.02; its authors' code uses 0.005 for Cityscapes.
        ignore_index: the target label of the pixels to ignore, which must not be one of the classes.

    Attributes:
        confusion: int64 (C, C), with a row for each target class and a column for each predicted class.
        boundary_intersection: int64 (C,), for each class the number of pixels in the intersection of the target's and
            the prediction's boundary bands.
        boundary_union: int64 (C,), the number of pixels in the union of these bands.
        images: the number of images counted.
        foreground_ious: with two classes, the IoU of class 1 in every image in which this class occurs in the target
            or the prediction.
        foreground_boundary_ious: with two classes, the Boundary IoU of class 1 in every image in which at least one of
            the two bands of this class is not empty.

    Raises:
        MetricError: if an argument is out of range.
    """

    def __init__(self, num_classes: int, ratio: float = 0.02, ignore_index: int = 255) -> None:
        check_options(num_classes, ignore_index)
        boundary_width(1, 1, ratio)  # raises an error for a ratio that is not positive
        self.num_classes, self.ratio, self.ignore_index = num_classes, ratio, ignore_index
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.boundary_intersection = np.zeros(num_classes, np.int64)
        self.boundary_union = np.zeros(num_classes, np.int64)
        self.images = 0
        self.foreground_ious: list[float] = []
        self.foreground_boundary_ious: list[float] = []

    def update(self, target: Array, prediction: Array) -> None:
        """Count the pixels of one image or a batch.

        Args:
            target: labels (H, W) or (N, H, W) at native size, integers 0..C-1 or `ignore_index`.
            prediction: labels of the same shape, or floating-point logits (C, H, W) or (N, C, H, W); see
                `confusion_matrix`.

        Raises:
            MetricError: if shapes or labels are invalid.  In this case, the counts do not change.
        """
        targets, predictions = shift_labels(target, prediction, self.num_classes, self.ignore_index)
        if targets.ndim not in (2, 3):
            raise MetricError(f"update takes label maps (H, W) or (N, H, W), not the shape {tuple(targets.shape)}")
        height, width = targets.shape[-2:]
        band = boundary_width(height, width, self.ratio)
        for pair in zip(targets.reshape(-1, height, width), predictions.reshape(-1, height, width), strict=True):
            matrix = to_numpy(confusion.confusion_of_shifted(*pair, self.num_classes))
            intersection, union = map(to_numpy, boundary_of_shifted(*pair, self.num_classes, band))
            self.confusion += matrix
            self.boundary_intersection += intersection
            self.boundary_union += union
            self.images += 1
            if self.num_classes == 2:
                self.foreground_ious += confusion.occurring(confusion.iou(matrix)[1:])
                self.foreground_boundary_ious += confusion.occurring(confusion.quotient(intersection, union)[1:])

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sum of the counts of two parts of a data set, as a new object.

        Raises:
            MetricError: if the arguments of the two `Counts` differ.
        """
        ours, theirs = ((part.num_classes, part.ratio, part.ignore_index) for part in (self, other))
        if ours != theirs:
            raise MetricError(f"counts with (num_classes, ratio, ignore_index) {ours} and {theirs} cannot be added")
        total = Counts(*ours)
        for name in vars(total).keys() - {"num_classes", "ratio", "ignore_index"}:
            setattr(total, name, getattr(self, name) + getattr(other, name))
        return total

    def scores(self, class_names: Sequence[str] | None = None) -> dict[str, Any]:
        """Compute all scores.

        Args:
            class_names: C different class names, the keys of `per_class`.  None means "0", "1" and so on.

        Returns:
            A dictionary of plain numbers that can be saved as JSON.  A score is None if none of its classes occur.
            The entry `per_class` contains the scores of each class.

        Raises:
            MetricError: if `class_names` does not consist of C different names.
        """
        names = list(map(str, range(self.num_classes)) if class_names is None else class_names)
        if len(names) != self.num_classes or len(set(names)) != len(names):
            raise MetricError(f"scores need {self.num_classes} distinct class names, not {names}")
        matrix, boundary_ious = self.confusion, confusion.quotient(self.boundary_intersection, self.boundary_union)
        scores: dict[str, Any] = {
            "miou": confusion.mean_iou(matrix),
            "boundary_iou": confusion.mean(boundary_ious),
            "boundary_ratio": self.ratio,
            "pixel_accuracy": confusion.pixel_accuracy(matrix),
            "mean_class_accuracy": confusion.mean_class_accuracy(matrix),
            "frequency_weighted_iou": confusion.frequency_weighted_iou(matrix),
        }
        if self.num_classes == 2:
            scores["foreground_iou"] = confusion.iou(matrix)[1]
            scores["foreground_iou_per_image"] = confusion.mean(self.foreground_ious)
            scores["boundary_iou_foreground"] = boundary_ious[1]
            scores["boundary_iou_foreground_per_image"] = confusion.mean(self.foreground_boundary_ious)
        columns = {"iou": confusion.iou(matrix), "boundary_iou": boundary_ious, "dice": confusion.dice(matrix)}
        columns |= {"precision": confusion.precision(matrix), "recall": confusion.recall(matrix)}
        per_class = {
            name: {key: _plain(column[i]) for key, column in columns.items()} | {"pixels": int(matrix[i].sum())}
            for i, name in enumerate(names)
        }
        return {key: _plain(score) for key, score in scores.items()} | {"images": self.images, "per_class": per_class}


def boundary_iou(
    target: Array, prediction: Array, num_classes: int, ratio: float = 0.02, ignore_index: int = 255
) -> np.ndarray:
    """Return the Boundary IoU of each class for one image or a batch.

    Args:
        target: labels (H, W) or (N, H, W), integers 0..C-1 or `ignore_index`.
        prediction: labels of the same shape, or logits; see `confusion_matrix`.
        num_classes: C, 1 to 255.
        ratio: the width of the bands as a fraction of the image's diagonal.
        ignore_index: the target label of the pixels to ignore, which must not be one of the classes.

    Returns:
        float64 (C,), from 0 to 1; NaN for a class that occurs in neither target nor prediction.

    Raises:
        MetricError: if shapes, labels or other arguments are invalid.
    """
    counts = Counts(num_classes, ratio, ignore_index)
    counts.update(target, prediction)
    return confusion.quotient(counts.boundary_intersection, counts.boundary_union)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
