"""What can go wrong with a prediction."""


class PredictionError(ValueError):
    """A prediction that cannot be made; the message names the file or option and the remedy."""
