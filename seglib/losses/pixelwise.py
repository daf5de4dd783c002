"""Losses that are averages over pixels."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .sums import IGNORE, Total, alone, mass


def cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE, total: Total = alone
) -> Tensor:
    """Mean of -log softmax(logits)[label], weighted by the class weight of each pixel's label if given."""
    loss = F.cross_entropy(logits, labels, weight, ignore_index=ignore_index, reduction="sum")
    return total(loss) / mass(labels, weight, ignore_index, total).to(loss.dtype)


def binary_cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE, total: Total = alone
) -> Tensor:
    """Mean over pixels of -log sigmoid for one channel of logits; `weight` has two entries, background first."""
    return _average(_surprise(logits, labels, ignore_index), labels, weight, ignore_index, total)


def focal(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    gamma: float = 2.0,
    total: Total = alone,
) -> Tensor:
    """Mean of -(1 - p)^gamma log p, p the probability of the true label: easy pixels count for little.

    Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object Detection", ICCV 2017,
    https://arxiv.org/abs/1708.02002.  gamma = 0 is the cross-entropy.
    """
    pixel = _surprise(logits, labels, ignore_index)
    return _average((-torch.expm1(-pixel)).clamp(min=1e-12) ** gamma * pixel, labels, weight, ignore_index, total)


def ohem(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    threshold: float = 0.9,
    min_kept: int = 131072,
) -> Tensor:
    """Cross-entropy averaged over the hard pixels alone: those whose true label has a probability below
    `threshold`, and at least the `min_kept` hardest of the batch.

    Online hard example mining, Shrivastava, Gupta and Girshick, CVPR 2016, https://arxiv.org/abs/1604.03540,
    with the two numbers that HRNet uses on Cityscapes.
    """
    pixel = _surprise(logits, labels, ignore_index)
    valid = labels != ignore_index
    ranked = torch.where(valid, pixel.detach(), -1.0).flatten()
    hardest = ranked.topk(min(int(min_kept), ranked.numel())).values[
        -1
    ]  # the loss of the last pixel that is kept anyway
    hard = (pixel.detach() >= hardest.clamp(max=-math.log(threshold))) & valid
    return _average(pixel, torch.where(hard, labels, ignore_index), weight, ignore_index)


def boundary(
    logits: Tensor,
    labels: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE,
    width: int = 3,
    total: Total = alone,
) -> Tensor:
    """Cross-entropy averaged over the pixels that have another true label within `width` pixels of them.

    The loss of what Boundary IoU measures.  Ignored pixels are nobody's border; no border at all gives 0.
    """
    valid = labels != ignore_index
    width = int(width)
    window, maps = 2 * width + 1, labels.unsqueeze(1).to(logits.dtype)
    highest = F.max_pool2d(torch.where(valid.unsqueeze(1), maps, -1.0), window, 1, width)
    lowest = -F.max_pool2d(torch.where(valid.unsqueeze(1), -maps, -float(ignore_index)), window, 1, width)
    near = (highest != lowest)[:, 0] & valid
    marked = torch.where(near, labels, ignore_index)
    return _average(_surprise(logits, labels, ignore_index), marked, weight, ignore_index, total)


def _surprise(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """-log of the probability of each pixel's label, (N, H, W); whatever for ignored pixels."""
    target = torch.where(labels != ignore_index, labels, 0)
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype), reduction="none")
    return F.cross_entropy(logits, target, reduction="none")


def _average(pixel: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, total: Total = alone) -> Tensor:
    """Mean of `pixel` (N, H, W) over the pixels that count, weighted by the class weight of their label if given."""
    valid = labels != ignore_index
    share = valid.to(pixel.dtype) if weight is None else valid * weight.to(pixel.dtype)[torch.where(valid, labels, 0)]
    return total((pixel * share).sum()) / mass(labels, weight, ignore_index, total).to(pixel.dtype)
