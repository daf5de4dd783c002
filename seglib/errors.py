"""The base class of all errors caused by invalid input, and functions that handle common errors."""

import re
from importlib import import_module
from types import ModuleType


class SeglibError(Exception):
    """The base class of errors in files and options.  Messages name the file or option, and say how to fix the problem.

    The command line prints the message without a traceback.  An exception of any other type is a bug, and its
    traceback is printed.
    """


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out.  On some devices and in some libraries, only the error's message shows this."""
    text = "out of memory|(not enough|insufficient|allocate) memory|failed to allocate"
    return isinstance(error, MemoryError) or bool(re.search(text, str(error), re.IGNORECASE))


def import_optional(name: str, error: type[SeglibError], need: str, requirement: str) -> ModuleType:
    """Import an optional package.

    Args:
        name: the name of the module.
        error: the class of the exception to raise if the package is not installed.
        need: the feature that requires the package, which is the subject of the message.
        requirement: the argument of `pip install` in the message.
    """
    try:
        return import_module(name)
    except ImportError as reason:
        raise error(f"{need} needs one more package ({reason}): python -m pip install {requirement}") from None
