"""Figures for the notebooks: networks drawn from their forward pass, charts, rows of images."""

from seglib.visualize import image_grid

from .charts import boundary_errors, cutout, feature_maps, line_chart, roadmap, score_histogram
from .diagrams import architecture
from .maps import heat_map, probability_map

__all__ = [
    "architecture",
    "boundary_errors",
    "cutout",
    "feature_maps",
    "heat_map",
    "image_grid",
    "line_chart",
    "probability_map",
    "roadmap",
    "score_histogram",
]
