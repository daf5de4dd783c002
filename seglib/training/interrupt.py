"""Stop between two steps: Ctrl-C and SIGTERM wait for the end of the step, and all processes stop at the same one."""

import signal
import threading
import time

from .. import distributed

MAX_STEPS_BETWEEN = 20  # two exchanges between processes are at most this many steps apart
SECONDS_BETWEEN = 5.0  # and about this long; torchrun kills processes thirty seconds after SIGTERM


class Interrupt:
    """Context manager in which Ctrl-C or SIGTERM only sets `requested`; a second one stops at once."""

    requested = False

    def __enter__(self) -> "Interrupt":
        self.previous = {}
        if threading.current_thread() is threading.main_thread():  # signals reach no other thread
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
    """Lets all processes act at the same step when one of them has to.

    Exchanging flags costs a message, so it happens every few steps; how many depends on the slowest process.
    """

    def __init__(self) -> None:
        self.steps, self.next_exchange, self.last_time = 0, 1, time.perf_counter()

    def any_process(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each of `flags` whether it is true in any process; call this once a step."""
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
