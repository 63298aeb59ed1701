"""Time and chance as arguments, so that a test can fix both (style S4)."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

TIMESTAMP_PATTERN = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z"
_TIMESTAMP_CHARS = 27


class Clock(Protocol):
    """Tells the time. Must not go backwards within a process."""

    def now(self) -> datetime:
        """Returns the time in UTC."""

    def monotonic_s(self) -> float:
        """Returns seconds from some fixed point."""


class Randomness(Protocol):
    """Draws what must differ from run to run."""

    def seed(self) -> int:
        """Returns a seed in 0 … 2^31 - 1: every engine takes that range."""

    def token(self, size_bytes: int) -> str:
        """Returns lower-case hex of `size_bytes` random bytes."""


class SystemClock:
    """Reads the machine's clock."""

    def now(self) -> datetime:
        """Returns the time in UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Returns the monotonic clock."""
        return time.monotonic()


class SystemRandomness:
    """Asks the operating system."""

    def seed(self) -> int:
        """Returns 31 random bits."""
        return int.from_bytes(os.urandom(4), "big") >> 1

    def token(self, size_bytes: int) -> str:
        """Returns random hex."""
        return os.urandom(size_bytes).hex()


class FixedClock:
    """Starts where it is told and moves by `step` at every look; for tests."""

    def __init__(self, start: datetime, step: timedelta = timedelta(microseconds=1)) -> None:
        self._next = start
        self._step = step
        self._start = start

    def now(self) -> datetime:
        """Returns the next instant."""
        instant = self._next
        self._next += self._step
        return instant

    def monotonic_s(self) -> float:
        """Returns the seconds since the start."""
        return (self._next - self._start).total_seconds()


class FixedRandomness:
    """Counts instead of drawing; for tests."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def seed(self) -> int:
        """Returns the next number."""
        self._next += 1
        return self._next - 1

    def token(self, size_bytes: int) -> str:
        """Returns the next number as hex of that size."""
        return f"{self.seed():0{2 * size_bytes}x}"


def timestamp(instant: datetime) -> str:
    """Returns RFC 3339 in UTC with six digits and `Z` (A28, A54, T13)."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_timestamp(text: str) -> datetime:
    """Returns the instant that `timestamp` wrote."""
    if len(text) != _TIMESTAMP_CHARS or not text.endswith("Z"):
        raise ValueError(f"not a timestamp of ours: {text[:40]!r}")
    return datetime.fromisoformat(text)
