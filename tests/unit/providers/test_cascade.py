"""The router: order, skips with their reasons, bounded retries, and nothing in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from timelab.clock import FixedClock
from timelab.errors import MissingExtra, ProviderError, ProviderUnavailable, SpecError
from timelab.events import EventKind
from timelab.names import Digest
from timelab.providers.base import Provider, Request, Response
from timelab.providers.breaker import Policy
from timelab.providers.cascade import MAX_TRIES, Answer, Entry, Route, Router, Wanted, entries_of, pin_of
from timelab.providers.state import ProviderState
from timelab.testing.contracts import PARAMS
from timelab.testing.providers import FakeProvider, echo

REQUEST = Request("", (("user", "hello"),), PARAMS)
FAR_S = 1e9


def always(provider: Provider) -> Callable[[], Provider]:
    return lambda: provider


class Bench:
    """Is a router over fake providers, with what it did."""

    def __init__(self, *providers: Provider, secrets: tuple[str, ...] = (), pause_s: float = 1e6) -> None:
        self.clock = FixedClock(datetime(2026, 11, 20, tzinfo=UTC), timedelta(milliseconds=1))
        self.state = ProviderState(None, self.clock, Policy(5, pause_s))
        self.slept: list[float] = []
        self.events: list[tuple[EventKind, dict[str, Any]]] = []
        entries = [Entry(f"{each.name}{at or ''}", each.name, always(each)) for at, each in enumerate(providers)]
        self.router = Router(entries, self.state, self.clock, secrets=secrets, sleep=self.slept.append)

    def route(self, *models: str, **wanted: Any) -> Route:
        return self.router.route(
            Wanted(models or ("fake:echo",), **wanted), lambda kind, **data: self.events.append((kind, data))
        )


def told(route: Route) -> list[tuple[str, str, str | None]]:
    return [(each.provider, each.outcome, each.reason) for each in route.attempts]


def failing(*errors: Exception | None) -> Callable[[Request], Response]:
    """Fails as told, one call after the other, and answers from then on."""
    left = list(errors)

    def does(request: Request) -> Response:
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        return echo(request)

    return does


def away() -> ProviderUnavailable:
    return ProviderUnavailable("the engine broke off")


def test_the_named_model_answers_and_is_counted() -> None:
    """B49, B55."""
    bench = Bench(FakeProvider())
    route = bench.route(allow_net=True)
    answer = route.ask(REQUEST, FAR_S)
    assert answer is not None and (answer.provider, answer.rank, answer.response.text) == ("fake", 0, "hello")
    assert (answer.request.model, answer.request.allow_net, answer.request.exact) == ("fake:echo", True, False)
    assert told(route) == [("fake", "answered", None)] and route.why is None
    metrics = bench.state.read()["fake"].metrics
    assert (metrics.attempts, metrics.answered, metrics.tokens_out) == (1, 1, 1)
    assert [kind for kind, _ in bench.events] == [EventKind.PROVIDER_CALL]


def test_the_model_is_asked_of_each_provider_that_serves_it_before_any_fallback() -> None:
    """B49, B50: order of the configuration within a model, order of the spec among models."""
    ill, absent = FakeProvider(ill="refused; start it"), FakeProvider(serves=("fake:other",))
    bench = Bench(ill, absent, FakeProvider(), FakeProvider(name="last", serves=("last:x",)))
    route = bench.route("fake:echo", "last:x")
    answer = route.ask(REQUEST, FAR_S)
    assert answer is not None and (answer.provider, answer.rank) == ("fake2", 0)
    assert told(route) == [
        ("fake", "failed", "refused; start it"),
        ("fake1", "failed", "there is no model fake:echo; there is fake:other"),
        ("fake2", "answered", None),
    ]
    assert [data["reason"] for _, data in bench.events] == [reason for _, _, reason in told(route)]


def test_nothing_but_what_the_spec_names_is_ever_asked() -> None:
    """X26: a provider that could answer is not asked for a model that the spec does not list."""
    other = FakeProvider(name="other", serves=("other:x",))
    bench = Bench(FakeProvider(ill="refused"), other)
    route = bench.route("fake:echo")
    assert route.ask(REQUEST, FAR_S) is None and other.asked == [] and route.why == "refused"
    route = bench.route("fake:echo", "other:x")
    answer = route.ask(REQUEST, FAR_S)
    assert answer is not None and answer.rank == 1 and len(other.asked) == 1


def test_a_retry_is_made_only_where_it_may_help_and_has_a_bound() -> None:
    once = FakeProvider(does=failing(away()))
    bench = Bench(once)
    route = bench.route()
    assert route.ask(REQUEST, FAR_S) is not None and len(once.asked) == 2 and len(bench.slept) == 1
    assert told(route) == [("fake", "failed", "the engine broke off"), ("fake", "answered", None)]

    for_ever = FakeProvider(does=failing(*[away()] * 99))
    bench = Bench(for_ever)
    route = bench.route()
    assert route.ask(REQUEST, FAR_S) is None and len(for_ever.asked) == MAX_TRIES
    assert told(route) == [("fake", "failed", f"the engine broke off ({MAX_TRIES} times)")]
    assert bench.slept == sorted(bench.slept) and sum(bench.slept) < 5

    wrong = FakeProvider(does=failing(ProviderError("bad request", hint="shorten it")))
    bench = Bench(wrong)
    route = bench.route()
    assert route.ask(REQUEST, FAR_S) is None and len(wrong.asked) == 1 and bench.slept == []
    assert route.why == "bad request; shorten it"

    down = FakeProvider(ill="refused")
    bench = Bench(down)
    assert bench.route().ask(REQUEST, FAR_S) is None and bench.slept == []
    assert bench.state.read()["fake"].metrics.attempts == 1


def test_five_failures_leave_a_provider_alone_and_a_probe_brings_it_back() -> None:
    """B54."""
    fake = FakeProvider(ill="refused")
    bench = Bench(fake)
    for _ in range(5):
        assert bench.route().ask(REQUEST, FAR_S) is None
    fake.ill = None
    route = bench.route()
    assert route.ask(REQUEST, FAR_S) is None and fake.asked == []
    assert told(route)[0][:2] == ("fake", "skipped")
    assert (told(route)[0][2] or "").startswith("left alone after 5 failures in a row (refused), tried again in ")
    assert bench.state.read()["fake"].metrics.skipped == 1
    bench.state.policy = Policy(5, 1e-6)
    assert bench.route().ask(REQUEST, FAR_S) is not None
    assert bench.state.read()["fake"].breaker.failures == 0


def test_a_request_that_is_refused_does_not_count_against_the_engine() -> None:
    fake = FakeProvider(does=failing(*[ProviderError("bad request")] * 6))
    bench = Bench(fake)
    for _ in range(6):
        assert bench.route().ask(REQUEST, FAR_S) is None
    assert bench.state.read()["fake"].breaker.failures == 0 and bench.state.read()["fake"].metrics.failures == 6
    assert bench.route().ask(REQUEST, FAR_S) is not None


def test_what_a_run_has_learnt_it_does_not_ask_again() -> None:
    """An absent model is looked for once a run, however many cases there are."""
    absent = FakeProvider(serves=())
    bench = Bench(absent, FakeProvider(name="last", serves=("last:x",)))
    route = bench.route("fake:echo", "last:x")
    assert [route.ask(REQUEST, FAR_S) is not None for _ in range(4)] == [True] * 4
    assert [each[:2] for each in told(route)] == [("fake", "failed"), ("last1", "answered")]


def test_a_pin_that_does_not_match_ends_the_way() -> None:
    """A182: no fallback takes its place; another provider with the right weights does."""
    known = FakeProvider().describe("fake:echo").hash
    last = FakeProvider(name="last", serves=("last:x",))
    bench = Bench(FakeProvider(), last)
    assert bench.route(f"fake:echo@{known}").ask(REQUEST, FAR_S) is not None
    route = bench.route("fake:echo@sha256:" + "0" * 64, "last:x")
    assert route.ask(REQUEST, FAR_S) is None and last.asked == []
    assert route.mismatch == f"fake:echo is {known}, the spec pins sha256:{'0' * 64}"

    class Other(FakeProvider):
        def describe(self, model: str) -> Any:
            return replace(super().describe(model), hash=Digest("sha256:" + "0" * 64))

    route = Bench(FakeProvider(), Other()).route("fake:echo@sha256:" + "0" * 64)
    answer = route.ask(REQUEST, FAR_S)
    assert answer is not None and answer.provider == "fake1"
    assert pin_of("a:b") == ("a:b", None)


def test_an_exact_answer_is_asked_only_of_who_can_promise_it() -> None:
    """A15."""
    loose, firm = FakeProvider(deterministic=False), FakeProvider(deterministic=False, exact_on_request=True)
    route = Bench(loose).route(exact=True)
    assert route.ask(REQUEST, FAR_S) is None and loose.asked == [] and "cannot promise" in (route.refusal or "")
    answer = Bench(firm).route(exact=True).ask(REQUEST, FAR_S)
    assert answer is not None and firm.asked[0].exact
    last = FakeProvider(name="last", serves=("last:x",), deterministic=False)
    route = Bench(FakeProvider(ill="away"), last).route("fake:echo", "last:x", exact=True)
    assert route.ask(REQUEST, FAR_S) is None and route.refusal is None and told(route)[1][1] == "skipped"


def test_a_parameter_that_cannot_be_expressed_is_the_specs_fault_or_skips_a_fallback() -> None:
    dropping = FakeProvider(dropped_params=frozenset({"top_k"}))
    with pytest.raises(SpecError, match="/params/top_k: fake cannot express it"):
        Bench(dropping).route(params=frozenset({"top_k"})).ask(REQUEST, FAR_S)
    last = FakeProvider(name="last", serves=("last:x",), dropped_params=frozenset({"top_k"}))
    route = Bench(FakeProvider(ill="away"), last).route("fake:echo", "last:x", params=frozenset({"top_k"}))
    assert route.ask(REQUEST, FAR_S) is None and told(route)[1] == ("last1", "skipped", "last cannot express top_k")


def test_a_provider_elsewhere_is_asked_only_if_the_spec_allows_the_network() -> None:
    """R2: offline unless the plan says so."""
    fake = FakeProvider()
    bench = Bench()
    entry = Entry("far", "fake", lambda: fake, leaves=True)
    bench.router = Router([entry], bench.state, bench.clock)
    route = bench.route()
    assert route.ask(REQUEST, FAR_S) is None and fake.asked == [] and "allow_net: true" in (route.why or "")
    assert bench.route(allow_net=True).ask(REQUEST, FAR_S) is not None


def test_an_extra_that_is_not_installed_is_a_skip_with_what_would_bring_it() -> None:
    def make() -> Provider:
        raise MissingExtra("llamacpp is not installed", hint="pip install 'timelab[llamacpp]'")

    bench = Bench()
    bench.router = Router([Entry("fake", "fake", make)], bench.state, bench.clock)
    route = bench.route()
    assert route.ask(REQUEST, FAR_S) is None
    assert told(route) == [("fake", "skipped", "llamacpp is not installed; pip install 'timelab[llamacpp]'")]
    route = bench.route("gone:x")
    assert route.ask(REQUEST, FAR_S) is None
    assert route.why == "this timelab has no provider 'gone' (it has: fake)"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response("cut", "", None, None), "the answer is not complete"),
        (Response("\ud800", "stop", None, None), "the answer is not Unicode text"),
        (Response("your key is planted-key-1", "stop", None, None), "the answer quotes a key"),
    ],
)
def test_an_answer_that_cannot_be_written_down_is_a_failure(response: Response, reason: str) -> None:
    """B56."""
    bench = Bench(FakeProvider(does=lambda request: response), secrets=("planted-key-1",))
    route = bench.route()
    assert route.ask(REQUEST, FAR_S) is None and (route.why or "").startswith(reason)


def test_no_message_quotes_a_key() -> None:
    """B56: an engine that repeats the key in its complaint."""
    said = "wrong key: planted-key-1\n\x1b[31m and so on" + "x" * 5_000
    bench = Bench(FakeProvider(does=failing(*[ProviderUnavailable(said)] * 9)), secrets=("planted-key-1", "x"))
    route = bench.route()
    assert route.ask(REQUEST, FAR_S) is None
    written = [str(told(route)), str(bench.events), str(bench.state.read()), str(route.why)]
    assert all("wrong key: ***" in text and "planted" not in text and "\n" not in text for text in written)
    assert all(len(each.reason or "") < 2_000 for each in route.attempts)


def test_the_time_limit_is_for_the_whole_and_each_provider_is_told_what_is_left() -> None:
    fake = FakeProvider()
    bench = Bench(fake)
    assert bench.route().ask(REQUEST, bench.clock.monotonic_s() + 50) is not None
    assert 49 < fake.asked[0].timeout_s <= 50
    assert bench.route().ask(REQUEST, 0.0) is None

    def slow(request: Request) -> Response:
        while bench.clock.monotonic_s() < 90:
            bench.clock.now()
        raise ProviderUnavailable("no answer in time")

    fake.does = slow
    fake.asked.clear()
    assert bench.route().ask(REQUEST, 90.0) is None and len(fake.asked) == 1


def test_what_stops_the_wait_passes_and_gives_the_probe_back() -> None:
    """Ctrl-C, and whatever the caller raises while it listens."""
    fake = FakeProvider(ill="away")
    bench = Bench(fake, pause_s=1e-6)
    for _ in range(5):
        bench.route().ask(REQUEST, FAR_S)
    fake.ill, pieces = None, []

    def listen(piece: str) -> None:
        pieces.append(piece)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.route().ask(REQUEST, FAR_S, listen)
    assert pieces == ["hello"] and bench.state.read()["fake"].breaker.prober is None
    assert isinstance(bench.route().ask(REQUEST, FAR_S), Answer)


def test_concurrency_is_that_of_the_named_models_providers() -> None:
    bench = Bench()
    entries = [Entry("a", "fake", FakeProvider, concurrency=3), Entry("b", "other", FakeProvider, concurrency=9)]
    bench.router = Router(entries, bench.state, bench.clock)
    assert bench.route("fake:echo", "other:x").concurrency == 3 and bench.route("gone:x").concurrency == 1
    plain = entries_of({"fake": FakeProvider()})
    assert [(each.name, each.kind, each.concurrency, each.make().name) for each in plain] == [
        ("fake", "fake", 1, "fake")
    ]
