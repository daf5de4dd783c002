"""What can go wrong with a prediction."""

from ..errors import SeglibError


class PredictionError(SeglibError, ValueError):
    """A prediction that cannot be made; the message names the file or option and the remedy."""
