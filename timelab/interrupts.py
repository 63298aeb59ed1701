"""Ctrl-C, a kill, a closed terminal: they stop the work, never the record of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """Is SIGTERM or SIGHUP: the machine shuts down, a session ends. Nobody decided about the work, as with Ctrl-C."""


class Hold:
    """Is a stretch in which signals wait; `lifted` lets them through, as `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self._is_open = False
        self._due: int | None = None

    def _take(self, number: int, frame: FrameType | None) -> None:
        # Of several that wait the first tells what it was.
        self._due = self._due or number
        self._raise_if_open()

    def _raise_if_open(self) -> None:
        if self._is_open:
            self._raise()

    def _raise(self) -> None:
        if self._due is not None:
            # Shut first: a second signal must not break into what follows from the first.
            self._is_open, number, self._due = False, self._due, None
            _stop(number, None)

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Lets signals through, one that waits at once; raises `KeyboardInterrupt` for the first and holds the rest."""
        self._is_open = True
        try:
            self._raise_if_open()
            yield
        finally:
            self._is_open = False


@contextmanager
def held() -> Iterator[Hold]:
    """Makes SIGINT, SIGTERM and SIGHUP wait until the end, where the first that came raises `KeyboardInterrupt`,
    of which `Terminated` is the kind for the last two.

    Signals that are ignored stay ignored, as `nohup` and background jobs need. Outside of the main thread, which alone
    takes signals, it does nothing.
    """
    hold = Hold()
    if threading.current_thread() is not threading.main_thread():
        yield hold
        return
    before = {number: signal.getsignal(number) for number in _NUMBERS}
    wanted = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in wanted:
        signal.signal(number, hold._take)
    try:
        yield hold
    finally:
        for number in wanted:
            signal.signal(number, before[number])
    hold._raise()


def stop_on_signals() -> None:
    """Makes SIGTERM and SIGHUP raise `Terminated`, which is Ctrl-C to all that do not tell them apart.

    For commands that record, or give back, what they interrupt.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated
