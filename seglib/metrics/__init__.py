"""Segmentation metrics, which are computed from pixel counts accumulated over a data set.

IoU, Dice, precision, recall and accuracies are computed from one confusion matrix.  Boundary IoU is computed as in
Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, for all classes at
once.

For a data set, create a `Counts` object, call its method `update(target, prediction)` for each batch, and call
`scores()` at the end.  For a single batch, call a function such as `iou(target, prediction, num_classes)`.  The target
is always the first argument.  Label maps are NumPy arrays or PyTorch tensors (on any device) of integers 0..C-1.  The
prediction may also be logits.  Pixels whose target is `ignore_index` are not counted.  A class that occurs in neither
the target nor the prediction has no score (NaN in arrays, None in `Counts.scores`) and is left out of means.
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
from .counts import Counts, boundary_iou
from .labels import Array, MetricError

__all__ = [
    "Array",
    "Counts",
    "MetricError",
    "boundary_bands",
    "boundary_counts",
    "boundary_iou",
    "boundary_width",
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
