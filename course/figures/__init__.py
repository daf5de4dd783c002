"""Figures for the notebooks: networks drawn from their forward pass, line charts, rows of images."""

from .diagrams import architecture, curves, pictures

__all__ = ["architecture", "curves", "pictures"]
