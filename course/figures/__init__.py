"""Figures for the notebooks: architecture diagrams, charts, and rows of images."""

from .charts import (
    boundary_errors,
    class_histogram,
    cutout,
    feature_maps,
    line_chart,
    per_class_bars,
    roadmap,
    score_histogram,
)
from .diagrams import architecture
from .images import gallery, image_grid, show_samples
from .maps import heat_map, probability_map
from .training import compared_runs, confusion_figure, training_curves

__all__ = [
    "architecture",
    "boundary_errors",
    "class_histogram",
    "compared_runs",
    "confusion_figure",
    "cutout",
    "feature_maps",
    "gallery",
    "heat_map",
    "image_grid",
    "line_chart",
    "per_class_bars",
    "probability_map",
    "roadmap",
    "score_histogram",
    "show_samples",
    "training_curves",
]
