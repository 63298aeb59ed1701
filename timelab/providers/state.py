"""What is known of the providers, shared by all processes of a clone: breakers and metrics in one file (B54, B55).

Each commit is a new process, so a breaker that lived in memory would never open. The file is a convenience: one that
cannot be read or written, or holds anything odd, stops no run.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from timelab.atomic import file_lock, process_start, write_atomic
from timelab.clock import Clock, timestamp
from timelab.errors import StoreError
from timelab.providers import breaker as circuit
from timelab.providers.breaker import CLOSED, Breaker, Policy

FILE, LOCK = "providers.json", "providers.lock"
_VERSION = 1
_LOCK_S = 5.0
_FLUSH_S = 2.0
"""How long answers may be counted in memory: writing each would cost more than a small model takes to answer."""

_MAX_BYTES = 1 << 20
_calls = count(1)


@dataclass(frozen=True)
class Metrics:
    """Counts what came of the calls to one provider; times are of answers, in milliseconds of wall clock."""

    attempts: int = 0
    answered: int = 0
    failures: int = 0
    skipped: int = 0
    latency_ms: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    counted_ms: int = 0
    """The part of `latency_ms` whose answers told their tokens."""

    last_answer: str | None = None
    last_failure: str | None = None

    def __add__(self, other: Metrics) -> Metrics:
        """Returns the sum, with the later moments."""
        summed: dict[str, Any] = {}
        for name, one in asdict(self).items():
            two = getattr(other, name)
            summed[name] = one + two if isinstance(one, int) else max(filter(None, (one, two)), default=None)
        return Metrics(**summed)

    @property
    def mean_latency_ms(self) -> int | None:
        """Returns the mean time of an answer, None before the first."""
        return round(self.latency_ms / self.answered) if self.answered else None

    @property
    def tokens_per_s(self) -> float | None:
        """Returns how many tokens came out in a second of waiting, None where no answer told its tokens."""
        return round(self.tokens_out * 1000 / self.counted_ms, 1) if self.counted_ms else None


@dataclass(frozen=True)
class Known:
    """Is all that is known of one provider."""

    breaker: Breaker = CLOSED
    metrics: Metrics = Metrics()


@dataclass(frozen=True)
class Ticket:
    """Is leave to make one call; it must be given back by `answered`, `failed` or `dropped`."""

    provider: str
    caller: str
    is_probe: bool


@dataclass(frozen=True)
class Refusal:
    """Says why a call may not be made now."""

    reason: str


class ProviderState:
    """Keeps breakers and metrics by provider's name; safe for threads and for processes.

    Args:
        folder: where the file lies, `<common git dir>/timelab`; None keeps all in memory.
        clock: tells the time; pauses run by `now()`, which all processes share.
        policy: when a breaker opens, and for how long.
    """

    def __init__(self, folder: Path | None, clock: Clock, policy: Policy | None = None) -> None:
        self._folder, self._clock = folder, clock
        self.policy = policy or Policy()
        self._mutex = threading.Lock()
        self._memory: dict[str, Known] = {}
        self._pending: dict[str, Metrics] = {}
        self._flushed_s = clock.monotonic_s()
        self._read: tuple[tuple[int, int, int], dict[str, Known]] | None = None
        self._me = f"{os.getpid()}/{process_start(os.getpid())}"

    def read(self) -> dict[str, Known]:
        """Returns what is known by provider's name, this process's own counts included."""
        with self._mutex:
            found = self._load()
            for name, metrics in self._pending.items():
                known = found.get(name, Known())
                found[name] = replace(known, metrics=known.metrics + metrics)
            return found

    def admit(self, provider: str, *, lease_s: float) -> Ticket | Refusal:
        """Returns leave to call the provider, or why not now; in a half-open breaker one call at a time gets it.

        Args:
            provider: its name in the configuration.
            lease_s: how long the call takes at most, in seconds; a probe that hangs is given up then.
        """
        caller = f"{self._me}/{next(_calls)}"
        now_s = self._now_s()
        seen = self._look(provider)
        if circuit.state_of(seen, now_s, self.policy) == "closed":
            return Ticket(provider, caller, is_probe=False)
        taken: list[Breaker | None] = []

        def take(breaker: Breaker) -> Breaker:
            found = circuit.admit(breaker, now_s, self.policy, caller=caller, lease_s=lease_s, is_alive=_is_alive)
            taken.append(found)
            return found or breaker

        after = self._change(provider, take)
        if taken[-1] is not None:
            return Ticket(provider, caller, is_probe=after.prober == caller)
        left_s = circuit.wait_s(after, now_s, self.policy)
        why = f"tried again in {left_s:.0f} s" if left_s else "one call is trying it now"
        return Refusal(f"left alone after {after.failures} failures in a row ({after.reason}), {why}")

    def answered(self, ticket: Ticket, *, latency_ms: int, tokens: tuple[int | None, int | None]) -> None:
        """Counts an answer and closes the breaker; `tokens` are those in and out, None where the engine tells none."""
        tokens_in, tokens_out = tokens
        self._count(
            ticket.provider,
            Metrics(
                attempts=1,
                answered=1,
                latency_ms=latency_ms,
                tokens_in=tokens_in or 0,
                tokens_out=tokens_out or 0,
                counted_ms=latency_ms if tokens_out is not None else 0,
                last_answer=timestamp(self._clock.now()),
            ),
        )
        if self._look(ticket.provider) != CLOSED:
            self._change(ticket.provider, circuit.succeeded)
        elif self._clock.monotonic_s() - self._flushed_s > _FLUSH_S:
            self.flush()

    def failed(self, ticket: Ticket, reason: str, *, counts: bool = True) -> None:
        """Counts a failure of the provider, which may open its breaker; `reason` must hold no secret.

        Without `counts` it was the request that failed: the metrics have it, the breaker does not.
        """
        now_s = self._now_s()
        self._count(ticket.provider, Metrics(attempts=1, failures=1, last_failure=timestamp(self._clock.now())))
        if not counts:
            self.dropped(ticket)
            return
        self._change(
            ticket.provider,
            lambda breaker: circuit.failed(breaker, now_s, self.policy, caller=ticket.caller, reason=reason[:300]),
        )

    def dropped(self, ticket: Ticket) -> None:
        """Gives the leave back without a verdict: the call was stopped, or it was the request that was wrong."""
        if ticket.is_probe:
            self._change(ticket.provider, lambda breaker: circuit.released(breaker, ticket.caller))

    def skipped(self, provider: str) -> None:
        """Counts a call that was not made."""
        self._count(provider, Metrics(skipped=1))

    def reset(self, provider: str) -> None:
        """Closes a breaker because somebody says so; the counts stay."""
        self._change(provider, circuit.succeeded)

    def flush(self) -> None:
        """Writes the counts of this process to the file."""
        if self._pending:
            self._change(None, lambda breaker: breaker)

    def _count(self, provider: str, metrics: Metrics) -> None:
        with self._mutex:
            self._pending[provider] = self._pending.get(provider, Metrics()) + metrics

    def _look(self, provider: str) -> Breaker:
        with self._mutex:
            return self._load().get(provider, Known()).breaker

    def _change(self, provider: str | None, change: Callable[[Breaker], Breaker]) -> Breaker:
        """Changes one breaker, and writes what was counted with it; one process at a time."""
        with self._mutex, self._locked():
            found = self._load(must_be_fresh=True)
            pending, self._pending = self._pending, {}
            for name, metrics in pending.items():
                known = found.get(name, Known())
                found[name] = replace(known, metrics=known.metrics + metrics)
            after = CLOSED
            if provider is not None:
                known = found.get(provider, Known())
                after = change(known.breaker)
                found[provider] = replace(known, breaker=after)
            self._save(found)
            self._flushed_s = self._clock.monotonic_s()
            return after

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        with contextlib.ExitStack() as stack:
            # Without the lock a count may be lost; that is better than a run that is not done.
            with contextlib.suppress(OSError, StoreError):
                stack.enter_context(file_lock(self._folder / LOCK, timeout_s=_LOCK_S))
            yield

    def _load(self, *, must_be_fresh: bool = False) -> dict[str, Known]:
        if self._folder is None:
            return dict(self._memory)
        path = self._folder / FILE
        try:
            about = path.stat()
            # A write puts another file in its place. Numbers of files are used again, so a stamp may deceive within a
            # tick of the clock: good enough for a look, not for a change.
            stamp = (about.st_ino, about.st_mtime_ns, about.st_size)
            if must_be_fresh or self._read is None or self._read[0] != stamp:
                self._read = (stamp, _parse(path.read_bytes()))
        except OSError:
            # Never written, or not writable here: what this process saw is all there is.
            return dict(self._memory)
        return dict(self._read[1])

    def _save(self, found: Mapping[str, Known]) -> None:
        self._memory = dict(found)
        if self._folder is None:
            return
        body = {name: asdict(known) for name, known in sorted(found.items())}
        text = json.dumps({"version": _VERSION, "providers": body}, indent=1, ensure_ascii=True)
        with contextlib.suppress(OSError):
            write_atomic(self._folder / FILE, text.encode() + b"\n", mode=0o600)

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def _is_alive(caller: str) -> bool:
    pid, _, rest = caller.partition("/")
    return pid.isascii() and pid.isdigit() and process_start(int(pid)) == rest.rpartition("/")[0]


def _parse(data: bytes) -> dict[str, Known]:
    """Returns what a file says; anything odd in it means to start anew."""
    try:
        document: Any = json.loads(data[:_MAX_BYTES])
        if document["version"] != _VERSION:
            return {}
        return {str(name): _known(body) for name, body in document["providers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _known(body: Mapping[str, Any]) -> Known:
    breaker, metrics = Breaker(**body["breaker"]), Metrics(**body["metrics"])
    numbers = [breaker.failures, *(value for name, value in asdict(metrics).items() if not name.startswith("last_"))]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("not a count")
    for moment in (breaker.opened_at_s, breaker.probe_until_s):
        if moment is not None and (
            isinstance(moment, bool) or not isinstance(moment, (int, float)) or moment != moment
        ):
            raise ValueError("not a moment")
    for text in (breaker.prober, breaker.reason, metrics.last_answer, metrics.last_failure):
        if text is not None and not isinstance(text, str):
            raise ValueError("not a text")
    return Known(breaker, metrics)
