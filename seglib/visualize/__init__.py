"""Pictures of data, predictions, training and scores, for notebooks, the README and the command line."""

from seglib.visualize.charts import (
    class_histogram,
    confusion_figure,
    per_class_bars,
    score_histogram,
)
from seglib.visualize.diagrams import architecture, curves, pictures
from seglib.visualize.masks import (
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
from seglib.visualize.panels import feature_maps, gallery, legend, show_prediction, show_samples
from seglib.visualize.progress import roadmap, training_curves
from seglib.visualize.style import Picture, VisualizeError

__all__ = [
    "FALSE_ALARM",
    "HIT",
    "IGNORED",
    "MISS",
    "Picture",
    "VisualizeError",
    "architecture",
    "boundary_band_picture",
    "class_histogram",
    "colorize",
    "confusion_figure",
    "curves",
    "cutout",
    "default_palette",
    "dimmed",
    "error_map",
    "feature_maps",
    "gallery",
    "legend",
    "overlay",
    "per_class_bars",
    "pictures",
    "roadmap",
    "score_histogram",
    "show_prediction",
    "show_samples",
    "training_curves",
]
