"""The registry of losses, weighted sums of losses, and class weights computed from a data set."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from . import functions
from .functions import IGNORE_INDEX, AllReduce, LossError, single_process

LOSSES: dict[str, Callable[..., Tensor]] = {
    "ce": functions.cross_entropy,
    "bce": functions.binary_cross_entropy,
    "dice": functions.dice,
    "focal": functions.focal,
    "lovasz": functions.lovasz,
    "ohem": functions.ohem,
    "boundary": functions.boundary,
}
SCHEMES = ("none", "sqrt_freq", "inv_freq", "hrnet")  # for `class_weights`
# The smallest and largest allowed values of each loss option.
OPTION_RANGES = {"gamma": (0, 100), "threshold": (1e-6, 1), "min_kept": (1, 2**62), "width": (1, 10**6)}
# HRNet's weights for the 19 classes of Cityscapes (github.com/HRNet/HRNet-Semantic-Segmentation).
_CITYSCAPES_WEIGHTS = (
    *(0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023),
    *(0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507),
)


def class_weights(scheme: str, pixels: Sequence[int]) -> list[float] | None:
    """Compute class weights from the number of pixels of each class.

    Args:
        scheme: "none"; "inv_freq" for the inverse of the class frequency; "sqrt_freq" for the square root of the
            inverse; or "hrnet" for HRNet's fixed weights for Cityscapes.
        pixels: the number of pixels of each class in the training set (C,).

    Returns:
        C weights, or None for "none".  Weights computed from frequencies have a mean of 1 over the classes that occur;
        the weight of a class that does not occur is 1.

    Raises:
        LossError: if the scheme is unknown, or if it is "hrnet" and the number of classes is not 19.
    """
    if scheme == "none":
        return None
    if scheme == "hrnet":
        if len(pixels) != len(_CITYSCAPES_WEIGHTS):
            raise LossError(
                f"class weights 'hrnet' are for Cityscapes' 19 classes, not for {len(pixels)}; use sqrt_freq."
            )
        return list(_CITYSCAPES_WEIGHTS)
    if scheme not in SCHEMES:
        raise LossError(f"class weights '{scheme}' are not known; choose from: {', '.join(SCHEMES)}, or give a list.")
    power = 1.0 if scheme == "inv_freq" else 0.5
    factors = [(sum(pixels) / count) ** power if count else None for count in pixels]
    occurring = [factor for factor in factors if factor is not None]
    return [1.0 if factor is None else factor * len(occurring) / sum(occurring) for factor in factors]


class SegmentationLoss(nn.Module):
    """A weighted sum of losses over one or more outputs of a network.

    Networks with deep supervision or auxiliary heads have more than one output.

    Args:
        terms: the name (see LOSSES) and weight of each loss.
        class_weights: one weight per class; None for equal weights.
        ignore_index: the label of ignored pixels.
        output_weights: one weight per output of the network.  None means that every weight is 1.
        options: additional keyword arguments of each loss, such as {"focal": {"gamma": 1}}.
        all_reduce: function that sums a tensor over all processes of distributed training.

    Raises:
        LossError: if a loss or an option is unknown or out of range, or a weight is negative or not finite.
    """

    weight: Tensor | None
    output_weights: list[float] | None

    def __init__(
        self,
        terms: Mapping[str, float],
        class_weights: Sequence[float] | None = None,
        ignore_index: int = IGNORE_INDEX,
        output_weights: Sequence[float] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        all_reduce: AllReduce = single_process,
    ):
        super().__init__()
        if not isinstance(terms, Mapping):
            raise LossError(f"terms is {terms!r}, but must be the weight of each loss, such as {{'ce': 1.0}}.")
        unknown = sorted(map(str, set(terms) - set(LOSSES)))
        if unknown or not terms:
            problem = f"loss '{unknown[0]}' is not known" if unknown else "the loss has no terms"
            raise LossError(f"{problem}; choose from: {', '.join(LOSSES)}.")
        if not isinstance(ignore_index, Integral):
            raise LossError(f"ignore_index is {ignore_index!r}, but must be a whole number.")
        self.terms: dict[str, float] = dict(zip(terms, _check_weights("terms", terms.values()), strict=True))
        self.options: dict[str, dict[str, Any]] = _check_options(terms, options or {})
        for name in terms:
            if "all_reduce" in inspect.signature(LOSSES[name]).parameters:
                self.options[name]["all_reduce"] = all_reduce
        self.ignore_index: int = ignore_index
        self.all_reduce: AllReduce = all_reduce
        self.output_weights = None if output_weights is None else _check_weights("output_weights", output_weights)
        weights = None if class_weights is None else torch.tensor(_check_weights("class_weights", class_weights))
        self.register_buffer("weight", weights, persistent=False)

    def forward(self, outputs: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        """Compute the loss in float32.

        Args:
            outputs: logits (N, C, H, W), or a sequence with one such tensor per output.
            target: labels (N, H, W), integers 0..C-1 or `ignore_index`.

        Returns:
            A scalar.

        Raises:
            LossError: if the shapes, the types, or the numbers of classes or outputs do not match.
        """
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        _check_shapes(outputs, target)
        factors = self.output_weights or [1.0] * len(outputs)
        # In eval mode, a network with several outputs returns only the first one.
        if len(factors) < len(outputs) or len(factors) > len(outputs) > 1:
            raise LossError(f"{len(factors)} output weights for {len(outputs)} outputs; give one per output.")
        target = target.long()
        losses = [f * self._single(logits.float(), target) for f, logits in zip(factors, outputs, strict=False)]
        return sum(losses[1:], start=losses[0])

    def _single(self, logits: Tensor, target: Tensor) -> Tensor:
        channels = logits.shape[1]
        for name, other in (("ce", "bce"), ("bce", "ce")):
            if name in self.terms and (name == "ce") == (channels == 1):
                raise LossError(f"loss '{name}' does not fit {channels} output channel(s); use '{other}'.")
        if self.weight is not None and len(self.weight) != max(channels, 2):
            raise LossError(f"{len(self.weight)} class weights for {max(channels, 2)} classes; give one per class.")
        losses = [
            factor * LOSSES[name](logits, target, self.weight, self.ignore_index, **self.options[name])
            for name, factor in self.terms.items()
        ]
        return sum(losses[1:], start=losses[0])


def _check_weights(name: str, values: Iterable[float]) -> list[float]:
    """Return the weights as a list.  Raise LossError unless they are finite numbers of at least 0."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise LossError(f"{name} is {values!r}, but must be a list of numbers.")
    weights = list(values)
    for weight in weights:
        number = weight.item() if isinstance(weight, Tensor) and weight.numel() == 1 else weight
        if isinstance(number, bool) or not isinstance(number, Real) or not 0 <= float(number) < math.inf:
            raise LossError(f"{name}: {number!r} is not a weight; weights are finite numbers and must be 0 or more.")
    return [float(weight) for weight in weights]


def _check_options(terms: Mapping[str, float], options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the additional keyword arguments of each loss in `terms`.

    Raises:
        LossError: if an argument is unknown, is out of range, or belongs to a loss that is not in `terms`.
    """
    if not isinstance(options, Mapping) or not all(isinstance(arguments, Mapping) for arguments in options.values()):
        raise LossError(f"options is {options!r}, but must be arguments by loss, such as {{'focal': {{'gamma': 1}}}}.")
    for name, arguments in options.items():
        if name not in terms and arguments:
            remedy = "add it to loss.terms" if name in LOSSES else f"the losses are {', '.join(LOSSES)}"
            raise LossError(f"there are options for '{name}', but the terms are {', '.join(terms)}; {remedy}.")
        for key, value in arguments.items():
            known = [k for k in list(inspect.signature(LOSSES[name]).parameters)[4:] if k != "all_reduce"]
            if key not in known:
                raise LossError(f"loss '{name}' has no option '{key}' here; it takes: {', '.join(known) or 'none'}.")
            low, high = OPTION_RANGES[key]
            if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
                raise LossError(f"loss '{name}': {key} is {value!r}, but must be {low:g} to {high:g}.")
    return {name: dict(options.get(name, {})) for name in terms}


def _check_shapes(outputs: Sequence[Tensor], target: Tensor) -> None:
    if not isinstance(target, Tensor) or target.is_floating_point() or target.is_complex():
        kind = target.dtype if isinstance(target, Tensor) else type(target).__name__
        raise LossError(f"the target is {kind}, but must be a tensor of whole numbers (N, H, W).")
    if not isinstance(outputs, Sequence) or not all(isinstance(logits, Tensor) for logits in outputs) or not outputs:
        raise LossError(f"the outputs are {type(outputs).__name__}, but must be a tensor or several (N, C, H, W).")
    for logits in outputs:
        if logits.ndim != 4 or (logits.shape[0], *logits.shape[2:]) != target.shape:
            raise LossError(
                f"logits {tuple(logits.shape)} do not fit a target {tuple(target.shape)}; "
                "give (N, C, H, W) and (N, H, W) of the same size."
            )
