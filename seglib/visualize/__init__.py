"""Pictures of data, predictions, training and scores, for notebooks, the README and the command line."""

from .charts import class_histogram, confusion_figure, per_class_bars, score_histogram
from .comparison import compared_runs, save, search
from .masks import (
    FALSE_ALARM,
    HIT,
    IGNORED,
    MISS,
    boundary_band_picture,
    colorize,
    cutout,
    default_palette,
    dimmed,
    error_map,
    overlay,
)
from .panels import feature_maps, gallery, legend, show_prediction, show_samples
from .progress import roadmap, training_curves
from .style import Picture, VisualizeError

__all__ = [
    "FALSE_ALARM",
    "HIT",
    "IGNORED",
    "MISS",
    "Picture",
    "VisualizeError",
    "boundary_band_picture",
    "class_histogram",
    "colorize",
    "compared_runs",
    "confusion_figure",
    "cutout",
    "default_palette",
    "dimmed",
    "error_map",
    "feature_maps",
    "gallery",
    "legend",
    "overlay",
    "per_class_bars",
    "roadmap",
    "save",
    "score_histogram",
    "search",
    "show_prediction",
    "show_samples",
    "training_curves",
]
