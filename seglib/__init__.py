"""Semantic segmentation from scratch: models, losses, metrics, training, prediction and visualization."""

from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules

__version__ = "0.2.0"
_MODULES = sorted({module.name for module in _iter_modules(__path__)} - {"__main__", "cli"})


def __getattr__(name: str):
    """Import a submodule when it is first accessed, so that `import seglib` is fast."""
    if name in _MODULES:
        return _import_module(f"seglib.{name}")
    raise AttributeError(f"module 'seglib' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*_MODULES, "__version__"]
