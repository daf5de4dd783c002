"""The exception for errors in inference."""

from ..errors import SeglibError


class PredictionError(SeglibError, ValueError):
    """Raised if a prediction is not possible. The message gives the file or option and a solution."""
