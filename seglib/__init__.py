"""Semantic segmentation from scratch: models, losses, metrics, training, prediction and pictures."""

__version__ = "0.1.0"
