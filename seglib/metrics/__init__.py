"""Segmentation metrics: integer counts over a whole data set, from which the scores are computed once at the end.

IoU, Dice, precision, recall and accuracies come from one confusion matrix.  Boundary IoU follows Cheng et al.,
"Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021, for all classes at once.

`Counts` accumulates batches: `counts.update(target, prediction)`, then `counts.scores()`.  For one batch there are
functions: `iou(target, prediction, num_classes, ignore_index)`.  The target comes first.  Label maps hold integers
0..C-1, in numpy arrays or in torch tensors on any device; the prediction may be logits.  Pixels whose target is
`ignore_index` are never counted.  A class that is in neither target nor prediction has no score (NaN in arrays, None in
`Counts.scores`), and means skip it.
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
