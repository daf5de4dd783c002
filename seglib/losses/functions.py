"""The losses, each a function of logits and a target mask.  See the package for arguments that all of them share.

Most are means over pixels; `dice` and `lovasz` measure the overlap of two regions.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import SeglibError

IGNORE_INDEX = 255
AllReduce = Callable[[Tensor], Tensor]  # from the sum of one process to the sum of all


class LossError(SeglibError, ValueError):
    """A loss cannot be built or applied; the message says why and what to do."""


def single_process(x: Tensor) -> Tensor:
    """The reduction for training in one process: return `x`."""
    return x


def weight_sum(target: Tensor, weight: Tensor | None, ignore_index: int, all_reduce: AllReduce) -> Tensor:
    """The sum of the class weights of all pixels that count, or their number if `weight` is None; never 0."""
    valid = target != ignore_index
    if weight is None:
        return all_reduce(valid.sum()).clamp(min=1)
    return all_reduce((weight[torch.where(valid, target, 0)] * valid).sum()).clamp(min=1e-12)


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


def dice(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Dice loss: 1 - mean over classes of the soft Dice coefficient 2 sum(p t) / (sum(p) + sum(t)) over the batch.

    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, https://arxiv.org/abs/1606.04797, without squares in the
    denominator.  Classes that do not occur in the target masks of the batch are left out.  With one channel only the
    foreground counts, and a batch without foreground gives 0.
    """
    probability, one_hot, valid = _probabilities(logits, target, ignore_index)
    probability = probability * valid
    products = (probability * one_hot, probability, one_hot.to(probability.dtype))
    intersection, predicted, area = all_reduce(torch.stack([x.sum(dim=(0, 2, 3)) for x in products]))
    loss = 1 - 2 * intersection / (predicted + area).clamp(min=1e-6)
    return _mean_over_present(loss, area > 0, weight)


def lovasz(logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Lovasz loss: the Lovasz extension of 1 - IoU over the batch, averaged over the classes in its target masks.

    Berman, Rannen Triki and Blaschko, "The Lovasz-Softmax loss", CVPR 2018, https://arxiv.org/abs/1705.08790.
    With one channel only the foreground counts.
    """
    probability, one_hot, valid = _probabilities(logits, target, ignore_index)
    truth = one_hot.to(probability.dtype).movedim(1, 0).flatten(1)  # (C, N * H * W)
    errors = (truth - (probability * valid).movedim(1, 0).flatten(1)).abs()  # 0 for ignored pixels, which sort last
    errors, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order)
    area = truth.sum(dim=1, keepdim=True)
    # 1 - IoU if all pixels up to this one, the largest errors first, were wrong; its differences weight the errors.
    jaccard = 1 - (area - truth.cumsum(1)) / (area + (1 - truth).cumsum(1)).clamp(min=1e-6)
    differences = jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
    return _mean_over_present((errors * differences).sum(dim=1), area[:, 0] > 0, weight)


def _probabilities(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities (N, C, H, W), the one-hot target (bool, same shape), and which pixels count (N, 1, H, W)."""
    valid = (target != ignore_index).unsqueeze(1)
    if logits.shape[1] == 1:  # the foreground
        return logits.sigmoid(), (target.unsqueeze(1) == 1) & valid, valid
    classes = torch.arange(logits.shape[1], device=target.device).view(1, -1, 1, 1)
    return logits.softmax(dim=1), (target.unsqueeze(1) == classes) & valid, valid


def _mean_over_present(loss: Tensor, present: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of the losses (C,) of the classes that are `present`, weighted if there are several; 0 without any."""
    share = present.to(loss.dtype) if weight is None or len(loss) == 1 else present * weight.to(loss.dtype)
    return (loss * share).sum() / share.sum().clamp(min=1e-6)
