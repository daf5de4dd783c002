"""Is everything here that seglib needs?  `examine` looks and says what to do; it changes nothing.

Everything but Python's own modules is imported where it is looked at: what the doctor reports as missing must not be
what keeps it from starting.
"""

from collections.abc import Iterator
from pathlib import Path

from .contents import check_data, check_weights
from .finding import FAULT, NOTE, OK, Finding
from .machine import check_memory, check_processor, check_runs, check_torch
from .packages import check_optional, check_packages, check_python

__all__ = ["FAULT", "NOTE", "OK", "Finding", "examine"]


def examine(root: Path | str = "data", runs: Path | str = "runs") -> Iterator[Finding]:
    """Look at everything, one finding after the other; `root` is for data sets, `runs` for training runs.

    A check that itself breaks becomes a fault, so that the others are made in any case.
    """
    checks = (
        ("python", check_python), ("packages", check_packages), ("torch", check_torch), ("processor", check_processor),
        ("memory", check_memory), ("runs", lambda: check_runs(Path(runs))), ("data", lambda: check_data(Path(root))),
        ("weights", check_weights), ("optional", check_optional),
    )  # fmt: skip
    for subject, check in checks:
        try:
            yield from check()
        except ImportError as error:
            yield Finding(FAULT, subject, f"could not be looked at ({error})", "install the packages named above first")
        except Exception as error:  # whatever it is, a reader wants to know it, and the rest too
            yield Finding(FAULT, subject, f"could not be looked at ({type(error).__name__}: {error})")
