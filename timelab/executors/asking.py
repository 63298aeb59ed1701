"""Many questions at once, their answers in order: what an executor writes must not depend on who was quicker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

R = TypeVar("R")
_AHEAD = 4
"""How many answers a worker may be ahead of the one that is waited for: a slow first case must not fill the memory."""

_JOIN_S = 2.0


class Stopped(Exception):
    """Ends a question whose answer nobody waits for any more; the provider then stops its engine."""


class Stop:
    """Says whether the work is called off."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Calls the work off."""
        self._event.set()

    def check(self) -> None:
        """Raises `Stopped` when the work is called off."""
        if self._event.is_set():
            raise Stopped


class _Pool(Generic[R]):
    """Asks in threads; they are daemons, so that an engine which hangs cannot keep the process."""

    def __init__(self, count: int, ask: Callable[[int, Stop], R], workers: int) -> None:
        self._count, self._ask, self._window = count, ask, workers * _AHEAD
        self._next = self._taken = 0
        self._done: dict[int, R | BaseException] = {}
        self._change = threading.Condition()
        self._stop = Stop()
        self._is_over = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def take(self, number: int) -> R:
        """Waits for an answer and returns it, or raises what came instead."""
        with self._change:
            while number not in self._done:
                self._change.wait()
            found = self._done.pop(number)
            self._taken = number + 1
            self._change.notify_all()
        if isinstance(found, BaseException):
            raise found
        return found

    def end(self) -> None:
        """Calls the rest off, and waits a moment for the engines to be told."""
        self._stop.set()
        with self._change:
            self._is_over = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _work(self) -> None:
        while (number := self._draw()) is not None:
            found: R | BaseException
            try:
                found = self._ask(number, self._stop)
            except BaseException as error:
                found = error
            with self._change:
                self._done[number] = found
                self._change.notify_all()

    def _draw(self) -> int | None:
        with self._change:
            while not self._is_over and self._next >= self._taken + self._window:
                self._change.wait()
            if self._is_over or self._next >= self._count:
                return None
            self._next += 1
            return self._next - 1


def in_order(count: int, ask: Callable[[int, Stop], R], *, concurrency: int = 1) -> Generator[R, None, None]:
    """Yields `ask(0)` … `ask(count - 1)` in this order, with at most `concurrency` under way.

    Closing the iterator, Ctrl-C included, calls off what is under way: `Stop.check` raises in it. With one at a time
    everything happens in the caller's thread.
    """
    workers = min(concurrency, count)
    if workers <= 1:
        stop = Stop()
        for number in range(count):
            yield ask(number, stop)
        return
    pool = _Pool(count, ask, workers)
    try:
        for number in range(count):
            yield pool.take(number)
    finally:
        pool.end()
