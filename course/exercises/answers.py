"""What checkers ask of an answer: one number, close to the right one, from code that may stop anywhere."""

from collections.abc import Callable

import numpy as np
import torch

from . import Hint


def attempt(what: str, call: Callable):
    """The result of `call`; what goes wrong in there becomes a Hint, except that something is not written yet."""
    try:
        return call()
    except NotImplementedError:
        raise
    except Exception as error:  # a reader's mistake may be any exception
        raise Hint(f"{what} stopped with {type(error).__name__}: {error}".splitlines()[0]) from None


def number(found) -> float:
    """One number out of a float, an array or a tensor; a Hint for anything else."""
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
    if found.size != 1 or found.dtype.kind not in "biuf":
        raise Hint(f"the answer must be one number, but it has shape {found.shape} and type {found.dtype}")
    return float(found.reshape(()))


def compare(found, right, mistakes: list[tuple], otherwise: str) -> None:
    """Hint unless `found` is `right`: that of the mistake whose result it is, else `otherwise`."""
    if np.allclose(found, right, rtol=1e-6, atol=1e-7):
        return
    for wrong, hint in mistakes:
        if np.shape(wrong) == np.shape(found) and np.allclose(found, wrong, rtol=1e-6, atol=1e-7):
            raise Hint(hint)
    raise Hint(otherwise)
