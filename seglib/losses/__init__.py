"""Losses for semantic segmentation.

Every loss takes logits (N, C, H, W) and a target mask (N, H, W) with labels 0..C-1, and returns a scalar.  Most losses
are means over pixels.  Pixels with the label `ignore_index` contribute to neither the numerator nor the denominator,
and if all pixels of a batch are ignored, the loss is 0.  With one channel (C = 1), the logits are foreground logits and
are passed through a sigmoid; with more channels, a softmax is used.

These arguments have the same meaning in all losses:

- `weight`: class weights (C,), or (2,) for background and foreground if the logits have one channel; None means equal
  weights.
- `ignore_index`: the label of ignored pixels.
- `all_reduce`: a function that sums a tensor over all processes of distributed training, so that every process computes
  the loss of the whole batch. `lovasz` and `ohem` do not have this argument, because they rank pixels. They use only
  the pixels of their own process.
"""

from .combined import LOSSES, SCHEMES, SegmentationLoss, class_weights
from .distillation import distillation, mean_prediction
from .functions import IGNORE_INDEX, LossError, binary_cross_entropy, boundary, cross_entropy, dice, focal, lovasz, ohem

__all__ = [
    "IGNORE_INDEX",
    "LOSSES",
    "SCHEMES",
    "LossError",
    "SegmentationLoss",
    "binary_cross_entropy",
    "boundary",
    "class_weights",
    "cross_entropy",
    "dice",
    "distillation",
    "focal",
    "lovasz",
    "mean_prediction",
    "ohem",
]
