"""Figures for the notebooks: networks drawn from their forward pass, charts, rows of images."""

from seglib.visualize import image_grid

from .charts import boundary_errors, cutout, feature_maps, line_chart, roadmap, score_histogram
from .diagrams import architecture

__all__ = [
    "architecture",
    "boundary_errors",
    "cutout",
    "feature_maps",
    "image_grid",
    "line_chart",
    "roadmap",
    "score_histogram",
]
