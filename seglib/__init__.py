"""Semantic segmentation from scratch: models, losses, metrics, training, prediction and pictures."""

from importlib import import_module

__version__ = "0.2.0"
_MODULES = (
    "config",
    "data",
    "distributed",
    "evaluation",
    "files",
    "inference",
    "losses",
    "metrics",
    "models",
    "runs",
    "training",
    "tuning",
    "visualize",
    "weights",
)


def __getattr__(name: str):
    """Import a module of the package when it is first used: `import seglib` alone stays fast."""
    if name in _MODULES:
        return import_module(f"seglib.{name}")
    raise AttributeError(f"module 'seglib' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*_MODULES, "__version__"]
