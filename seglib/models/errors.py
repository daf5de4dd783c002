"""Errors of this package."""

from torch import Tensor, nn

from ..errors import SeglibError


class ModelError(SeglibError, ValueError):
    """A network cannot be built or applied; the message names the option or size, and what to do."""


class CheckpointError(SeglibError, ValueError):
    """A checkpoint does not fit the network; the message names what is missing, unexpected or of another shape."""


def check_training_size(model: nn.Module, x: Tensor, stride: int) -> None:
    """Raise ModelError in training for one image so small that a single pixel is left at 1/`stride` resolution.

    Batch normalization needs more than one value per channel.
    """
    if model.training and x.shape[0] == 1 and max(x.shape[-2:]) <= stride:
        raise ModelError(
            f"{type(model).__name__} downsamples images to 1/{stride}, and one image of {x.shape[-2]}x{x.shape[-1]} "
            "pixels leaves its batch normalization a single value; train on larger images or on larger batches."
        )
