"""The registry of networks, which builds a network by its name."""

import inspect
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial

import torch
from torch import nn

from ..plugins import registered
from .converters import load_official
from .dilated_resnet import DilatedResNet
from .efficientnet_unet import EfficientNetUNet
from .errors import ModelError
from .hrnet import HRNET_CONFIGS, HRNet
from .mini_hrnet import MINI_HRNET_CONFIGS
from .pretrained import fetch
from .u2net import U2Net, U2NetP
from .unet import UNet

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "u2net": U2Net,
    "u2netp": U2NetP,
    **{name: partial(HRNet, **options) for name, options in {**HRNET_CONFIGS, **MINI_HRNET_CONFIGS}.items()},
    "dilated_resnet50": DilatedResNet,
    "efficientnet_unet": EfficientNetUNet,
}


@cache
def builders() -> dict[str, Callable[..., nn.Module]]:
    """Return {name of a network: the class or function that builds it}.

    These are the networks in this library and those that installed packages register in the entry point group
    `seglib.models`.
    """
    return BUILDERS | {point.name: point.load() for point in registered("seglib.models")}


def names() -> list[str]:
    """Return the names that `create` accepts."""
    return list(builders())


def check_names(chosen: Iterable[str]) -> None:
    """Raise ModelError for the first name in `chosen` that `create` does not accept."""
    for name in chosen:
        if name not in builders():
            raise ModelError(f"'{name}' is not a known network; choose one of: {', '.join(names())}.")


def create(name: str, num_classes: int, in_channels: int = 3, pretrained: str | None = None, **options) -> nn.Module:
    """Build a network with random or pre-trained weights.

    In eval mode, `model(x)` maps images (N, in_channels, H, W) to logits (N, num_classes, H, W).  In training mode,
    networks with several outputs return a tuple of such logits, and `model.aux_loss_weights` contains the weights of
    these outputs in the loss.  Published weights are downloaded once (see `pretrained.fetch`), and a line on stderr
    reports which layers were loaded.

    Args:
        name: one of `names()`.
        num_classes: number of output channels, at least 1.
        in_channels: number of image channels, at least 1.
        pretrained: "imagenet" or "coco" for published weights, None for random weights.  If `in_channels` is C != 3,
            channel k of the first convolution gets the published weights of channel k % 3, multiplied by 3 / C.
        options: additional keyword arguments of the network's class.

    Returns:
        The network, in training mode.

    Raises:
        ModelError: if the name or an option is unknown, or a value is invalid for the network.
        CheckpointError: if there are no such published weights, they cannot be downloaded, or they do not match the
            network.
    """
    check_names([name])
    if num_classes < 1 or in_channels < 1:
        raise ModelError(f"{name} needs at least one class and one input channel; got {num_classes} and {in_channels}.")
    builder = builders()[name]
    known = dict(list(inspect.signature(builder).parameters.items())[2:])
    for option, value in options.items():
        if option not in known:
            raise ModelError(f"{name} has no option '{option}'; it takes: {', '.join(known)}.")
        if isinstance(known[option].default, bool) and not isinstance(value, bool):
            raise ModelError(f"{name}: {option} is {value!r}, but must be true or false.")
    try:
        model = builder(num_classes, in_channels if pretrained is None else 3, **options)
    except (TypeError, RuntimeError, ZeroDivisionError) as error:  # PyTorch's errors for invalid sizes
        raise ModelError(f"{name} cannot be built with {options}: {error}") from None
    if pretrained is not None:
        loaded = load_official(model, fetch(name, pretrained, model))
        print(f"{name}, {pretrained} weights: {loaded}", file=sys.stderr)
        if in_channels != 3:
            first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
            weight = first.weight.detach()[:, torch.arange(in_channels) % 3] * (3 / in_channels)
            first.weight, first.in_channels = nn.Parameter(weight.contiguous()), in_channels
    return model
