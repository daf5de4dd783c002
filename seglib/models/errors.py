"""What can go wrong with a network."""

from ..errors import SeglibError


class ModelError(SeglibError, ValueError):
    """A network that cannot be built or applied; the message names the option or size and the remedy."""


class CheckpointError(SeglibError, ValueError):
    """A checkpoint that does not fit the network; the message names what is missing, left over or misshapen."""
