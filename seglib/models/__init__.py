"""The networks.  `create` builds one by name; `load_official` reads its authors' checkpoint."""

import inspect
import sys
from collections.abc import Iterable
from functools import partial

from torch import nn

from .converters import load_official, load_weights
from .dilated_resnet import DilatedResNet
from .efficientnet_unet import EfficientNetUNet
from .errors import CheckpointError, ModelError
from .hrnet import HRNETS, HRNet
from .mini_hrnet import MINI_HRNETS, MiniHRNetV3
from .pretrained import fetch
from .u2net import U2Net, U2NetP
from .unet import UNet

__all__ = [
    "CheckpointError",
    "DilatedResNet",
    "EfficientNetUNet",
    "HRNet",
    "MiniHRNetV3",
    "ModelError",
    "U2Net",
    "U2NetP",
    "UNet",
    "check_names",
    "create",
    "load_official",
    "load_weights",
    "names",
]


def __dir__() -> list[str]:
    return __all__

_BUILDERS = {
    "unet": UNet,
    "u2net": U2Net,
    "u2netp": U2NetP,
    **{name: partial(HRNet, **options) for name, options in HRNETS.items()},
    "mini_hrnet_v1": partial(HRNet, **MINI_HRNETS["mini_hrnet_v1"]),
    "mini_hrnet_v2": partial(HRNet, **MINI_HRNETS["mini_hrnet_v2"]),
    "mini_hrnet_v3": MiniHRNetV3,
    "mini_hrnet": partial(HRNet, **MINI_HRNETS["mini_hrnet"]),
    "dilated_resnet50": DilatedResNet,
    "efficientnet_unet": EfficientNetUNet,
}


def names() -> list[str]:
    """The names that `create` knows."""
    return list(_BUILDERS)


def check_names(chosen: Iterable[str]) -> None:
    """ModelError for the first of `chosen` that `create` does not know."""
    for name in chosen:
        if name not in _BUILDERS:
            raise ModelError(f"'{name}' is no model; choose one of: {', '.join(names())}.")


def create(name: str, num_classes: int, in_channels: int = 3, pretrained: str | None = None, **options) -> nn.Module:
    """Build a network with fresh weights, or with public ones: `pretrained` is "imagenet" or "coco".

    Public weights are fetched once (see `pretrained.fetch`); what was loaded and what starts fresh is told on stderr.

    In eval mode `model(x)` maps (N, in_channels, H, W) to logits (N, num_classes, H, W); in training
    mode it returns what the loss needs.  Raises ModelError for an unknown name or option, CheckpointError
    if there are no such weights, or they cannot be fetched or do not fit.
    """
    check_names([name])
    if num_classes < 1 or in_channels < 1:
        raise ModelError(f"{name} needs at least one class and one input channel; got {num_classes} and {in_channels}.")
    if pretrained is not None and in_channels != 3:
        raise ModelError(
            f"the public weights are for 3 input channels, not {in_channels}; "
            f"build {name} without pretrained='{pretrained}' or give it RGB images."
        )
    builder = _BUILDERS[name]
    known = list(inspect.signature(builder).parameters)[2:]
    for option in options:
        if option not in known:
            raise ModelError(f"{name} has no option '{option}'; it takes: {', '.join(known)}.")
    try:
        model = builder(num_classes, in_channels, **options)
    except (TypeError, RuntimeError, ZeroDivisionError) as error:  # torch's words for sizes that make no sense
        raise ModelError(f"{name} cannot be built with {options}: {error}") from None
    if pretrained is not None:
        loaded = load_official(model, fetch(name, pretrained, model))
        print(f"{name}, {pretrained} weights: {loaded}", file=sys.stderr)
    return model
