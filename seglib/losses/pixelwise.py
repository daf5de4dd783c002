"""Losses that are means over pixels.  See the package for arguments that all losses share."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .reduction import IGNORE_INDEX, AllReduce, single_process, weight_sum


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Cross-entropy: mean of -log softmax(logits)[target], each pixel weighted by its class."""
    loss = F.cross_entropy(logits, target, weight, ignore_index=ignore_index, reduction="sum")
    return all_reduce(loss) / weight_sum(target, weight, ignore_index, all_reduce).to(loss.dtype)


def binary_cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Binary cross-entropy with a sigmoid, for logits of one channel (N, 1, H, W)."""
    return _mean(_pixel_losses(logits, target, ignore_index), target, weight, ignore_index, all_reduce)


def focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    gamma: float = 2.0,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Focal loss: mean of -(1 - p)^gamma log p, p the probability of the true class; easy pixels get small weights.

    Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object Detection", ICCV 2017,
    https://arxiv.org/abs/1708.02002.

    Args:
        gamma: 0 to 100; 0 gives the cross-entropy.
    """
    losses = _pixel_losses(logits, target, ignore_index)
    losses = (-torch.expm1(-losses)).clamp(min=1e-12) ** gamma * losses
    return _mean(losses, target, weight, ignore_index, all_reduce)


def ohem(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    threshold: float = 0.9,
    min_kept: int = 131072,
) -> Tensor:
    """Online hard example mining (OHEM): the cross-entropy of the hard pixels only.

    Shrivastava, Gupta and Girshick, CVPR 2016, https://arxiv.org/abs/1604.03540, with HRNet's values for Cityscapes.

    Args:
        threshold: pixels whose true class has a lower probability are hard, 1e-6 to 1.
        min_kept: at least this many pixels of the batch count, those with the largest loss.
    """
    losses = _pixel_losses(logits, target, ignore_index)
    valid = target != ignore_index
    ranked = torch.where(valid, losses.detach(), -1.0).flatten()
    smallest_kept = ranked.topk(min(int(min_kept), ranked.numel())).values[-1]
    hard = (losses.detach() >= smallest_kept.clamp(max=-math.log(threshold))) & valid
    return _mean(losses, torch.where(hard, target, ignore_index), weight, ignore_index)


def boundary(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    width: int = 3,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Cross-entropy of the pixels near a boundary, where Boundary IoU is measured; 0 if there is no boundary.

    Args:
        width: a pixel counts if another class is within this Chebyshev distance, in pixels.  Ignored pixels are not
            another class.
    """
    valid = target != ignore_index
    width = int(width)
    window, labels = 2 * width + 1, target.unsqueeze(1).to(logits.dtype)
    highest = F.max_pool2d(torch.where(valid.unsqueeze(1), labels, -1.0), window, 1, width)
    lowest = -F.max_pool2d(torch.where(valid.unsqueeze(1), -labels, -float(ignore_index)), window, 1, width)
    near_boundary = (highest != lowest)[:, 0] & valid
    counted = torch.where(near_boundary, target, ignore_index)
    return _mean(_pixel_losses(logits, target, ignore_index), counted, weight, ignore_index, all_reduce)


def _pixel_losses(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """-log of the probability of each pixel's class, (N, H, W); of class 0 for ignored pixels."""
    target = torch.where(target != ignore_index, target, 0)
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype), reduction="none")
    return F.cross_entropy(logits, target, reduction="none")


def _mean(
    losses: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Mean of `losses` (N, H, W) over the pixels that count, each weighted by its class."""
    valid = target != ignore_index
    share = valid.to(losses.dtype) if weight is None else valid * weight.to(losses.dtype)[torch.where(valid, target, 0)]
    return all_reduce((losses * share).sum()) / weight_sum(target, weight, ignore_index, all_reduce).to(losses.dtype)
