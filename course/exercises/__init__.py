"""The exercises' checkers: one file per notebook, one function per exercise.

In `seglib/exercises/nb02.py`:

    from . import Hint, exercise

    @exercise("02_unet/1")
    def count_parameters(answer):
        if answer == 17_263_042:
            raise Hint("this is the bilinear variant; the question is about the transposed one")
        if answer != 31_037_698:
            raise Hint("count weights and biases of every convolution, and two numbers per channel of a batch norm")

A checker takes the reader's answer (a number, an array, a function, a class), raises Hint with what is
likely wrong, and returns for a right answer.  It may call an answer that is a function: whatever goes
wrong in there is told to the reader in one sentence.
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
    """There is no such exercise; the message lists those there are."""


class Hint(Exception):  # noqa: N818  (it is no error of the program)
    """Raised by a checker: what is likely wrong with the answer."""


class _Unfinished(Exception):  # noqa: N818
    """The reader's function gave back nothing."""


@dataclass(frozen=True)
class Verdict:
    """`right`: True, False, or None if not attempted; `message`: the sentence for the reader."""

    right: bool | None
    message: str


def exercise(name: str) -> Callable[[Callable], Callable]:
    """Mark a function as the checker of exercise `name`, "NOTEBOOK/NUMBER"."""

    def mark(checker: Callable) -> Callable:
        checker.exercise = name
        return checker

    return mark


def names(notebook: str) -> list[str]:
    """The exercises of a notebook ("02_unet")."""
    return list(_checkers(notebook))


def judge(name: str, answer) -> Verdict:
    """What the checker of exercise `name` says of `answer`; None and ... mean "not attempted yet".

    Never raises for a wrong answer, whatever it is.  Raises ExerciseError for an unknown name.
    """
    checkers = _checkers(name.partition("/")[0])
    if name not in checkers:
        known = f"choose from: {', '.join(checkers)}" if checkers else "this notebook has none"
        raise ExerciseError(f"There is no exercise '{name}'; {known}.")
    if answer is None or answer is ...:
        return Verdict(None, "not attempted yet")
    try:
        checkers[name](_watched(answer))
    except Hint as hint:
        return Verdict(False, f"not yet: {hint}")
    except (_Unfinished, NotImplementedError):
        return Verdict(None, "not attempted yet: your function returns nothing")
    except Exception as error:  # a reader's mistake may be any exception
        return Verdict(False, f"not yet: {_told(error, answer)}")
    return Verdict(True, "right")


def _checkers(notebook: str) -> dict[str, Callable]:
    number = re.match(r"\d\d", notebook)
    try:
        module = importlib.import_module(f"{__name__}.nb{number.group()}") if number else None
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.nb{number.group()}":
            raise
        module = None
    found = {}
    for thing in vars(module).values() if module else ():
        name = getattr(thing, "exercise", None)
        if isinstance(name, str) and name.startswith(f"{notebook}/"):
            found[name] = thing
    return found


def _watched(answer):
    """The answer; one that is a plain function tells an empty result from a wrong one."""
    if not isinstance(answer, types.FunctionType):
        return answer

    @functools.wraps(answer)
    def call(*args, **kwargs):
        result = answer(*args, **kwargs)
        if result is None or result is ...:
            raise _Unfinished
        return result

    return call


def _told(error: Exception, answer) -> str:
    """An exception in one sentence, with the line of the reader's own code where it arose."""
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    file = getattr(getattr(answer, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if own:
        return f"your function stopped with {what} (in the line `{own[-1].line}`)"
    return f"your answer is of type {type(answer).__name__}, which cannot be used here ({what})"
