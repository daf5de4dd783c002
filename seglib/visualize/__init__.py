"""Figures of predictions, training curves and scores.  matplotlib is imported when it is first needed."""

from importlib import import_module as _import_module

_NAMES = {
    "masks": "FALSE_NEGATIVE FALSE_POSITIVE IGNORED TRUE_NEGATIVE TRUE_POSITIVE VisualizeError "
    "colorize darken default_palette error_map figure_palette overlay",
    "figures": "legend save show_prediction",
    "style": "NotebookFigure",
}
__all__ = " ".join(_NAMES.values()).split()


def __getattr__(name: str):
    for module, names in _NAMES.items():
        if name == module or name in names.split():
            loaded = _import_module(f".{module}", __name__)
            return loaded if name == module else getattr(loaded, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*_NAMES, *__all__]
