"""Segmentation metrics: integers counted over a whole data set, scores computed once at the end.

IoU, Dice, precision, recall and the accuracies are read off one confusion matrix. Boundary IoU follows Cheng et al.,
"Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, for every class of a label map at
once. Label maps hold integers 0..C-1, in numpy arrays or in torch tensors on any device; pixels whose truth is
``ignore_index`` are never counted. A class that is in neither truth nor prediction has no score (NaN in arrays, None
in ``Counts.scores``), and means skip it.
"""

from .boundary import boundary_bands, boundary_counts, boundary_width
from .confusion import (
    confusion_matrix,
    dice,
    frequency_weighted_iou,
    iou,
    mean_class_accuracy,
    mean_iou,
    pixel_accuracy,
    precision,
    recall,
)
from .counts import Counts, combine
from .labels import Array, MetricError

__all__ = [
    "Array",
    "Counts",
    "MetricError",
    "boundary_bands",
    "boundary_counts",
    "boundary_width",
    "combine",
    "confusion_matrix",
    "dice",
    "frequency_weighted_iou",
    "iou",
    "mean_class_accuracy",
    "mean_iou",
    "pixel_accuracy",
    "precision",
    "recall",
]
