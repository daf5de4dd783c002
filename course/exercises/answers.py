"""Helpers for the checkers: call the reader's code, convert its result to a number, and compare numbers."""

from collections.abc import Callable

import numpy as np
import torch

from . import Hint


def attempt(what: str, call: Callable):
    """Return the result of `call()`. Raise a Hint for any exception except NotImplementedError."""
    try:
        return call()
    except NotImplementedError:
        raise
    except Exception as error:  # the reader's code may raise any exception
        raise Hint(f"{what} stopped with {type(error).__name__}: {error}".splitlines()[0]) from None


def array(answer, dtype=None) -> np.ndarray:
    """Convert a number, a list, an array, or a tensor with or without gradients to an array."""
    return np.asarray(answer.detach() if isinstance(answer, torch.Tensor) else answer, dtype)


def number(answer) -> float:
    """Convert a number, or an array or a tensor with one element, to a float. Raise a Hint for anything else."""
    answer = array(answer)
    if answer.size != 1 or answer.dtype.kind not in "biuf":
        raise Hint(f"the answer must be one number, but it has shape {answer.shape} and type {answer.dtype}")
    return float(answer.reshape(()))


def expect_close(answer, expected, mistakes: list[tuple], default_hint: str) -> None:
    """Raise a Hint unless the answer is close to the expected value.

    Args:
        answer: The reader's number or array.
        expected: The right number or array.
        mistakes: For each common mistake, the wrong result and the hint.
        default_hint: The hint for any other wrong answer.
    """
    if np.allclose(answer, expected, rtol=1e-6, atol=1e-7):
        return
    for wrong, hint in mistakes:
        if np.shape(wrong) == np.shape(answer) and np.allclose(answer, wrong, rtol=1e-6, atol=1e-7):
            raise Hint(hint)
    raise Hint(default_hint)
