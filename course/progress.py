"""Progress display while a notebook runs."""

import threading
import time
from typing import TextIO

TERMINAL_SECONDS = 0.5  # time between updates of the line on a terminal
SPARSE_SECONDS = 30  # time between lines if the output is not a terminal


class Progress:
    """Show "cell k/n" and the elapsed time on one line that is updated in place, or on new lines outside a terminal."""

    updates_in_place = True

    def __init__(self, name: str, cells: int, stream: TextIO):
        self.name, self.cells, self.stream = name, cells, stream
        self.cell = 0
        self.started = time.monotonic()
        self.terminal = self.updates_in_place and stream.isatty()
        self._done = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Progress":
        self._show()
        self._ticker.start()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._done.set()
        self._ticker.join()
        self._show("stopped" if kind else "done")
        if self.terminal:
            print(file=self.stream, flush=True)

    def seconds(self) -> float:
        """Return the seconds since the notebook started."""
        return time.monotonic() - self.started

    def _tick(self) -> None:
        while not self._done.wait(TERMINAL_SECONDS if self.terminal else SPARSE_SECONDS):
            self._show()

    def _show(self, state: str = "") -> None:
        minutes, seconds = divmod(int(self.seconds()), 60)
        line = f"{self.name:<24} cell {self.cell:>3}/{self.cells:<3} {minutes:>3}:{seconds:02} {state:<7}"
        # The line is written with a single call, so that the output of other processes does not split it.
        self.stream.write(f"\r{line}" if self.terminal else f"{line.rstrip()}\n")
        self.stream.flush()
