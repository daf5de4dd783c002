"""Losses that measure how far two regions overlap."""

import torch
from torch import Tensor

from .sums import IGNORE, Total, alone


def dice(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE, total: Total = alone
) -> Tensor:
    """1 - mean over classes of the soft Dice coefficient 2 sum(p t) / (sum(p) + sum(t)), over the batch.

    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, https://arxiv.org/abs/1606.04797, without squares in
    the denominator.  Classes without a true pixel in the batch are left out, as they say nothing about
    overlap; with one channel the foreground alone counts, and an image set without any gives 0.
    """
    probability, truth, valid = _probabilities(logits, labels, ignore_index)
    probability = probability * valid
    sums = ((probability * truth), probability, truth.to(probability.dtype))
    overlap, predicted, area = total(torch.stack([x.sum(dim=(0, 2, 3)) for x in sums]))
    loss = 1 - 2 * overlap / (predicted + area).clamp(min=1e-6)
    return _over_present(loss, area > 0, weight)


def lovasz(logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE) -> Tensor:
    """The Lovasz extension of 1 - IoU of the batch, averaged over the classes that occur in its truth.

    Berman, Rannen Triki and Blaschko, "The Lovasz-Softmax loss", CVPR 2018, https://arxiv.org/abs/1705.08790.
    With one channel the foreground alone counts.
    """
    probability, truth, valid = _probabilities(logits, labels, ignore_index)
    truth = truth.to(probability.dtype).movedim(1, 0).flatten(1)  # (C, N * H * W)
    errors = (truth - (probability * valid).movedim(1, 0).flatten(1)).abs()  # 0 where ignored: last in the order
    errors, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order)
    total = truth.sum(dim=1, keepdim=True)
    # IoU if all pixels up to this one, the worst first, were wrong; its steps weigh the errors.
    jaccard = 1 - (total - truth.cumsum(1)) / (total + (1 - truth).cumsum(1)).clamp(min=1e-6)
    steps = jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(jaccard), 1))
    return _over_present((errors * steps).sum(dim=1), total[:, 0] > 0, weight)


def _probabilities(logits: Tensor, labels: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities (N, C, H, W), where they are true (bool, same shape), and which pixels count (N, 1, H, W).

    With one channel C = 1, the foreground."""
    valid = (labels != ignore_index).unsqueeze(1)
    if logits.shape[1] == 1:
        return logits.sigmoid(), (labels.unsqueeze(1) == 1) & valid, valid
    classes = torch.arange(logits.shape[1], device=labels.device).view(1, -1, 1, 1)
    return logits.softmax(dim=1), (labels.unsqueeze(1) == classes) & valid, valid


def _over_present(loss: Tensor, present: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of the classes' losses (C,) over those `present`, weighted if there is more than one class; 0 if none is."""
    share = present.to(loss.dtype) if weight is None or len(loss) == 1 else present * weight.to(loss.dtype)
    return (loss * share).sum() / share.sum().clamp(min=1e-6)
