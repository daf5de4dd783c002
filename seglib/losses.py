"""What training minimises.  Every loss takes logits (N, C, H, W) and labels (N, H, W), and averages over
the pixels that count: a pixel labelled `ignore_index` contributes nothing, not even to the denominator,
and a batch of nothing but ignored pixels gives 0.

One output channel (C = 1) means foreground against background with a sigmoid; more mean a softmax.
"""

import inspect
import math
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
    return _average(_surprise(logits, labels, ignore_index), labels, weight, ignore_index)


def focal(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE, gamma: float = 2.0
) -> Tensor:
    """Mean of -(1 - p)^gamma log p, p the probability of the true label: easy pixels count for little.

    Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object Detection", ICCV 2017,
    https://arxiv.org/abs/1708.02002.  gamma = 0 is the cross-entropy.
    """
    pixel = _surprise(logits, labels, ignore_index)
    return _average((-torch.expm1(-pixel)).clamp(min=1e-12) ** gamma * pixel, labels, weight, ignore_index)


def ohem(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE,
    threshold: float = 0.9, kept: int = 131072,
) -> Tensor:  # fmt: skip
    """Cross-entropy averaged over the hard pixels alone: those whose true label has a probability below
    `threshold`, and at least the `kept` hardest of the batch.

    Online hard example mining, Shrivastava, Gupta and Girshick, CVPR 2016, https://arxiv.org/abs/1604.03540,
    with the two numbers that HRNet uses on Cityscapes.
    """
    pixel = _surprise(logits, labels, ignore_index)
    valid = labels != ignore_index
    ranked = torch.where(valid, pixel.detach(), -1.0).flatten()
    hardest = ranked.topk(min(int(kept), ranked.numel())).values[-1]  # the loss of the last pixel that is kept anyway
    hard = (pixel.detach() >= hardest.clamp(max=-math.log(threshold))) & valid
    return _average(pixel, torch.where(hard, labels, ignore_index), weight, ignore_index)


def boundary(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE, width: int = 3
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
    return _average(
        _surprise(logits, labels, ignore_index), torch.where(near, labels, ignore_index), weight, ignore_index
    )


def dice(logits: Tensor, labels: Tensor, weight: Tensor | None = None, ignore_index: int = IGNORE) -> Tensor:
    """1 - mean over classes of the soft Dice coefficient 2 sum(p t) / (sum(p) + sum(t)), over the batch.

    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, https://arxiv.org/abs/1606.04797, without squares in
    the denominator.  Classes without a true pixel in the batch are left out, as they say nothing about
    overlap; with one channel the foreground alone counts, and an image set without any gives 0.
    """
    probability, truth, valid = _probabilities(logits, labels, ignore_index)
    probability = probability * valid
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    area = truth.sum(dim=(0, 2, 3)).to(probability.dtype)
    loss = 1 - 2 * overlap / (probability.sum(dim=(0, 2, 3)) + area).clamp(min=1e-6)
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


LOSSES = {"ce": cross_entropy, "bce": binary_cross_entropy, "dice": dice, "focal": focal, "lovasz": lovasz,
          "ohem": ohem, "boundary": boundary}  # fmt: skip
SCHEMES = ("none", "sqrt_freq", "inv_freq", "hrnet")
# The factors that HRNet uses for Cityscapes' 19 classes (github.com/HRNet/HRNet-Semantic-Segmentation).
_HRNET = (0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023, 0.9539, 0.9843, 1.1116,
          0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507)  # fmt: skip


def class_weights(scheme: str, pixels: Sequence[int]) -> list[float] | None:
    """One factor a class from the number of its `pixels` in the training set; None for "none".

    `inv_freq` is the inverse of the class's share of the pixels, `sqrt_freq` the root of that, both scaled to
    a mean of 1 over the classes that occur (one that does not gets 1); `hrnet` is fixed, for Cityscapes.
    Raises LossError.
    """
    if scheme == "none":
        return None
    if scheme == "hrnet":
        if len(pixels) != len(_HRNET):
            raise LossError(
                f"class weights 'hrnet' are for Cityscapes' 19 classes, not for {len(pixels)}; use sqrt_freq."
            )
        return list(_HRNET)
    if scheme not in SCHEMES:
        raise LossError(f"class weights '{scheme}' are not known; choose from: {', '.join(SCHEMES)}, or give a list.")
    power = 1.0 if scheme == "inv_freq" else 0.5
    factors = [(sum(pixels) / count) ** power if count else None for count in pixels]
    occurring = [factor for factor in factors if factor is not None]
    return [1.0 if factor is None else factor * len(occurring) / sum(occurring) for factor in factors]


class SegmentationLoss(nn.Module):
    """A weighted sum of losses, over one output or, for deep supervision and auxiliary heads, over several.

    `terms`: weight of each loss by name (see LOSSES).  `class_weights`: one factor a class.  `output_weights`:
    one factor an output, 1 for each if None.  `options`: keywords of a loss by its name, such as
    {"focal": {"gamma": 1}}.  Computed in float32 whatever precision the network used.  Raises LossError.
    """

    def __init__(
        self,
        terms: Mapping[str, float],
        class_weights: Sequence[float] | None = None,
        ignore_index: int = IGNORE,
        output_weights: Sequence[float] | None = None,
        options: Mapping[str, Mapping] | None = None,
    ):
        super().__init__()
        unknown = sorted(set(terms) - set(LOSSES))
        if unknown or not terms:
            raise LossError(f"loss {unknown or terms} is not known; choose from: {', '.join(LOSSES)}.")
        self.terms = dict(terms)
        self.options = _checked_options(terms, options or {})
        self.ignore_index = ignore_index
        self.output_weights = None if output_weights is None else tuple(output_weights)
        weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, outputs: Tensor | Sequence[Tensor], labels: Tensor) -> Tensor:
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        factors = self.output_weights or (1.0,) * len(outputs)
        if len(factors) < len(outputs):
            raise LossError(f"{len(factors)} output weights for {len(outputs)} outputs; give one an output.")
        labels = labels.long()
        return sum(f * self._single(logits.float(), labels) for f, logits in zip(factors, outputs, strict=False))

    def _single(self, logits: Tensor, labels: Tensor) -> Tensor:
        channels = logits.shape[1]
        for name, other in (("ce", "bce"), ("bce", "ce")):
            if name in self.terms and (name == "ce") == (channels == 1):
                raise LossError(f"loss '{name}' does not fit {channels} output channel(s); use '{other}'.")
        if self.weight is not None and len(self.weight) != max(channels, 2):
            raise LossError(f"{len(self.weight)} class weights for {max(channels, 2)} classes; give one a class.")
        return sum(
            factor * LOSSES[name](logits, labels, self.weight, self.ignore_index, **self.options[name])
            for name, factor in self.terms.items()
        )


def _checked_options(terms: Mapping[str, float], options: Mapping[str, Mapping]) -> dict[str, dict]:
    """The keywords of each loss in `terms`; LossError for one that no loss in `terms` takes."""
    for name, keywords in options.items():
        known = list(inspect.signature(LOSSES[name]).parameters)[4:] if name in terms else []
        for keyword in keywords:
            if keyword not in known:
                raise LossError(
                    f"loss '{name}' has no option '{keyword}' here; it takes: {', '.join(known) or 'none'}."
                )
    return {name: dict(options.get(name, {})) for name in terms}


def _surprise(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """-log of the probability of each pixel's label, (N, H, W); whatever for ignored pixels."""
    target = torch.where(labels != ignore_index, labels, 0)
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], target.to(logits.dtype), reduction="none")
    return F.cross_entropy(logits, target, reduction="none")


def _average(pixel: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """Mean of `pixel` (N, H, W) over the pixels that count, weighted by the class weight of their label if given."""
    valid = labels != ignore_index
    share = valid.to(pixel.dtype) if weight is None else valid * weight.to(pixel.dtype)[torch.where(valid, labels, 0)]
    return (pixel * share).sum() / _mass(labels, weight, ignore_index).to(pixel.dtype)


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


def _mass(labels: Tensor, weight: Tensor | None, ignore_index: int) -> Tensor:
    """The number of pixels that count, or the sum of their class weights; never 0."""
    valid = labels != ignore_index
    if weight is None:
        return valid.sum().clamp(min=1)
    return (weight[torch.where(valid, labels, 0)] * valid).sum().clamp(min=1e-12)
