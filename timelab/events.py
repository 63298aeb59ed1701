"""What happened during a run, as it happens: append-only JSON lines in `logs/events.jsonl` that anybody may tail.

A line is `{"data": {…}, "event": "…", "time": "…"}`. Readers skip what they do not understand, so kinds may be added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from timelab.clock import Clock, timestamp

EVENTS_FILE = "logs/events.jsonl"
Value = str | int | float | bool | None


class EventKind(StrEnum):
    """What can happen."""

    RUN_STARTED = "run.started"
    SHELL_ENTERED = "shell.entered"
    SANDBOX_CHOSEN = "sandbox.chosen"
    TASK_STARTED = "task.started"
    PROVIDER_CALL = "provider.call"
    PROVIDER_SKIPPED = "provider.skipped"
    PROGRESS = "progress"
    FALLBACK = "fallback"
    TASK_ENDED = "task.ended"
    SECRET_FOUND = "secret.found"
    RUN_ENDED = "run.ended"


@dataclass(frozen=True)
class Event:
    """Is one thing that happened at one time."""

    time: str
    kind: EventKind
    data: dict[str, Value] = field(default_factory=dict)

    def to_line(self) -> bytes:
        """Returns the event as one line of JSON."""
        document = {"data": self.data, "event": self.kind.value, "time": self.time}
        return (
            json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(
                "utf-8", "backslashreplace"
            )
            + b"\n"
        )


class EventLog:
    """Appends events to a file. One write a line, so that two processes cannot tear each other's lines.

    Args:
        path: the file; it is made if need be.
        clock: tells when.
        mask: takes secrets out of every string before it reaches the disk (style O3).
    """

    def __init__(self, path: Path, clock: Clock, mask: Callable[[str], str] = str) -> None:
        self._path, self._clock, self._mask = path, clock, mask

    def emit(self, kind: EventKind, **data: Value) -> Event:
        """Appends one event and returns it."""
        clean = {key: self._mask(value) if isinstance(value, str) else value for key, value in data.items()}
        event = Event(time=timestamp(self._clock.now()), kind=kind, data=clean)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, event.to_line())
        finally:
            os.close(descriptor)
        return event
