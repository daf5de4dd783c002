"""The checkers of the exercises: a file for each notebook, and a function for each exercise.

For example, `course/exercises/nb02.py` may contain:

    from . import Hint, exercise

    @exercise("02_unet/1")
    def count_parameters(answer):
        if answer == 17_263_042:
            raise Hint("this is the count for bilinear upsampling; the question is about transposed convolutions")
        if answer != 31_037_698:
            raise Hint("count the weights and biases of all convolutions, and two parameters per batch norm channel")

A checker takes the reader's answer (a number, an array, a function or a class). It returns if the answer is right, and
raises Hint with the likely mistake if the answer is wrong. If the answer is a function, the checker may call it, and
`grade` reports any exception from that function in one sentence.
"""

import functools
import importlib
import re
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass

from seglib.errors import SeglibError


class ExerciseError(SeglibError, ValueError):
    """Raised if there is no exercise with the given name. The message lists the exercises of the notebook."""


class Hint(Exception):  # noqa: N818  (not an error of the program)
    """Raised by a checker if the answer is wrong. The message describes the likely mistake."""


class _Unfinished(Exception):  # noqa: N818
    """Raised if the reader's function returned None or `...`."""


@dataclass(frozen=True)
class Verdict:
    """The result of grading an answer.

    Attributes:
        right: True or False, or None if the exercise was not attempted.
        message: The text that is shown to the reader.
    """

    right: bool | None
    message: str


def exercise(name: str) -> Callable[[Callable], Callable]:
    """Return a decorator that marks a function as the checker of exercise `name`, "NOTEBOOK/NUMBER"."""

    def mark(checker: Callable) -> Callable:
        checker.exercise = name
        return checker

    return mark


def names(notebook: str) -> list[str]:
    """Return the names of the exercises of a notebook ("02_unet")."""
    return list(_checkers(notebook))


def grade(name: str, answer) -> Verdict:
    """Grade an answer with the checker of exercise `name`.

    Args:
        name: "NOTEBOOK/NUMBER".
        answer: The reader's answer; None and ... mean "not attempted yet".

    Returns:
        The verdict, even if the reader's function raises an exception.

    Raises:
        ExerciseError: If there is no exercise with this name.
    """
    checkers = _checkers(name.partition("/")[0])
    if name not in checkers:
        known = f"choose from: {', '.join(checkers)}" if checkers else "this notebook has none"
        raise ExerciseError(f"There is no exercise '{name}'; {known}.")
    if answer is None or answer is ...:
        return Verdict(None, "not attempted yet")
    try:
        checkers[name](_detect_none(answer))
    except Hint as hint:
        return Verdict(False, f"not yet: {hint}")
    except (_Unfinished, NotImplementedError):
        what = "your class is not finished" if isinstance(answer, type) else "your function returns nothing"
        return Verdict(None, f"not attempted yet: {what}")
    except Exception as error:  # the reader's code may raise any exception
        return Verdict(False, f"not yet: {_describe(error, answer)}")
    return Verdict(True, "right")


def _checkers(notebook: str) -> dict[str, Callable]:
    number = re.match(r"\d\d", notebook)
    try:
        module = importlib.import_module(f"{__name__}.nb{number.group()}") if number else None
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.nb{number.group()}":
            raise
        module = None
    checkers = {}
    for thing in vars(module).values() if module else ():
        name = getattr(thing, "exercise", None)
        if isinstance(name, str) and name.startswith(f"{notebook}/"):
            checkers[name] = thing
    return checkers


def _detect_none(answer):
    """Return the answer; if it is a plain function, wrap it so that it raises _Unfinished instead of returning None.

    If the function returned something before, the wrapper raises a Hint instead.
    """
    if not isinstance(answer, types.FunctionType):
        return answer
    returned = False

    @functools.wraps(answer)
    def call(*args, **kwargs):
        nonlocal returned
        result = answer(*args, **kwargs)
        if result is None or result is ...:
            if returned:
                raise Hint("your function returns nothing for some inputs: every case needs a `return` with a value")
            raise _Unfinished
        returned = True
        return result

    return call


def _describe(error: Exception, answer) -> str:
    """Describe an exception in one sentence, with the line of the reader's code that raised the exception, if known."""
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    function = answer.__init__ if isinstance(answer, type) else answer
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if frames:
        kind = "class" if isinstance(answer, type) else "function"
        return f"your {kind} stopped with {what} (in the line `{frames[-1].line}`)"
    if isinstance(answer, type):
        return f"your class {answer.__name__} stopped with {what}"
    if isinstance(answer, types.FunctionType):
        return f"your function cannot be called as in the exercise, or its result cannot be used ({what})"
    return f"your answer is of type {type(answer).__name__}, which cannot be used here ({what})"
