"""Losses for semantic segmentation.

Every loss takes logits (N, C, H, W) and a target mask (N, H, W) with labels 0..C-1, and returns a scalar: the mean over
the pixels that count.  Pixels labelled `ignore_index` contribute to neither numerator nor denominator, and a batch in
which all pixels are ignored gives 0.  One channel (C = 1) means foreground against background with a sigmoid; more
channels mean a softmax.

Further arguments of the losses:
    weight: class weights (C,), or (2,) with one channel, background first; None for equal weights.
    ignore_index: the label of ignored pixels.
    all_reduce: sums a tensor over the processes of distributed training, so that each computes the loss of the whole
    batch.  `lovasz` and `ohem` rank pixels and therefore use the pixels of their own process only.
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
