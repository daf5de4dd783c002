"""The exception for errors in inference."""

from ..errors import SeglibError


class PredictionError(SeglibError, ValueError):
    """Raised if a prediction is not possible. The message names the file or option and says how to fix the problem."""
