"""What training minimises.  Every loss takes logits (N, C, H, W) and labels (N, H, W), and averages over
the pixels that count: a pixel labelled `ignore_index` contributes nothing, not even to the denominator,
and a batch of nothing but ignored pixels gives 0.

`total` makes the sums of which a loss is the ratio into those of several processes that share a batch, so that
each computes the loss of the whole batch; lovasz and ohem rank pixels and stay with their own part.

One output channel (C = 1) means foreground against background with a sigmoid; more mean a softmax.
"""

from .combined import LOSSES, SCHEMES, SegmentationLoss, class_weights
from .distillation import distillation, mean_prediction
from .overlap import dice, lovasz
from .pixelwise import binary_cross_entropy, boundary, cross_entropy, focal, ohem
from .sums import IGNORE, LossError

__all__ = [
    "IGNORE",
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
