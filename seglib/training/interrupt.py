"""Stop training between two steps.

After Ctrl-C or SIGTERM the current step is finished, and all processes stop after the same step.
"""

import signal
import threading
import time

from .. import distributed

MAX_STEPS_BETWEEN = 20  # maximum number of steps between exchanges of flags
SECONDS_BETWEEN = 5.0  # approximate maximum time between exchanges; torchrun kills processes 30 seconds after SIGTERM


class Interrupt:
    """Context manager in which the first Ctrl-C or SIGTERM sets `requested` and the second raises KeyboardInterrupt."""

    requested = False

    def __enter__(self) -> "Interrupt":
        self.previous = {}
        if threading.current_thread() is threading.main_thread():  # only this thread can handle signals
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *_) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


class Agreement:
    """Flags that become true in all processes at the same step if they are true in any process.

    To reduce communication, the processes exchange their flags only every few steps.  The number of steps between
    exchanges depends on the slowest process.
    """

    def __init__(self) -> None:
        self.steps, self.next_exchange, self.last_time = 0, 1, time.perf_counter()

    def any_process(self, *flags: bool) -> tuple[bool, ...]:
        """Return, for each flag, whether it is true in any process.  Call this method once per step in every process.

        Between two exchanges, the method returns False for every flag, except in a run with a single process.
        """
        if distributed.world_size() == 1:
            return flags
        self.steps += 1
        if self.steps < self.next_exchange:
            return (False,) * len(flags)
        now = time.perf_counter()
        answers = distributed.all_gather((flags, now - self.last_time))
        seconds = max(elapsed for _, elapsed in answers) / self.steps
        self.steps, self.last_time = 0, now
        self.next_exchange = max(1, min(MAX_STEPS_BETWEEN, int(SECONDS_BETWEEN / seconds)))
        return tuple(any(values) for values in zip(*(flags for flags, _ in answers), strict=True))
