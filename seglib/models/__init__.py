"""The networks.  `create` builds one by name; `load_official` reads its authors' checkpoint."""

import inspect

from torch import nn

from .checkpoints import load_official
from .errors import CheckpointError, ModelError
from .unet import UNet

__all__ = ["CheckpointError", "ModelError", "UNet", "create", "load_official", "names"]

_BUILDERS = {"unet": UNet}


def names() -> list[str]:
    """The names that `create` knows."""
    return list(_BUILDERS)


def create(name: str, num_classes: int, in_channels: int = 3, **options) -> nn.Module:
    """Build a network with fresh weights.

    In eval mode `model(x)` maps (N, in_channels, H, W) to logits (N, num_classes, H, W); in training
    mode it returns what the loss needs.  Raises ModelError for an unknown name or option.
    """
    if name not in _BUILDERS:
        raise ModelError(f"'{name}' is no model; choose one of: {', '.join(names())}.")
    if num_classes < 1 or in_channels < 1:
        raise ModelError(f"{name} needs at least one class and one input channel; got {num_classes} and {in_channels}.")
    builder = _BUILDERS[name]
    known = list(inspect.signature(builder).parameters)[2:]
    for option in options:
        if option not in known:
            raise ModelError(f"{name} has no option '{option}'; it takes: {', '.join(known)}.")
    try:
        return builder(num_classes, in_channels, **options)
    except (TypeError, RuntimeError, ZeroDivisionError) as error:  # torch's words for sizes that make no sense
        raise ModelError(f"{name} cannot be built with {options}: {error}") from None
