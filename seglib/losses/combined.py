"""Losses by name, their weighted sums, and the class weights that suit a data set."""

import inspect
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .overlap import dice, lovasz
from .pixelwise import binary_cross_entropy, boundary, cross_entropy, focal, ohem
from .sums import IGNORE, LossError, Total, alone

LOSSES = {
    "ce": cross_entropy,
    "bce": binary_cross_entropy,
    "dice": dice,
    "focal": focal,
    "lovasz": lovasz,
    "ohem": ohem,
    "boundary": boundary,
}
SCHEMES = ("none", "sqrt_freq", "inv_freq", "hrnet")
# What the losses' options may be.
RANGES = {"gamma": (0, 100), "threshold": (1e-6, 1), "min_kept": (1, 2**62), "width": (1, 10**6)}
# The factors that HRNet uses for Cityscapes' 19 classes (github.com/HRNet/HRNet-Semantic-Segmentation).
_HRNET = (
    0.8373,
    0.918,
    0.866,
    1.0345,
    1.0166,
    0.9969,
    0.9754,
    1.0489,
    0.8786,
    1.0023,
    0.9539,
    0.9843,
    1.1116,
    0.9037,
    1.0865,
    1.0955,
    1.0865,
    1.1529,
    1.0507,
)


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
    {"focal": {"gamma": 1}}.  `total` sums over the processes that share
    a batch.  Computed in float32 whatever precision the network used.  Raises LossError.
    """

    def __init__(
        self,
        terms: Mapping[str, float],
        class_weights: Sequence[float] | None = None,
        ignore_index: int = IGNORE,
        output_weights: Sequence[float] | None = None,
        options: Mapping[str, Mapping] | None = None,
        total: Total = alone,
    ):
        super().__init__()
        unknown = sorted(set(terms) - set(LOSSES))
        if unknown or not terms:
            wrong = f"loss '{unknown[0]}' is not known" if unknown else "the loss has no terms"
            raise LossError(f"{wrong}; choose from: {', '.join(LOSSES)}.")
        given = [*terms.values(), *(() if class_weights is None else class_weights), *(output_weights or ())]
        if min(given) < 0:
            raise LossError(
                "weights of losses, classes and outputs must be 0 or more; a negative one rewards mistakes."
            )
        self.terms = dict(terms)
        self.options = _checked_options(terms, options or {})
        for name in terms:
            if "total" in inspect.signature(LOSSES[name]).parameters:
                self.options[name]["total"] = total
        self.ignore_index, self.total = ignore_index, total
        self.output_weights = None if output_weights is None else tuple(output_weights)
        weight = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, outputs: Tensor | Sequence[Tensor], labels: Tensor) -> Tensor:
        outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
        factors = self.output_weights or (1.0,) * len(outputs)
        # Of several outputs a network gives only the first outside training.
        if len(factors) < len(outputs) or len(factors) > len(outputs) > 1:
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
        if name not in terms:
            if not keywords:
                continue
            remedy = "add it to loss.terms" if name in LOSSES else f"the losses are {', '.join(LOSSES)}"
            raise LossError(f"there are options for '{name}', but asked for are {', '.join(terms)}; {remedy}.")
        known = [k for k in list(inspect.signature(LOSSES[name]).parameters)[4:] if k != "total"]
        for keyword in keywords:
            if keyword not in known:
                raise LossError(
                    f"loss '{name}' has no option '{keyword}' here; it takes: {', '.join(known) or 'none'}."
                )
            low, high = RANGES[keyword]
            if not low <= keywords[keyword] <= high:
                raise LossError(f"loss '{name}': {keyword} is {keywords[keyword]}, but must be {low:g} to {high:g}.")
    return {name: dict(options.get(name, {})) for name in terms}
