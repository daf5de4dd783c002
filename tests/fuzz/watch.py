"""Run the worker and watch it: crashes and hangs are recorded, and the next case starts."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

PATIENCE = 1200  # seconds of silence on a busy machine; the worker has a shorter limit of its own
REPOSITORY = Path(__file__).resolve().parents[2]
WORKER = ["-m", "tests.fuzz.worker"]


@dataclass
class Tally:
    """The results of the cases of one kind; `faults` lists those that were neither read nor refused."""

    read: int = 0
    refused: int = 0
    slowest_seconds: float = 0.0
    peak_megabytes: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.read + self.refused + len(self.faults)

    def add(self, report: dict) -> None:
        if report["found"] == "wrong":
            self.faults.append(f"case {report['case']}: {report['detail']}")
        else:
            setattr(self, report["found"], getattr(self, report["found"]) + 1)
        self.slowest_seconds = max(self.slowest_seconds, report["seconds"])
        self.peak_megabytes = max(self.peak_megabytes, report["peak"] >> 20)

    def to_dict(self) -> dict:
        return {"tried": self.tried, **asdict(self), "slowest_seconds": round(self.slowest_seconds, 2)}


def run(plans: dict[str, int], progress: Callable[[int], object] = lambda count: None) -> dict[str, Tally]:
    """Run the first `plans[kind]` cases of each kind; `progress` gets the number of newly finished cases."""
    tallies, remaining = {kind: Tally() for kind in plans}, {kind: (0, count) for kind, count in plans.items() if count}
    while remaining:
        ended = _one_worker(remaining, tallies, progress)
        if remaining:  # the worker stopped early: its current case is the fault
            kind, (first, count) = next(iter(remaining.items()))
            tallies[kind].faults.append(f"case {first}: the process {ended}")
            _done(remaining, kind, first)
    return tallies


def _one_worker(remaining: dict, tallies: dict, progress: Callable[[int], object]) -> str:
    """Let one process run the remaining cases and remove those that are done; return how it ended."""
    words = [f"{kind}:{first}:{count}" for kind, (first, count) in remaining.items()]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    with (
        subprocess.Popen(
            [sys.executable, *WORKER, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        ) as process,
        selectors.DefaultSelector() as selector,
    ):
        selector.register(process.stdout, selectors.EVENT_READ)
        rest = b""
        while True:
            if not selector.select(PATIENCE):
                process.kill()
                return f"was silent for {PATIENCE} seconds"
            piece = os.read(process.stdout.fileno(), 1 << 16)
            if not piece:
                return f"ended with status {process.wait()}"
            *lines, rest = (rest + piece).split(b"\n")
            for report in map(json.loads, lines):
                tallies[report["kind"]].add(report)
                _done(remaining, report["kind"], report["case"])
            progress(len(lines))


def _done(remaining: dict, kind: str, case: int) -> None:
    first, count = remaining[kind]
    remaining[kind] = (case + 1, count - (case + 1 - first))
    if remaining[kind][1] == 0:
        del remaining[kind]
