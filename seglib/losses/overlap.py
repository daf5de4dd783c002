"""Losses that measure the overlap of two regions.  See the package for arguments that all losses share."""

import torch
from torch import Tensor

from .reduction import IGNORE_INDEX, AllReduce, single_process


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
