"""Errors of this package."""

from ..errors import SeglibError


class ModelError(SeglibError, ValueError):
    """A network cannot be built or applied; the message names the option or size, and what to do."""


class CheckpointError(SeglibError, ValueError):
    """A checkpoint does not fit the network; the message names what is missing, unexpected or of another shape."""
