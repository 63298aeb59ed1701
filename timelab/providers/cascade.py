"""The router: who is asked for an answer, in which order, and what is told of each that did not give one (B49–B51).

The models are the spec's, in its order: the named one on each configured provider that serves it, then those under
`fallback:`. Nothing else is ever asked. A provider whose breaker is open is passed over, one that does not answer is
tried again a bounded number of times, and each skip and failure is an `Attempt` with its reason and an event.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from timelab.clock import Clock
from timelab.errors import MissingExtra, ProviderError, ProviderUnavailable, SpecError, TimelabError
from timelab.events import EventKind, Value
from timelab.manifest import Attempt
from timelab.providers.base import ModelInfo, Progress, Provider, Request, Response
from timelab.providers.state import ProviderState, Refusal, Ticket
from timelab.redact import mask

MAX_TRIES = 3
"""How often one provider is asked for one answer; only after `ProviderUnavailable` is there a second time."""

_FIRST_PAUSE_S, _LONGEST_REASON = 0.25, 600
_SHORTEST_SECRET = 6
_PIN = re.compile(r"@(sha256:[0-9a-f]{64})\Z")
Emit = Callable[..., object]


def _no_event(kind: EventKind, **data: Value) -> None:
    """Is where events go when nobody listens."""


@dataclass(frozen=True)
class Entry:
    """Is one configured provider: `kind` is the prefix of the models it may serve, `leaves` says that it is not here.

    `concurrency` bounds how many requests it gets at once, whoever asks in this process.
    """

    name: str
    kind: str
    make: Callable[[], Provider]
    concurrency: int = 1
    leaves: bool = False


def entries_of(providers: Mapping[str, Provider]) -> tuple[Entry, ...]:
    """Returns plain providers, by their kind, as entries; one is only made when it is asked."""
    return tuple(Entry(name, name, lambda name=name: providers[name]) for name in providers)  # type: ignore[misc]


@dataclass(frozen=True)
class Wanted:
    """Is what a run asks for: `models` in order, as the spec writes them; the parameters that it sets by name."""

    models: tuple[str, ...]
    params: frozenset[str] = frozenset()
    exact: bool = False
    allow_net: bool = False


@dataclass(frozen=True)
class Answer:
    """Is a complete answer: who gave it, to which request, and how long it took. `rank` is the model's, from 0."""

    provider: str
    rank: int
    info: ModelInfo
    request: Request
    response: Response
    took_ms: int


@dataclass(frozen=True)
class _Candidate:
    rank: int
    model: str
    pin: str | None
    entry: Entry


@dataclass
class _Found:
    """Is what a run has learnt of a candidate: `info` once it is described, `out` why it is never asked again."""

    info: ModelInfo | None = None
    is_well: bool = False
    out: str | None = None


class _Out(Exception):
    """Says that a candidate cannot answer in this run, whatever is asked."""

    def __init__(self, reason: str, outcome: str = "failed") -> None:
        super().__init__(reason)
        self.reason, self.outcome = reason, outcome


def pin_of(named: str) -> tuple[str, str | None]:
    """Returns a model's name without its pin, and the pin `sha256:…` or None (A182)."""
    pin = _PIN.search(named)
    return (named[: pin.start()], pin[1]) if pin else (named, None)


class Router:
    """Knows the providers and their state; `route` begins a run's way through them.

    Args:
        entries: the configured providers, in the order in which they are tried.
        state: breakers and metrics.
        clock: tells how long an answer took.
        secrets: values, such as keys, that no message may quote.
        sleep: waits between tries, in seconds.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        state: ProviderState,
        clock: Clock,
        *,
        secrets: Sequence[str] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.entries, self.state, self.clock, self.sleep = tuple(entries), state, clock, sleep
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
        self._made: dict[str, Provider] = {}
        self._slots = {entry.name: threading.BoundedSemaphore(max(1, entry.concurrency)) for entry in self.entries}
        self._mutex = threading.Lock()

    def provider(self, entry: Entry) -> Provider:
        """Returns the provider of an entry, made when it is first asked for."""
        with self._mutex:
            if entry.name not in self._made:
                self._made[entry.name] = entry.make()
            return self._made[entry.name]

    def serving(self, model: str) -> tuple[Entry, ...]:
        """Returns the entries that may serve a model, by the prefix of its name (A39)."""
        kind = model.partition(":")[0]
        return tuple(entry for entry in self.entries if entry.kind == kind)

    def slot(self, entry: Entry) -> AbstractContextManager[object]:
        """Holds one of the provider's places while a request is under way."""
        return self._slots.get(entry.name, nullcontext())

    def clean(self, text: str) -> str:
        """Returns a message from outside on one line, short, and without secrets (B56)."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return mask(" ".join(text.split()))[:_LONGEST_REASON]

    def quotes_secret(self, text: str) -> bool:
        """Says whether an answer holds a key."""
        return any(secret in text for secret in self._secrets)

    def route(self, wanted: Wanted, emit: Emit = _no_event) -> Route:
        """Returns the way of one run through the providers."""
        return Route(self, wanted, emit)


@dataclass
class _Notes:
    """Collects attempts in the order in which they were first made, and how often each was."""

    emit: Emit
    counts: dict[tuple[str, str, str, str | None], int] = field(default_factory=dict)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def add(self, candidate: tuple[str, str], outcome: str, reason: str | None) -> None:
        with self.mutex:
            key = (*candidate, outcome, reason)
            self.counts[key] = self.counts.get(key, 0) + 1
            if self.counts[key] > 1:
                return
        kind = EventKind.PROVIDER_CALL if outcome == "answered" else EventKind.PROVIDER_SKIPPED
        self.emit(kind, provider=candidate[0], model=candidate[1], outcome=outcome, reason=reason)


class Route:
    """Is one run's way through the providers; `ask` may be called from several threads.

    `mismatch` says that pinned weights are not the ones found, `refusal` that the exact answer which the spec asks for
    cannot be promised: either ends the run, and no fallback is asked. `why` is the reason of the named model's last
    failure, with the one command that would mend it.
    """

    def __init__(self, router: Router, wanted: Wanted, emit: Emit) -> None:
        self.mismatch: str | None = None
        self.refusal: str | None = None
        self.why: str | None = None
        self._router, self._wanted = router, wanted
        self._notes = _Notes(emit)
        self._groups = [self._group(rank, named) for rank, named in enumerate(wanted.models)]
        self._found: dict[tuple[int, str], _Found] = {}

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Returns what was tried and skipped, each once, with how often it happened in the reason."""
        made = []
        for (provider, model, outcome, reason), times in self._notes.counts.items():
            said = f"{reason} ({times} times)" if reason and times > 1 else reason
            made.append(Attempt.model_validate(
                {"provider": provider, "model": model, "outcome": outcome, "reason": said}
            ))  # fmt: skip
        return tuple(made)

    @property
    def reached(self) -> bool:
        """Says whether any provider got as far as being asked: before that, no case is at fault."""
        return any(found.info is not None for found in self._found.values())

    @property
    def concurrency(self) -> int:
        """Returns how many requests are worth having under way: as many as the named model's providers take."""
        return max((each.entry.concurrency for each in self._groups[0]), default=1)

    def ask(self, request: Request, deadline_s: float, progress: Progress | None = None) -> Answer | None:
        """Returns the first answer on the way, or None when nobody gave one (see `mismatch`, `refusal`, `why`).

        Args:
            request: what is asked; model, time limit and network are filled in for each provider.
            deadline_s: when the wait ends, on the clock's `monotonic_s`.
            progress: gets the pieces of the answer; what it raises ends the call and passes through.

        Raises:
            SpecError: the named model's provider cannot express a parameter that the spec sets.
        """
        for rank, group in enumerate(self._groups):
            if not group:
                self._note_unknown(rank)
            for candidate in group:
                if self._router.clock.monotonic_s() >= deadline_s:
                    return None
                answer = self._try(candidate, request, deadline_s, progress)
                if answer is not None:
                    return answer
            if self.mismatch or self.refusal:
                return None
        return None

    def _group(self, rank: int, named: str) -> list[_Candidate]:
        model, pin = pin_of(named)
        return [_Candidate(rank, model, pin, entry) for entry in self._router.serving(model)]

    def _note_unknown(self, rank: int) -> None:
        model, _ = pin_of(self._wanted.models[rank])
        model, kind = model[:_LONGEST_REASON], model.partition(":")[0][:100]
        known = ", ".join(dict.fromkeys(entry.kind for entry in self._router.entries))
        self._note(rank, (kind, model), "skipped", f"this timelab has no provider {kind!r} (it has: {known})")

    def _note(self, rank: int, candidate: tuple[str, str], outcome: str, reason: str | None) -> None:
        self._notes.add(candidate, outcome, reason)
        if rank == 0 and reason is not None:
            self.why = reason

    def _try(
        self, candidate: _Candidate, request: Request, deadline_s: float, progress: Progress | None
    ) -> Answer | None:
        """Asks one provider, again while a retry may help."""
        entry, state = candidate.entry, self._router.state
        label = (entry.name, candidate.model)
        found = self._found.setdefault((candidate.rank, entry.name), _Found())
        if found.out is not None:
            return None
        with self._router.slot(entry):
            for number in range(MAX_TRIES):
                left_s = deadline_s - self._router.clock.monotonic_s()
                if left_s <= 0:
                    return None
                ticket = state.admit(entry.name, lease_s=left_s)
                if isinstance(ticket, Refusal):
                    state.skipped(entry.name)
                    self._note(candidate.rank, label, "skipped", self._router.clean(ticket.reason))
                    return None
                try:
                    return self._call(candidate, found, ticket, replace(request, timeout_s=left_s), progress)
                except _Out as out:
                    state.dropped(ticket)
                    found.out = out.reason
                    self._note(candidate.rank, label, out.outcome, out.reason)
                    return None
                except ProviderError as error:
                    may_help = self._failed(candidate, found, ticket, error)
                    if not may_help or number + 1 == MAX_TRIES:
                        return None
                except BaseException:
                    state.dropped(ticket)
                    raise
                self._pause(number, deadline_s)
        return None

    def _failed(self, candidate: _Candidate, found: _Found, ticket: Ticket, error: ProviderError) -> bool:
        """Writes a failure down and says whether trying again may help."""
        is_away = isinstance(error, ProviderUnavailable)
        reason = self._router.clean(f"{error.message}; {error.hint}" if error.hint else error.message)
        # A request that the engine refuses says nothing of the engine: it does not count against it.
        self._router.state.failed(ticket, reason, counts=is_away)
        was_well, found.is_well = found.is_well, found.is_well and not is_away
        self._note(candidate.rank, (candidate.entry.name, candidate.model), "failed", reason)
        return is_away and was_well

    def _pause(self, number: int, deadline_s: float) -> None:
        # Random, so that many workers do not come back in step.
        wanted_s = _FIRST_PAUSE_S * 4**number * random.uniform(0.75, 1.25)
        self._router.sleep(max(0.0, min(wanted_s, deadline_s - self._router.clock.monotonic_s())))

    def _call(
        self, candidate: _Candidate, found: _Found, ticket: Ticket, request: Request, progress: Progress | None
    ) -> Answer:
        """Returns a complete answer; raises `ProviderError` for this call, `_Out` for all of this run."""
        clock, entry = self._router.clock, candidate.entry
        provider = self._make(candidate)
        if not found.is_well:
            ill = provider.health()
            if ill is not None:
                raise ProviderUnavailable(ill)
            found.is_well = True
        if found.info is None:
            found.info = self._described(candidate, provider)
        asked = replace(request, model=candidate.model, exact=self._wanted.exact, allow_net=self._wanted.allow_net)
        start_s = clock.monotonic_s()
        response = provider.complete(asked, progress=progress)
        self._check(response)
        took_ms = round((clock.monotonic_s() - start_s) * 1000)
        self._router.state.answered(ticket, latency_ms=took_ms, tokens=(response.tokens_in, response.tokens_out))
        self._notes.add((entry.name, candidate.model), "answered", None)
        return Answer(entry.name, candidate.rank, found.info, asked, response, took_ms)

    def _make(self, candidate: _Candidate) -> Provider:
        """Returns the provider; raises `_Out` where it is not installed, set wrongly, or may not be reached."""
        entry = candidate.entry
        if entry.leaves and not self._wanted.allow_net:
            raise _Out(f"{entry.name} is not on this machine; say 'allow_net: true' in the spec", "skipped")
        try:
            provider = self._router.provider(entry)
        except TimelabError as error:
            raise _Out(self._router.clean(_with_hint(error)), "skipped") from error
        dropped = sorted(provider.dropped_params & self._wanted.params)
        if dropped and candidate.rank == 0:
            raise SpecError(f"/params/{dropped[0]}: {provider.name} cannot express it")
        if dropped:
            raise _Out(f"{provider.name} cannot express {dropped[0]}", "skipped")
        return provider

    def _described(self, candidate: _Candidate, provider: Provider) -> ModelInfo:
        """Returns what is known of the model, if it is one that the spec asks for; raises `_Out` if not."""
        try:
            info = provider.describe(candidate.model)
        except ProviderUnavailable:
            raise
        except (ProviderError, MissingExtra) as error:
            raise _Out(self._router.clean(_with_hint(error))) from error
        if candidate.pin and info.hash != candidate.pin:
            what = f"{candidate.model} is {info.hash or 'of unknown weights'}, the spec pins {candidate.pin}"
            self.mismatch = what
            raise _Out(what)
        if self._wanted.exact and not (info.deterministic or info.exact_on_request):
            what = f"{candidate.model} cannot promise the exact answer that the spec asks for"
            if candidate.rank == 0:
                self.refusal = what
            raise _Out(what, "skipped")
        return info

    def _check(self, response: Response) -> None:
        """Raises `ProviderError` for an answer that is not complete, or cannot be written down."""
        if response.finish not in ("stop", "length"):
            raise ProviderError(f"the answer is not complete: {ascii(response.finish)[1:-1][:80]}")
        try:
            response.text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ProviderError("the answer is not Unicode text") from error
        if self._router.quotes_secret(response.text):
            raise ProviderError("the answer quotes a key, so it is not written down")


def _with_hint(error: TimelabError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
