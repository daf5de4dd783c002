"""Segmentation metrics: integers counted over a whole data set, scores computed once at the end.

IoU, Dice, precision, recall and the accuracies are read off one confusion matrix. Boundary IoU follows Cheng et al.,
"Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, for every class of a label map at
once. Label maps hold integers 0..C-1, in numpy arrays or in torch tensors on any device; pixels whose truth is
``ignore_index`` are never counted. A class that is in neither truth nor prediction has no score (NaN in arrays, None
in ``Counts.scores``), and means skip it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

Array = np.ndarray | torch.Tensor


class MetricError(ValueError):
    """Label maps, counts or options from which no metric can be computed."""


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
    return _confusion(*_marks(truth, prediction, num_classes, ignore_index), num_classes)


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
    return _band_bits([_integers(labels, "the label map")], width) > 0


def boundary_counts(
    truth: Array, prediction: Array, num_classes: int, width: int, ignore_index: int = 255
) -> tuple[Array, Array]:
    """Count, for each class, the pixels in both bands, truth's and prediction's, and those in at least one.

    The bands are drawn first, on all labels as they are, and then lose the pixels that the truth ignores. Arguments
    and errors as for ``confusion_matrix``, but the label maps are (..., H, W); ``width`` is the bands' reach.

    Returns:
        Two int64 (C,): intersections and unions. Boundary IoU is their ratio.
    """
    return _boundary(*_marks(truth, prediction, num_classes, ignore_index), num_classes, width)


def iou(confusion: Array) -> np.ndarray:
    """Intersection over union TP / (TP + FP + FN) of each class: float64 (C,), 0..1, NaN for an absent class."""
    hits, true, predicted = _marginals(confusion)
    return _ratio(hits, true + predicted - hits)


def dice(confusion: Array) -> np.ndarray:
    """Dice coefficient 2 TP / (2 TP + FP + FN) of each class: float64 (C,), 0..1, NaN for an absent class."""
    hits, true, predicted = _marginals(confusion)
    return _ratio(2 * hits, true + predicted)


def precision(confusion: Array) -> np.ndarray:
    """TP / (TP + FP) of each class: float64 (C,), 0..1, NaN for a class never predicted."""
    hits, _, predicted = _marginals(confusion)
    return _ratio(hits, predicted)


def recall(confusion: Array) -> np.ndarray:
    """TP / (TP + FN) of each class: float64 (C,), 0..1, NaN for a class not in the truth."""
    hits, true, _ = _marginals(confusion)
    return _ratio(hits, true)


def mean_iou(confusion: Array) -> float:
    """Mean IoU over the classes that occur in truth or prediction."""
    return _mean(iou(confusion))


def pixel_accuracy(confusion: Array) -> float:
    """Share of the counted pixels whose class is right."""
    hits, true, _ = _marginals(confusion)
    return float(_ratio(hits.sum(), true.sum()))


def mean_class_accuracy(confusion: Array) -> float:
    """Mean recall over the classes that occur in the truth."""
    return _mean(recall(confusion))


def frequency_weighted_iou(confusion: Array) -> float:
    """Mean IoU over the classes that occur in the truth, weighted by their pixels there."""
    true = _marginals(confusion)[1]
    return float(_ratio(np.nansum(true * iou(confusion)), true.sum()))


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
        _check_options(num_classes, ignore_index)
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
        marks = _marks(truth, prediction, self.num_classes, self.ignore_index)
        if marks[0].ndim != 2:
            raise MetricError(f"update takes one label map (H, W) at a time, not the shape {tuple(marks[0].shape)}")
        width = boundary_width(*marks[0].shape, self.ratio)
        confusion = _numpy(_confusion(*marks, self.num_classes))
        both, either = map(_numpy, _boundary(*marks, self.num_classes, width))
        self.confusion += confusion
        self.boundary_intersection += both
        self.boundary_union += either
        self.images += 1
        if self.num_classes == 2:
            self.foreground_ious += _occurring(iou(confusion)[1:])
            self.foreground_boundary_ious += _occurring(_ratio(both, either)[1:])

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
        matrix, boundary_ious = self.confusion, _ratio(self.boundary_intersection, self.boundary_union)
        scores = {
            "miou": mean_iou(matrix),
            "boundary_iou": _mean(boundary_ious),
            "boundary_ratio": self.ratio,
            "pixel_accuracy": pixel_accuracy(matrix),
            "mean_class_accuracy": mean_class_accuracy(matrix),
            "frequency_weighted_iou": frequency_weighted_iou(matrix),
        }
        if self.num_classes == 2:
            scores["foreground_iou"] = iou(matrix)[1]
            scores["foreground_iou_per_image"] = _mean(self.foreground_ious)
            scores["boundary_iou_foreground"] = boundary_ious[1]
            scores["boundary_iou_foreground_per_image"] = _mean(self.foreground_boundary_ious)
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


def _marks(truth: Array, prediction: Array, num_classes: int, ignore_index: int) -> tuple[Array, Array]:
    """Both label maps, once found sound, as uint8 marks: class + 1, and 0 where the truth is ignored."""
    _check_options(num_classes, ignore_index)
    truth, prediction = _integers(truth, "the truth"), _integers(prediction, "the prediction")
    if isinstance(truth, torch.Tensor) != isinstance(prediction, torch.Tensor):
        raise MetricError("one label map is a numpy array and the other a torch tensor: convert one of them")
    if truth.shape != prediction.shape:
        shapes = f"the truth is {tuple(truth.shape)} and the prediction {tuple(prediction.shape)}"
        raise MetricError(f"{shapes}: bring the prediction to the size of the truth first")
    if isinstance(truth, torch.Tensor):
        prediction = prediction.to(truth.device)
        if not 0 <= ignore_index <= 255:
            truth = truth.long()  # torch would wrap the index to 8 bits before comparing
    counted = _bytes(truth != ignore_index)
    classes = truth * counted  # 0 where ignored
    advice = f"map them to classes, or to {ignore_index} for pixels to ignore"
    _check_range(classes, num_classes, "the truth", advice)
    _check_range(prediction, num_classes, "the prediction", "it must name one of the classes at every pixel")
    return _bytes(classes + counted), _bytes(prediction) + 1


def _check_options(num_classes: int, ignore_index: int) -> None:
    if not 1 <= num_classes <= 255:
        raise MetricError(f"num_classes is {num_classes}, but there can be 1 to 255 classes in a label map of 8 bits")
    if 0 <= ignore_index < num_classes:
        raise MetricError(f"ignore_index {ignore_index} is one of the classes 0..{num_classes - 1}: choose another")


def _integers(labels: Array, name: str) -> Array:
    """``labels`` as an array or tensor of integers; bool counts as 0 and 1."""
    if isinstance(labels, torch.Tensor):
        sound = not (labels.is_floating_point() or labels.is_complex())
        # 8 bits or 64: torch cannot compute with its other unsigned types
        labels = labels.long() if sound and labels.dtype != torch.uint8 else labels
    else:
        labels = np.asarray(labels)
        sound = labels.dtype.kind in "bui"
        labels = labels.astype(np.uint8) if labels.dtype == bool else labels
    if not sound:
        raise MetricError(f"{name} is {labels.dtype}, but labels are integers: take the argmax, or threshold it")
    if 0 in labels.shape:
        raise MetricError(f"{name} has no pixels: its shape is {tuple(labels.shape)}")
    return labels


def _check_range(labels: Array, num_classes: int, name: str, advice: str) -> None:
    if labels.min() < 0 or labels.max() >= num_classes:
        wrong = np.unique(_numpy(labels[(labels < 0) | (labels >= num_classes)])).tolist()
        listed = ", ".join(map(str, wrong[:10])) + (", ..." if len(wrong) > 10 else "")
        raise MetricError(f"{name} holds labels outside 0..{num_classes - 1}, namely {listed}: {advice}")


def _bytes(array: Array) -> Array:
    """As uint8: bool is viewed, for numpy multiplies bytes by bytes much faster than by bool."""
    if isinstance(array, torch.Tensor):
        return array.byte()
    return array.view(np.uint8) if array.dtype == bool else array.astype(np.uint8, copy=False)


def _pairs(truth: Array, prediction: Array, num_classes: int) -> Array:
    """int64 (C + 1, C + 1): how often each pair of marks 0..C occurs."""
    side = num_classes + 1
    if isinstance(truth, torch.Tensor):
        pairs = truth.int() * side + prediction
    else:
        pairs = truth.astype(next(t for t in (np.uint8, np.int16, np.int32) if np.iinfo(t).max >= side * side)) * side
        pairs += prediction
    return _tally(pairs, side * side).reshape(side, side)


def _confusion(truth: Array, prediction: Array, num_classes: int) -> Array:
    """The confusion matrix of marks."""
    return _pairs(truth, prediction, num_classes)[1:, 1:]


def _boundary(truth: Array, prediction: Array, num_classes: int, width: int) -> tuple[Array, Array]:
    """Boundary intersections and unions of marks."""
    bits = _band_bits([truth, prediction], width)
    in_truth, in_prediction = _bytes((bits & 1) > 0), _bytes((bits & 2) > 0) & _bytes(truth > 0)
    pairs = _pairs(truth * in_truth, prediction * in_prediction, num_classes)
    both = pairs.diagonal()[1:]
    return both, pairs.sum(0)[1:] + pairs.sum(1)[1:] - both


def _band_bits(maps: list[Array], width: int) -> Array:
    """uint8 (..., H, W) whose bit i is set in the bands of map i: one pass over bytes serves up to 8 maps."""
    shape = maps[0].shape
    if len(shape) < 2 or width < 1:
        raise MetricError(f"bands need labels (..., H, W), not {tuple(shape)}, and a width >= 1, not {width}")
    row = shape[-1]
    flats = [labels.reshape(-1) for labels in maps]  # where the pixel below is one row's length further on
    changes = _as_bits([flat[1:] != flat[:-1] for flat in flats])
    changes[row - 1 :: row] = 255  # beyond the end of a row lies the outside
    mixed = _as_bits([flat[row:-1] != flat[: -row - 1] for flat in flats])  # 2x2 blocks, by their top left pixel
    mixed |= changes[:-row]
    mixed |= changes[row:]
    mixed = _any_of_next(_any_of_next(mixed, 2 * width, step=1), 2 * width, step=row)  # windows, likewise
    bits = _bytes(flats[0] == flats[0]) * 255
    centre = width * row + width
    bits[centre : centre + len(mixed)] = mixed
    bits = bits.reshape(shape)
    bits[..., :width, :] = 255
    bits[..., -width:, :] = 255
    return bits


def _as_bits(flags: list[Array]) -> Array:
    bits = _bytes(flags[0])
    for position, more in enumerate(flags[1:], start=1):
        bits |= _bytes(more) * (1 << position)  # numpy multiplies bytes faster than it shifts them
    return bits


def _any_of_next(flags: Array, count: int, step: int) -> Array:
    """Each byte or-ed with those after it, ``count`` bytes in all and ``step`` apart, in log2(count) passes."""
    reach = 1
    while reach < count:
        shift = min(reach, count - reach) * step
        flags = flags[:-shift] | flags[shift:]
        reach += shift // step
    return flags


def _tally(values: Array, size: int) -> Array:
    """int64 (size,): how often each of 0..size-1 occurs."""
    if isinstance(values, torch.Tensor):
        return torch.bincount(values.reshape(-1), minlength=size)
    if size <= 16:  # so many passes over bytes, a register of them at a time, take less than one bincount
        counts = [np.count_nonzero(values == value) for value in range(1, size)]
        return np.array([values.size - sum(counts), *counts], np.int64)
    return torch.bincount(torch.from_numpy(values).reshape(-1), minlength=size).numpy()  # no copy as 64-bit integers


def _numpy(array: Array) -> np.ndarray:
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)


def _marginals(confusion: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class: pixels that agree, pixels in the truth, pixels in the prediction."""
    confusion = _numpy(confusion)
    return confusion.diagonal(), confusion.sum(1), confusion.sum(0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _occurring(values: Iterable[float]) -> list[float]:
    return [float(value) for value in values if not math.isnan(value)]


def _mean(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN, the same in whatever order they come."""
    values = _occurring(values)
    return math.fsum(values) / len(values) if values else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
