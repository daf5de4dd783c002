"""What training minimises.  Every loss takes logits (N, C, H, W) and labels (N, H, W), and averages over
the pixels that count: a pixel labelled `ignore_index` contributes nothing, not even to the denominator,
and a batch of nothing but ignored pixels gives 0.

One output channel (C = 1) means foreground against background with a sigmoid; more mean a softmax.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IGNORE = 255


class LossError(ValueError):
    """A loss that cannot be built or applied; the message says why and what to do."""


def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE) -> Tensor:
    """Mean of -log softmax(logits)[label], weighted by the class weight of each pixel's label if given."""
    total = F.cross_entropy(logits, labels, weight, ignore_index=ignore_index, reduction="sum")
    return total / _mass(labels, weight, ignore_index).to(total.dtype)


def binary_cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE
) -> Tensor:
    """Mean over pixels of -log sigmoid for one channel of logits; `weight` has two entries, background first."""
    valid = labels != ignore_index
    target = torch.where(valid, labels, 0)
    pixel = F.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype), reduction="none")
    share = valid.to(logits.dtype) if weight is None else valid * weight.to(logits.dtype)[target]
    return (pixel * share).sum() / _mass(labels, weight, ignore_index).to(logits.dtype)


def dice(logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE) -> Tensor:
    """1 - mean over classes of the soft Dice coefficient 2 sum(p t) / (sum(p) + sum(t)), over the batch.

    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, https://arxiv.org/abs/1606.04797, without squares in
    the denominator.  Classes without a true pixel in the batch are left out, as they say nothing about
    overlap; with one channel the foreground alone counts, and an image set without any gives 0.
    """
    valid = (labels != ignore_index).unsqueeze(1)
    target = torch.where(valid[:, 0], labels, 0)
    if logits.shape[1] == 1:
        probability, truth = logits.sigmoid(), target.unsqueeze(1)
    else:
        probability = logits.softmax(dim=1)
        truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1)
    probability = probability * valid
    truth = (truth * valid).to(probability.dtype)
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    size = (probability + truth).sum(dim=(0, 2, 3))
    present = (truth.sum(dim=(0, 2, 3)) > 0).to(probability.dtype)
    share = present if weight is None or logits.shape[1] == 1 else present * weight.to(probability.dtype)
    loss = 1 - 2 * overlap / size.clamp(min=1e-6)
    return (loss * share).sum() / share.sum().clamp(min=1e-6)


LOSSES = {"ce": cross_entropy, "bce": binary_cross_entropy, "dice": dice}


class SegmentationLoss(nn.Module):
    """A weighted sum of losses, over one output or, for deep supervision, summed over several.

    `terms`: weight of each loss by name (ce, bce, dice).  `class_weights`: one factor a class.
    Outputs are computed in float32 whatever precision the network used.  Raises LossError.
    """

    def __init__(
        self,
        terms: Mapping[str, float],
        class_weights: Sequence[float] | None = None,
        ignore_index: int = IGNORE,
    ):
        super().__init__()
        unknown = sorted(set(terms) - set(LOSSES))
        if unknown or not terms:
            raise LossError(f"loss {unknown or terms} is not known; choose from: {', '.join(LOSSES)}.")
        self.terms = dict(terms)
        self.ignore_index = ignore_index
        weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, outputs: Tensor | Sequence[Tensor], labels: Tensor) -> Tensor:
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        labels = labels.long()
        return sum(self._single(logits.float(), labels) for logits in outputs)

    def _single(self, logits: Tensor, labels: Tensor) -> Tensor:
        channels = logits.shape[1]
        for name in self.terms:
            if (name == "ce") == (channels == 1) and name != "dice":
                right = "bce" if channels == 1 else "ce"
                raise LossError(f"loss '{name}' does not fit {channels} output channel(s); use '{right}'.")
        if self.weight is not None and len(self.weight) != max(channels, 2):
            raise LossError(f"{len(self.weight)} class weights for {max(channels, 2)} classes; give one a class.")
        return sum(
            factor * LOSSES[name](logits, labels, self.weight, self.ignore_index) for name, factor in self.terms.items()
        )


def _mass(labels: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """The number of pixels that count, or the sum of their class weights; never 0."""
    valid = labels != ignore_index
    if weight is None:
        return valid.sum().clamp(min=1)
    return (weight[torch.where(valid, labels, 0)] * valid).sum().clamp(min=1e-12)
