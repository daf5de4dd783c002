"""Ctrl-C and polite kills, held back until a good moment."""

import signal
import threading


class Interrupt:
    """Within it, Ctrl-C or a polite kill only raises `asked`, so that the step under way can be finished.

    A second Ctrl-C stops at once.
    """

    asked = False

    def __enter__(self) -> "Interrupt":
        self.previous = {}
        if threading.current_thread() is threading.main_thread():  # signals reach no other thread
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number, frame) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *_) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
