"""Loss functions that take logits and a target mask.

Most losses are means over pixels; `dice` and `lovasz` measure the overlap of two regions.  The arguments that all
losses share are described in the docstring of `seglib.losses`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import SeglibError

IGNORE_INDEX = 255
AllReduce = Callable[[Tensor], Tensor]  # maps a sum in one process to the sum over all processes


class LossError(SeglibError, ValueError):
    """Raised if a loss cannot be built or applied.  The message gives the reason and says how to fix it."""


def single_process(x: Tensor) -> Tensor:
    """Return `x` unchanged.  This is the `all_reduce` for training in a single process."""
    return x


def weight_sum(target: Tensor, weight: Tensor | None, ignore_index: int, all_reduce: AllReduce) -> Tensor:
    """Return the sum of the class weights of all valid pixels, or the number of valid pixels if `weight` is None.

    The result is never 0, so that it can be used as a denominator.
    """
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
    """Return the cross-entropy, which is the mean of -log softmax(logits)[target] weighted by the class weights."""
    loss = F.cross_entropy(logits, target, weight, ignore_index=ignore_index, reduction="sum")
    return all_reduce(loss) / weight_sum(target, weight, ignore_index, all_reduce).to(loss.dtype)


def binary_cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Return the binary cross-entropy with a sigmoid, for single-channel logits (N, 1, H, W)."""
    return _mean(_pixel_losses(logits, target, ignore_index), target, weight, ignore_index, all_reduce)


def focal(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    gamma: float = 2.0,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Return the focal loss, the mean of -(1 - p)^gamma log p, where p is the probability of the target class.

    The factor (1 - p)^gamma reduces the loss of easy pixels.  Lin, Goyal, Girshick, He and Dollar, "Focal Loss for
    Dense Object Detection", ICCV 2017, https://arxiv.org/abs/1708.02002.

    Args:
        gamma: the exponent, 0 to 100.  With 0, the loss is the cross-entropy.
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
    """Return the cross-entropy over the hard pixels only (online hard example mining, OHEM).

    Shrivastava, Gupta and Girshick, "Training Region-based Object Detectors with Online Hard Example Mining", CVPR
    2016, https://arxiv.org/abs/1604.03540.  The defaults are HRNet's values for Cityscapes.

    Args:
        threshold: a pixel is hard if the probability of its target class is at most this value, 1e-6 to 1.
        min_kept: the minimum number of pixels to use per batch.  If fewer pixels are hard, the pixels with the largest
            losses are used.
    """
    losses = _pixel_losses(logits, target, ignore_index)
    valid = target != ignore_index
    ranked = torch.where(valid, losses.detach(), -1.0).flatten()
    smallest_kept = ranked.topk(min(int(min_kept), ranked.numel())).values[-1]
    hard = (losses.detach() >= smallest_kept.clamp(max=-math.log(threshold))) & valid
    return _mean(losses, torch.where(hard, target, ignore_index), weight, ignore_index, single_process)


def boundary(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    width: int = 3,
    all_reduce: AllReduce = single_process,
) -> Tensor:
    """Return the cross-entropy over the pixels near a boundary between classes, or 0 if there is no boundary.

    Boundary IoU is computed on a similar region.

    Args:
        width: a pixel is near a boundary if a pixel of a different class is within this Chebyshev distance, in pixels.
            Ignored pixels are not treated as a different class.
    """
    valid = target != ignore_index
    width = int(width)
    window, labels = 2 * width + 1, target.unsqueeze(1).to(logits.dtype)
    highest = F.max_pool2d(torch.where(valid.unsqueeze(1), labels, -1.0), window, 1, width)
    lowest = -F.max_pool2d(torch.where(valid.unsqueeze(1), -labels, -math.inf), window, 1, width)
    near_boundary = (highest != lowest)[:, 0] & valid
    counted = torch.where(near_boundary, target, ignore_index)
    return _mean(_pixel_losses(logits, target, ignore_index), counted, weight, ignore_index, all_reduce)


def _pixel_losses(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Return -log of the probability of each pixel's target class, (N, H, W), treating ignored pixels as class 0."""
    target = torch.where(target != ignore_index, target, 0)
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype), reduction="none")
    return F.cross_entropy(logits, target, reduction="none")


def _mean(losses: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, all_reduce: AllReduce) -> Tensor:
    """Return the mean of `losses` (N, H, W) over the valid pixels, weighted by the class weights."""
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
    """Return the Dice loss, which is 1 minus the soft Dice coefficient of the batch, averaged over the classes.

    The soft Dice coefficient is 2 sum(p t) / (sum(p) + sum(t)), for probabilities p and one-hot targets t.  Unlike in
    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, https://arxiv.org/abs/1606.04797, the terms in the denominator are
    not squared.  Classes that do not occur in the target masks of the batch are left out.  With one channel, only the
    foreground is used, and the loss of a batch without foreground is 0.
    """
    probability, one_hot, valid = _probabilities(logits, target, ignore_index)
    probability = probability * valid
    products = (probability * one_hot, probability, one_hot.to(probability.dtype))
    intersection, predicted, area = all_reduce(torch.stack([x.sum(dim=(0, 2, 3)) for x in products]))
    loss = 1 - 2 * intersection / (predicted + area).clamp(min=1e-6)
    return _mean_over_present(loss, area > 0, weight)


def lovasz(logits: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Return the Lovasz loss, which is the Lovasz extension of 1 - IoU over the batch, averaged over the classes.

    Berman, Rannen Triki and Blaschko, "The Lovasz-Softmax loss", CVPR 2018, https://arxiv.org/abs/1705.08790.
    Classes that do not occur in the target masks of the batch are left out.  With one channel, only the foreground is
    used.
    """
    probability, one_hot, valid = _probabilities(logits, target, ignore_index)
    truth = one_hot.to(probability.dtype).movedim(1, 0).flatten(1)  # (C, N * H * W)
    errors = (truth - (probability * valid).movedim(1, 0).flatten(1)).abs()  # 0 for ignored pixels, which come last
    errors, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order)
    area = truth.sum(dim=1, keepdim=True)
    # 1 - IoU if all pixels up to this one, sorted by error, were wrong.  The errors are weighted by its increments.
    jaccard = 1 - (area - truth.cumsum(1)) / (area + (1 - truth).cumsum(1)).clamp(min=1e-6)
    differences = jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
    return _mean_over_present((errors * differences).sum(dim=1), area[:, 0] > 0, weight)


def _probabilities(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return probabilities (N, C, H, W), one-hot targets (bool, same shape) and a mask of valid pixels (N, 1, H, W)."""
    valid = (target != ignore_index).unsqueeze(1)
    if logits.shape[1] == 1:  # foreground
        return logits.sigmoid(), (target.unsqueeze(1) == 1) & valid, valid
    classes = torch.arange(logits.shape[1], device=target.device).view(1, -1, 1, 1)
    return logits.softmax(dim=1), (target.unsqueeze(1) == classes) & valid, valid


def _mean_over_present(loss: Tensor, present: Tensor, weight: Tensor | None) -> Tensor:
    """Return the weighted mean of the losses (C,) of the classes that are `present`, or 0 if no class is present."""
    share = present.to(loss.dtype) if weight is None or len(loss) == 1 else present * weight.to(loss.dtype)
    return (loss * share).sum() / share.sum().clamp(min=1e-6)
