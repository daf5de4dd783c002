"""Compare two implementations: check that their results are equal, and measure both alternately.

"Ours" is the implementation in this package, and "peer" is the implementation with which it is compared.
"""

import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import cv2
import numpy as np
import torch

LEAST_SECONDS = 0.005  # shorter calls are repeated within one measurement
Call = Callable[[], object]
Clock = Callable[[], float]
wall = time.perf_counter
# CPU time of this process, which equals the wall time for one thread on an idle machine.
processor = time.process_time
ONE_THREAD = "one thread, CPU time"


class Skipped(Exception):
    """Raised if an entry cannot be measured on this machine. The message says why and what to do."""


class Unequal(Exception):
    """Raised if the results of the two implementations differ. The message says where."""


def need(package: str, distribution: str = "") -> ModuleType:
    """Import and return a package, or raise Skipped with the command that installs it."""
    try:
        return importlib.import_module(package)
    except ImportError:
        raise Skipped(f"{distribution or package} is not installed: python -m pip install 'seglib[bench]'") from None


def check_equal(ours: object, peer: object, what: str, tolerance: float = 0.0) -> None:
    """Raise Unequal if the shapes differ, or values by more than `tolerance` times the largest value of the peer."""
    actual, expected = (np.asarray(side, np.float64) for side in (ours, peer))
    if actual.shape != expected.shape:
        raise Unequal(f"{what}: ours has the shape {actual.shape}, the peer's {expected.shape}")
    difference = np.abs(actual - expected).max(initial=0)
    if not difference <= tolerance * np.abs(expected).max(initial=0):  # also true for NaN
        raise Unequal(f"{what}: ours and the peer's differ by up to {difference:.3g}")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set the number of threads of PyTorch and OpenCV within the context."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def interleaved(ours: Call, peer: Call, repeats: int, clock: Clock = wall) -> tuple[list[float], list[float]]:
    """Return the seconds per call of both functions, measured alternately `repeats` times after a warm-up."""
    calls = [(side, _calls_a_sample(side, clock)) for side in (ours, peer)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for (side, number), seconds in zip(calls, times, strict=True):
            seconds.append(_seconds(side, number, clock))
    return times


def alone(call: Call, repeats: int, clock: Clock = wall) -> list[float]:
    """Return the seconds per call, measured `repeats` times after a warm-up."""
    number = _calls_a_sample(call, clock)
    return [_seconds(call, number, clock) for _ in range(repeats)]


def _calls_a_sample(call: Call, clock: Clock) -> int:
    """Return the number of calls that together take at least LEAST_SECONDS, based on the fastest warm-up call."""
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
    """Return the first and the third quartile; a single value is returned twice."""
    if len(values) == 1:
        return [values[0]] * 2
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


def contest(
    ours: Sequence[float], peer: Sequence[float], unit: str, convert: Callable[[float], float], more_is_better: bool
) -> dict:
    """Return the results of an entry that compares two implementations.

    Args:
        ours: Measurements of our implementation, in seconds or bytes.
        peer: Measurements of the other implementation, each made after the measurement of ours with the same index.
        unit: The unit of the results.
        convert: Function that converts a measurement to this unit.
        more_is_better: Whether larger results are better.

    Returns:
        Medians, quartiles and ratios. `ratio` is above 1 if ours is faster or needs less memory. `spread` contains the
        quartiles of the ratios of measurements with the same index.
    """
    our_values, peer_values = [convert(value) for value in ours], [convert(value) for value in peer]

    def ratio(a: float, b: float) -> float:
        return a / b if more_is_better else b / a

    middle = statistics.median(our_values), statistics.median(peer_values)
    return {
        "unit": unit,
        "ours": middle[0],
        "peer": middle[1],
        "ratio": ratio(*middle),
        "spread": quartiles([ratio(a, b) for a, b in zip(our_values, peer_values, strict=True)]),
        "ours_spread": quartiles(our_values),
        "peer_spread": quartiles(peer_values),
        "repeats": len(our_values),
    }


def single(values: Sequence[float], unit: str) -> dict:
    """Return the results of an entry without a comparison."""
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
