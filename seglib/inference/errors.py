"""The exception for errors in inference."""

from ..errors import SeglibError


class PredictionError(SeglibError, ValueError):
    """Raised if a prediction is not possible. The message says which file or option is wrong, and what to do."""
