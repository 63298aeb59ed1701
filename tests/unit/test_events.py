from __future__ import annotations

import json
from pathlib import Path

from tests.helpers import START
from timelab.clock import FixedClock
from timelab.events import EVENTS_FILE, EventKind, EventLog


def test_events_are_lines_in_order_with_their_times(tmp_path: Path) -> None:
    log = EventLog(tmp_path / EVENTS_FILE, FixedClock(START))
    first = log.emit(EventKind.RUN_STARTED, run_id="a" * 64)
    second = log.emit(EventKind.PROGRESS, done=1, total=None, text="ü\n\u2028 \ud800")
    lines = (tmp_path / EVENTS_FILE).read_bytes().splitlines(keepends=True)
    assert json.loads(lines[0]) == {
        "time": "2026-11-20T10:23:00.123456Z",
        "event": "run.started",
        "data": {"run_id": "a" * 64},
    }
    assert lines == [first.to_line(), second.to_line()]
    assert second.data["done"] == 1
    assert (tmp_path / EVENTS_FILE).read_bytes().count(b"\n") == 2


def test_secrets_are_masked_before_they_reach_the_disk(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e", FixedClock(START), mask=lambda text: text.replace("hunter2", "***"))
    log.emit(EventKind.PROVIDER_CALL, reason="key hunter2")
    assert b"hunter2" not in (tmp_path / "e").read_bytes()
