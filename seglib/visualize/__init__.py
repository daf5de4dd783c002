"""Figures of predictions, training and scores.  matplotlib is imported when the first figure is made."""

from importlib import import_module as _import_module

from .masks import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    IGNORED,
    TRUE_NEGATIVE,
    TRUE_POSITIVE,
    VisualizeError,
    colorize,
    darken,
    default_palette,
    error_map,
    figure_palette,
    overlay,
)

_FIGURES = {
    "charts": ("compared_runs", "confusion_figure", "save", "training_curves"),
    "figures": ("legend", "show_prediction"),
    "style": ("NotebookFigure",),
}


def __getattr__(name: str):
    for module, names in _FIGURES.items():
        if name == module or name in names:
            loaded = _import_module(f".{module}", __name__)
            return loaded if name == module else getattr(loaded, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
