"""Breakers and metrics in one file: shared by processes, and never in the way of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from timelab.clock import FixedClock, SystemClock
from timelab.providers.breaker import Policy
from timelab.providers.state import FILE, Known, Metrics, ProviderState, Refusal, Ticket

ROOT = Path(__file__).parents[3]
START = datetime(2026, 11, 20, tzinfo=UTC)


def make(folder: Path | None, pause_s: float = 30.0) -> ProviderState:
    return ProviderState(folder, FixedClock(START, timedelta(milliseconds=1)), Policy(5, pause_s))


def take(state: ProviderState, name: str = "a") -> Ticket:
    ticket = state.admit(name, lease_s=60)
    assert isinstance(ticket, Ticket), ticket
    return ticket


def fail(state: ProviderState, times: int, name: str = "a") -> None:
    for _ in range(times):
        state.failed(take(state, name), "connection refused")


def test_metrics_are_counted_and_kept(tmp_path: Path) -> None:
    """B55: attempts, failures, latency, tokens."""
    state = make(tmp_path)
    state.answered(take(state), latency_ms=200, tokens=(10, 40))
    state.answered(take(state), latency_ms=100, tokens=(None, None))
    state.failed(take(state), "refused", counts=False)
    state.skipped("a")
    assert state.read()["a"].metrics.attempts == 3
    state.flush()
    metrics = make(tmp_path).read()["a"].metrics
    assert (metrics.attempts, metrics.answered, metrics.failures, metrics.skipped) == (3, 2, 1, 1)
    assert (metrics.mean_latency_ms, metrics.tokens_per_s) == (150, 200.0)
    assert (metrics.tokens_in, metrics.tokens_out) == (10, 40)
    assert metrics.last_answer and metrics.last_failure and metrics.last_failure > metrics.last_answer
    assert (Metrics().mean_latency_ms, Metrics().tokens_per_s) == (None, None)


def test_five_failures_are_seen_by_the_next_process_and_a_probe_closes(tmp_path: Path) -> None:
    """B54."""
    fail(make(tmp_path), 5)
    other = make(tmp_path)
    refusal = other.admit("a", lease_s=1)
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith("left alone after 5 failures in a row (connection refused), tried again in ")
    assert isinstance(other.admit("b", lease_s=1), Ticket)
    soon = make(tmp_path, pause_s=0.000_001)
    probe = take(soon)
    assert probe.is_probe
    assert soon.admit("a", lease_s=1) == Refusal(
        "left alone after 5 failures in a row (connection refused), one call is trying it now"
    )
    soon.answered(probe, latency_ms=1, tokens=(1, 1))
    assert not take(make(tmp_path)).is_probe
    assert make(tmp_path).read()["a"].breaker == Known().breaker


def test_probe_that_says_nothing_is_given_back(tmp_path: Path) -> None:
    fail(make(tmp_path), 5)
    soon = make(tmp_path, pause_s=0.000_001)
    probe = take(soon)
    soon.dropped(probe)
    assert take(soon).is_probe


def test_probe_of_a_process_that_died_is_taken_over(tmp_path: Path) -> None:
    fail(make(tmp_path), 5)
    code = (
        "import sys; from pathlib import Path; from timelab.clock import SystemClock;"
        "from timelab.providers.breaker import Policy; from timelab.providers.state import ProviderState;"
        "print(ProviderState(Path(sys.argv[1]), SystemClock(), Policy(5, 1e-6)).admit('a', lease_s=1e6))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert "is_probe=True" in said
    soon = ProviderState(tmp_path, SystemClock(), Policy(5, 1e-6))
    assert take(soon).is_probe


def test_of_many_processes_one_gets_the_probe(tmp_path: Path) -> None:
    """B54: exactly one at a time."""
    fail(make(tmp_path), 5)
    code = (
        "import sys; from pathlib import Path; from timelab.clock import SystemClock;"
        "from timelab.providers.breaker import Policy; from timelab.providers.state import ProviderState;"
        "state = ProviderState(Path(sys.argv[1]), SystemClock(), Policy(5, 1e-6));"
        "print(type(state.admit('a', lease_s=1e6)).__name__, flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    children = [
        subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(5)
    ]
    said = [child.stdout.readline().strip() for child in children if child.stdout is not None]
    for child in children:
        child.communicate("")
    assert sorted(said) == ["Refusal"] * 4 + ["Ticket"]


ODD = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"version": 2, "providers": {}}',
    b'{"version": 1, "providers": []}',
    b'{"version": 1, "providers": {"a": {}}}',
    b'{"version": 1, "providers": {"a": {"breaker": {"failures": -1}, "metrics": {}}}}',
    b'{"version": 1, "providers": {"a": {"breaker": {"failures": true}, "metrics": {}}}}',
    b'{"version": 1, "providers": {"a": {"breaker": {"opened_at_s": "x"}, "metrics": {}}}}',
    b'{"version": 1, "providers": {"a": {"breaker": {"opened_at_s": NaN}, "metrics": {}}}}',
    b'{"version": 1, "providers": {"a": {"breaker": {"reason": 5}, "metrics": {}}}}',
    b'{"version": 1, "providers": {"a": {"breaker": {"more": 5}, "metrics": {}}}}',
    b"[" * 100_000,
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("data", ODD, ids=range(len(ODD)))
def test_odd_content_means_to_start_anew(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    state = make(tmp_path)
    assert state.read() == {}
    fail(state, 1)
    assert make(tmp_path).read()["a"].breaker.failures == 1


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    state = make(tmp_path)
    fail(state, 5)
    assert isinstance(state.admit("a", lease_s=1), Refusal)
    memory = make(None)
    fail(memory, 5)
    assert isinstance(memory.admit("a", lease_s=1), Refusal) and not isinstance(
        make(None).admit("a", lease_s=1), Refusal
    )


def test_threads_and_processes_lose_no_count(tmp_path: Path) -> None:
    state = ProviderState(tmp_path, SystemClock(), Policy(1_000_000))
    code = (
        "import sys; from pathlib import Path; from timelab.clock import SystemClock;"
        "from timelab.providers.breaker import Policy; from timelab.providers.state import ProviderState;"
        "s = ProviderState(Path(sys.argv[1]), SystemClock(), Policy(1000000));"
        "[s.failed(s.admit('a', lease_s=1), 'x') for _ in range(20)]"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    children = [subprocess.Popen(argv, cwd=ROOT, env=dict(os.environ)) for _ in range(2)]
    threads = [threading.Thread(target=fail, args=(state, 20)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait(60) for child in children] == [0, 0]
    known = make(tmp_path).read()["a"]
    assert (known.metrics.failures, known.breaker.failures) == (80, 80)


def test_the_file_is_the_users_own_and_holds_no_more_than_needed(tmp_path: Path) -> None:
    fail(make(tmp_path), 1)
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    assert set(json.loads((tmp_path / FILE).read_bytes())["providers"]["a"]) == {"breaker", "metrics"}


def test_a_breaker_can_be_closed_by_hand(tmp_path: Path) -> None:
    state = make(tmp_path)
    fail(state, 5)
    state.reset("a")
    assert not take(state).is_probe
    assert state.read()["a"].metrics.failures == 5
