"""Two sides that take turns: equality first, then times, medians and spread."""

import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import cv2
import numpy as np
import torch

LEAST_SECONDS = 0.005  # a sample of something shorter is made of several calls
Call = Callable[[], object]
Clock = Callable[[], float]
wall = time.perf_counter
# Of this process: what the wall clock shows for one thread on a machine that has nothing else to do.
processor = time.process_time
ONE_THREAD = "one thread, timed by what the processor spent on it"


class Skipped(Exception):
    """An entry that cannot be measured here; the message says why and what to do."""


class Unequal(Exception):
    """Two sides that do not do the same work; the message says where they differ."""


def need(package: str, distribution: str = "") -> ModuleType:
    """The imported package.  Skipped, with how to install it, where it is missing."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise Skipped(f"{distribution or package} is not installed: python -m pip install 'seglib[bench]'") from None


def check_equal(ours: object, peer: object, what: str, tolerance: float = 0.0) -> None:
    """Unequal unless both hold the same numbers in the same shape, to `tolerance` of the peer's largest one."""
    mine, theirs = (np.asarray(side, np.float64) for side in (ours, peer))
    if mine.shape != theirs.shape:
        raise Unequal(f"{what}: ours has the shape {mine.shape}, the peer's {theirs.shape}")
    apart = np.abs(mine - theirs).max(initial=0)
    if not apart <= tolerance * np.abs(theirs).max(initial=0):  # a NaN is not equal either
        raise Unequal(f"{what}: ours and the peer's differ by up to {apart:.3g}")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within it PyTorch and OpenCV use so many threads."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def interleaved(ours: Call, peer: Call, repeats: int, clock: Clock = wall) -> tuple[list[float], list[float]]:
    """Seconds a call of both, `repeats` times ours, peer, ours, peer; each is called beforehand to warm up."""
    calls = [(side, _calls_a_sample(side, clock)) for side in (ours, peer)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for (side, number), seconds in zip(calls, times, strict=True):
            seconds.append(_seconds(side, number, clock))
    return times


def alone(call: Call, repeats: int, clock: Clock = wall) -> list[float]:
    """Seconds a call, `repeats` times, after one to warm up."""
    number = _calls_a_sample(call, clock)
    return [_seconds(call, number, clock) for _ in range(repeats)]


def _calls_a_sample(call: Call, clock: Clock) -> int:
    """So many that a sample is long enough; estimated from the quickest of a few calls, which also warm up."""
    first = _seconds(call, 1, clock)
    if first > 20 * LEAST_SECONDS:
        return 1
    quickest = min(_seconds(call, 1, clock) for _ in range(5))
    return max(1, round(LEAST_SECONDS / max(quickest, 1e-6)))


def _seconds(call: Call, number: int, clock: Clock) -> float:
    began = clock()
    for _ in range(number):
        call()
    return (clock() - began) / number


def quartiles(values: Sequence[float]) -> list[float]:
    """The first and the third quartile; of one value that value twice."""
    if len(values) == 1:
        return [values[0]] * 2
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


def contest(
    ours: Sequence[float], peer: Sequence[float], unit: str, convert: Callable[[float], float], more_is_better: bool
) -> dict:
    """The numbers of an entry from seconds (or bytes) taken in turns, each brought to `unit` by `convert`.

    `ratio` is above 1 where ours is faster or smaller; `spread` holds the quartiles of the ratios of neighbours.
    """
    mine, theirs = [convert(value) for value in ours], [convert(value) for value in peer]

    def ratio(a: float, b: float) -> float:
        return a / b if more_is_better else b / a

    middle = statistics.median(mine), statistics.median(theirs)
    return {
        "unit": unit,
        "ours": middle[0],
        "peer": middle[1],
        "ratio": ratio(*middle),
        "spread": quartiles([ratio(a, b) for a, b in zip(mine, theirs, strict=True)]),
        "ours_spread": quartiles(mine),
        "peer_spread": quartiles(theirs),
        "repeats": len(mine),
    }


def single(values: Sequence[float], unit: str) -> dict:
    """The numbers of an entry without a peer."""
    return {
        "unit": unit,
        "ours": statistics.median(values),
        "peer": None,
        "ratio": None,
        "spread": None,
        "ours_spread": quartiles(values),
        "peer_spread": None,
        "repeats": len(values),
    }
