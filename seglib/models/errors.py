"""Errors raised by seglib.models."""

from torch import Tensor, nn

from ..errors import SeglibError


class ModelError(SeglibError, ValueError):
    """Raised if a network cannot be built or applied.  The message names the invalid option or size."""


class CheckpointError(SeglibError, ValueError):
    """Raised if a checkpoint cannot be read or does not match the network.

    The message lists keys that are missing or unexpected, and keys of tensors with a different shape.
    """


def check_training_size(model: nn.Module, x: Tensor, stride: int) -> None:
    """Raise ModelError in training mode for a single image that is at most `stride` pixels high and wide.

    At this stride, the feature map of such an image has only one pixel, but batch normalization needs more than one
    value per channel.
    """
    if model.training and x.shape[0] == 1 and max(x.shape[-2:]) <= stride:
        raise ModelError(
            f"{type(model).__name__} downsamples images to 1/{stride}, and one image of {x.shape[-2]}x{x.shape[-1]} "
            "pixels leaves its batch normalization a single value; train on larger images or on larger batches."
        )
