"""The error that inference raises."""

from ..errors import SeglibError


class PredictionError(SeglibError, ValueError):
    """A prediction that is not possible; the message names the file or option and the remedy."""
