"""The process that runs the cases: python -m tests.fuzz.worker KIND:FIRST:COUNT ...  Prints a line of JSON per case."""

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from pathlib import Path

import numpy as np

from .kinds import KINDS

SECONDS = 60  # of processor time for one case; then a signal ends the process
MEMORY = 3 << 30  # bytes that the cases may use beyond the memory after the imports


def status(name: str) -> int:
    """Return an entry of /proc/self/status in bytes, or 0 on systems without it."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(text.split(f"{name}:")[1].split()[0]) << 10


def bound_memory() -> None:
    if status("VmSize"):
        limit = status("VmSize") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def forget_peak() -> int:
    """Reset the peak of memory; return what the process uses now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return status("VmRSS")


def run(kind: str, first: int, count: int, folder: Path, out) -> None:
    attempt = KINDS[kind].make(folder)
    held = forget_peak()
    for number in range(first, first + count):
        began, detail = time.process_time(), ""
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                verdict = attempt(np.random.default_rng([zlib.crc32(kind.encode()), number]))
        except Exception:  # any error other than the documented refusal is a fault
            verdict, detail = "wrong", traceback.format_exc()[-2000:]
        report = {"kind": kind, "case": number, "found": verdict, "detail": detail}
        report |= {"seconds": time.process_time() - began, "peak": max(0, status("VmHWM") - held)}
        print(json.dumps(report), file=out, flush=True)


def main() -> None:
    out = os.fdopen(os.dup(1), "w")  # decoders print to stderr, which is discarded
    os.dup2(2, 1)
    plans = [word.split(":") for word in sys.argv[1:]]
    for name in {kind for kind, _, _ in plans}:
        KINDS[name].imports()
    with tempfile.TemporaryDirectory() as folder:
        bound_memory()
        for kind, first, count in plans:
            place = Path(folder) / f"{kind}-{first}".replace(" ", "-")
            place.mkdir()
            run(kind, int(first), int(count), place, out)


if __name__ == "__main__":
    main()
