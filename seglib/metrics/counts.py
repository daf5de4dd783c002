"""Integers counted image by image over a whole data set, in one process or many, and all scores from their sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .boundary import boundary_of_marks, boundary_width
from .confusion import (
    confusion_of_marks,
    dice,
    frequency_weighted_iou,
    iou,
    mean,
    mean_class_accuracy,
    mean_iou,
    occurring,
    pixel_accuracy,
    precision,
    quotient,
    recall,
)
from .labels import Array, MetricError, check_options, to_marks, to_numpy


class Counts:
    """All that the scores of a data set need, counted image by image.

    Args:
        num_classes: C, 1 to 255.
        ratio: the boundary bands' reach as a share of each image's diagonal: the paper's 0.02, or 0.005 as its
            authors use for Cityscapes.
        ignore_index: the truth's label of pixels to leave out; not one of the classes.

    Attributes:
        confusion: int64 (C, C), rows are truth and columns prediction.
        boundary_intersection, boundary_union: int64 (C,), in pixels.
        images: the number of images counted.
        foreground_ious, foreground_boundary_ious: with two classes, the scores of class 1 in every image where the
            union is not empty.
    """

    def __init__(self, num_classes: int, ratio: float = 0.02, ignore_index: int = 255) -> None:
        check_options(num_classes, ignore_index)
        boundary_width(1, 1, ratio)  # refuses a ratio that is not positive
        self.num_classes, self.ratio, self.ignore_index = num_classes, ratio, ignore_index
        self.confusion = np.zeros((num_classes, num_classes), np.int64)
        self.boundary_intersection = np.zeros(num_classes, np.int64)
        self.boundary_union = np.zeros(num_classes, np.int64)
        self.images = 0
        self.foreground_ious: list[float] = []
        self.foreground_boundary_ious: list[float] = []

    def update(self, truth: Array, prediction: Array) -> None:
        """Count one image, (H, W) label maps at its native size; after a MetricError nothing has been counted."""
        marks = to_marks(truth, prediction, self.num_classes, self.ignore_index)
        if marks[0].ndim != 2:
            raise MetricError(f"update takes one label map (H, W) at a time, not the shape {tuple(marks[0].shape)}")
        width = boundary_width(*marks[0].shape, self.ratio)
        confusion = to_numpy(confusion_of_marks(*marks, self.num_classes))
        both, either = map(to_numpy, boundary_of_marks(*marks, self.num_classes, width))
        self.confusion += confusion
        self.boundary_intersection += both
        self.boundary_union += either
        self.images += 1
        if self.num_classes == 2:
            self.foreground_ious += occurring(iou(confusion)[1:])
            self.foreground_boundary_ious += occurring(quotient(both, either)[1:])

    def merge(self, other: Counts) -> Counts:
        """Add another part of the data set to these counts, which are returned; both need the same options."""
        mine, theirs = ((part.num_classes, part.ratio, part.ignore_index) for part in (self, other))
        if mine != theirs:
            raise MetricError(f"counts with (num_classes, ratio, ignore_index) {mine} and {theirs} do not add up")
        for name in ("confusion", "boundary_intersection", "boundary_union", "images"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.foreground_ious = self.foreground_ious + other.foreground_ious
        self.foreground_boundary_ious = self.foreground_boundary_ious + other.foreground_boundary_ious
        return self

    def __add__(self, other: Counts) -> Counts:
        return combine([self, other])

    def scores(self, class_names: Sequence[str] | None = None) -> dict[str, Any]:
        """All scores as plain numbers, ready for JSON, and None where there was nothing to score.

        ``class_names`` are C distinct keys for ``per_class``; without them the keys are "0", "1", ...
        """
        names = list(map(str, range(self.num_classes)) if class_names is None else class_names)
        if len(names) != self.num_classes or len(set(names)) != len(names):
            raise MetricError(f"scores need {self.num_classes} distinct class names, not {names}")
        matrix, boundary_ious = self.confusion, quotient(self.boundary_intersection, self.boundary_union)
        scores = {
            "miou": mean_iou(matrix),
            "boundary_iou": mean(boundary_ious),
            "boundary_ratio": self.ratio,
            "pixel_accuracy": pixel_accuracy(matrix),
            "mean_class_accuracy": mean_class_accuracy(matrix),
            "frequency_weighted_iou": frequency_weighted_iou(matrix),
        }
        if self.num_classes == 2:
            scores["foreground_iou"] = iou(matrix)[1]
            scores["foreground_iou_per_image"] = mean(self.foreground_ious)
            scores["boundary_iou_foreground"] = boundary_ious[1]
            scores["boundary_iou_foreground_per_image"] = mean(self.foreground_boundary_ious)
        columns = {"iou": iou(matrix), "boundary_iou": boundary_ious, "dice": dice(matrix)}
        columns |= {"precision": precision(matrix), "recall": recall(matrix)}
        per_class = {
            name: {key: _plain(column[i]) for key, column in columns.items()} | {"pixels": int(matrix[i].sum())}
            for i, name in enumerate(names)
        }
        return {key: _plain(score) for key, score in scores.items()} | {"images": self.images, "per_class": per_class}


def combine(parts: Iterable[Counts]) -> Counts:
    """The counts of a data set from those of its parts, such as one part per process; the parts stay as they are."""
    parts = list(parts)
    if not parts:
        raise MetricError("there are no counts to combine")
    total = Counts(parts[0].num_classes, parts[0].ratio, parts[0].ignore_index)
    for part in parts:
        total.merge(part)
    return total


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
