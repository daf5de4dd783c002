"""Figures of data, predictions, training and scores."""

from .charts import class_histogram, compared_runs, confusion_figure, per_class_bars, save, training_curves
from .figures import gallery, image_grid, legend, show_prediction, show_samples
from .masks import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_NEGATIVE,
    TRUE_POSITIVE,
    colorize,
    darken,
    default_palette,
    error_map,
    figure_palette,
    overlay,
)
from .style import NotebookFigure, VisualizeError

__all__ = [
    "FALSE_NEGATIVE",
    "FALSE_POSITIVE",
    "IGNORED",
    "TRUE_NEGATIVE",
    "TRUE_POSITIVE",
    "NotebookFigure",
    "VisualizeError",
    "class_histogram",
    "colorize",
    "compared_runs",
    "confusion_figure",
    "darken",
    "default_palette",
    "error_map",
    "figure_palette",
    "gallery",
    "image_grid",
    "legend",
    "overlay",
    "per_class_bars",
    "save",
    "show_prediction",
    "show_samples",
    "training_curves",
]
