"""The base class of the errors that bad input raises."""

from importlib import import_module
from types import ModuleType


class SeglibError(Exception):
    """Something in a file or an option is wrong; the message says where, what, and what to do.

    The command line shows it as one sentence.  Any other exception is a bug and keeps its traceback.
    """


def import_optional(name: str, error: type[SeglibError], need: str, requirement: str) -> ModuleType:
    """Import an optional package; if it is missing, raise `error`, which says what needs it and what to install."""
    try:
        return import_module(name)
    except ImportError as reason:
        raise error(f"{need} needs one more package ({reason}): python -m pip install {requirement}") from None
