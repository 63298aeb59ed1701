"""Asking a model: what is written, in which order, and how each failure is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from timelab.canonical import canonical_bytes
from timelab.clock import FixedClock, FixedRandomness, SystemClock
from timelab.errors import ModelMismatch, ProviderError, SpecError
from timelab.executors.base import TaskContext, TaskResult
from timelab.executors.llm import DEFAULT_PARAMS, LlmExecutor, effective_params
from timelab.manifest import Status
from timelab.names import Digest, Oid, RepoPath, RunId
from timelab.plan import CommitState, make_plan
from timelab.providers.base import Provider, Request, Response
from timelab.providers.builtin import BuiltinProvider
from timelab.providers.cascade import Entry, Router
from timelab.providers.recorded import RecordedProvider, Recording
from timelab.providers.state import ProviderState
from timelab.shell.own import own_session
from timelab.spec.load import load_spec
from timelab.spec.model import LlmSpec, ModelParams
from timelab.testing.providers import FakeProvider, echo

ROOT = Path(__file__).parents[3]
START = datetime(2026, 11, 20, 10, 23, tzinfo=UTC)
CASES = b'{"id":"a","text":"One. Two."}\n{"id":"b","text":"Three."}\n'
WEIGHTS = Digest("sha256:" + "5" * 64)
Run = Callable[..., TaskResult]


def make_context(
    staging: Path,
    body: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
    providers: tuple[Provider, ...] = (),
    step: timedelta = timedelta(milliseconds=1),
) -> TaskContext:
    files = files or {}
    data = json.dumps({"timelab": 1, "kind": "llm", "model": "fake:echo", "prompt": "Hello", **body}).encode()
    spec = load_spec(data, "specs/ask.json", given_by_hand=True).spec
    assert isinstance(spec, LlmSpec)
    params, drawn = effective_params(spec, FixedRandomness(7))
    state = CommitState(
        git_sha=Oid("1" * 40),
        git_tree=Oid("2" * 40),
        describe=None,
        dirty=False,
        committed_at=START,
        paths=tuple(sorted(files)),
        read=files.get,
    )
    plan = make_plan(
        spec,
        data,
        RepoPath("specs/ask.json"),
        Oid("3" * 40),
        state,
        profile="default",
        params=params,
        seed_drawn=drawn,
        start=START,
    )
    for name in ("input", "output", "logs"):
        (staging / name).mkdir(parents=True, exist_ok=True)
    return TaskContext(
        plan=plan,
        session=own_session(),
        staging=staging,
        source=None,
        providers={provider.name: provider for provider in providers or (FakeProvider(),)},
        clock=FixedClock(START, step),
        best_effort_sandbox=False,
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def go(
        body: Mapping[str, Any], files: Mapping[str, bytes] | None = None, *providers: Provider, **more: Any
    ) -> TaskResult:
        return LlmExecutor().execute(make_context(tmp_path, body, files, providers, **more))

    return go


def lines(folder: Path) -> list[dict[str, Any]]:
    data = (folder / "output/output.jsonl").read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def failing(message: str = "the engine is away") -> Callable[[Request], Response]:
    def fail(request: Request) -> Response:
        raise ProviderError(message)

    return fail


def test_one_prompt_gives_one_line(run: Run, tmp_path: Path) -> None:
    """A135, A151."""
    fake = FakeProvider()
    result = run({"system": "Be brief.", "prompt": "Hello"}, None, fake)
    assert result.status is Status.OK and result.error is None
    assert lines(tmp_path) == [
        {
            "case": 1,
            "input": {},
            "output": "Hello",
            "parsed": None,
            "valid": None,
            "finish": "stop",
            "model": "fake:echo",
            "request_sha256": fake.asked[0].digest(),
        }
    ]
    assert fake.asked[0].messages == (("system", "Be brief."), ("user", "Hello"))


def test_each_case_gives_a_line_in_order_as_canonical_json(run: Run, tmp_path: Path) -> None:
    run({"prompt": "Say {{ text }}", "cases": "data/c.jsonl"}, {"data/c.jsonl": CASES})
    data = (tmp_path / "output/output.jsonl").read_bytes()
    assert data == b"".join(canonical_bytes(line) + b"\n" for line in lines(tmp_path))
    assert [(line["case"], line["input"]["id"], line["output"]) for line in lines(tmp_path)] == [
        (1, "a", "Say One. Two."),
        (2, "b", "Say Three."),
    ]


def test_csv_messages_and_prompt_file_are_rendered(run: Run, tmp_path: Path) -> None:
    files = {"c.csv": b"text\nx\n", "p.txt": "\ufeffAsk {{ text }}".encode()}
    run({"prompt": None, "prompt_file": "p.txt", "cases": "c.csv"}, files)
    assert lines(tmp_path)[0]["output"] == "Ask x"
    fake = FakeProvider()
    messages = [{"role": "user", "content": "{{ text }}"}, {"role": "assistant", "content": "y"}]
    run({"prompt": None, "messages": messages, "cases": "c.csv", "system": "{{ text }}!"}, files, fake)
    assert fake.asked[0].messages == (("system", "x!"), ("user", "x"), ("assistant", "y"))


def test_prompt_file_without_cases_may_hold_braces(run: Run, tmp_path: Path) -> None:
    run({"prompt": None, "prompt_file": "README.md"}, {"README.md": b"run: ${{ steps.one }}"})
    assert lines(tmp_path)[0]["output"] == "run: ${{ steps.one }}"


def test_every_parameter_is_stated_and_a_missing_seed_is_drawn() -> None:
    """A34, A35, A36, A37, A38, A74, X9."""
    body = b'{"timelab":1,"kind":"llm","model":"m:x","prompt":"p","params":{"temperature":0.5,"stop":["\\n"]}}'
    spec = load_spec(body, "a.json", given_by_hand=True).spec
    assert isinstance(spec, LlmSpec)
    params, drawn = effective_params(spec, FixedRandomness(7))
    assert drawn and params == {**DEFAULT_PARAMS, "temperature": 0.5, "stop": ["\n"], "seed": 7}
    given = spec.model_copy(update={"params": spec.params.model_copy(update={"seed": 3})})
    assert effective_params(given, FixedRandomness(7)) == ({**params, "seed": 3}, False)


def test_manifest_part_names_the_model_that_answered(run: Run) -> None:
    """A65, A66, A67."""
    result = run({})
    assert result.model is not None
    assert (result.model.name, result.model.requested, result.model.degraded) == ("fake:echo", "fake:echo", False)
    assert result.model.hash is not None and result.model.params["seed"] == 7
    assert (result.usage.tokens_in, result.usage.tokens_out) == (1, 1)
    assert [(each.provider, each.outcome) for each in result.providers] == [("fake", "answered")]
    assert (result.determinism.level, result.determinism.reasons) == ("exact", ())


def test_logs_hold_parameters_and_times_and_the_output_none(run: Run, tmp_path: Path) -> None:
    """A159."""
    run({"prompt": "{{ text }}", "cases": "c.jsonl"}, {"c.jsonl": CASES})
    calls = [json.loads(line) for line in (tmp_path / "logs/calls.jsonl").read_bytes().splitlines()]
    assert [call["case"] for call in calls] == [1, 2] and all("took_ms" in call for call in calls)
    log = (tmp_path / "logs/log.txt").read_text()
    assert '"seed": 7' in log and "the prompt does not use id" in log
    assert b"took_ms" not in (tmp_path / "output/output.jsonl").read_bytes()


def test_second_run_writes_the_same_output_at_another_time(tmp_path: Path) -> None:
    """A1: only what is deterministic stands in output files."""
    made = set()
    for number in range(2):
        context = make_context(
            tmp_path / str(number),
            {"prompt": "Summarise in 1 sentence: {{ text }}", "cases": "c.jsonl", "model": "builtin:extractive@1"},
            {"c.jsonl": CASES},
            (BuiltinProvider(),),
            step=timedelta(milliseconds=1 + number),
        )
        LlmExecutor().execute(context)
        made.add((context.staging / "output/output.jsonl").read_bytes())
    assert len(made) == 1


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (
            {"prompt": "Hello {{ nobody }}", "cases": "c.jsonl"},
            "specs/ask.json: case 1: {{ nobody }} is not in this case",
        ),
        ({"prompt": "Hello {{ text }}"}, "specs/ask.json: {{ text }} is not known: the spec has no cases"),
        ({"prompt": "Hello", "cases": "c.jsonl"}, "specs/ask.json: the prompt uses nothing of the cases in c.jsonl"),
        ({"prompt": "{{ text }}", "cases": "bad.jsonl"}, "bad.jsonl:1: not JSON"),
        ({"prompt": None, "prompt_file": "latin.txt"}, "latin.txt: not UTF-8"),
        ({"response_schema": "bad.jsonl"}, "bad.jsonl: not JSON"),
    ],
)
def test_mistake_in_the_spec_is_told_before_anything_is_asked(run: Run, body: dict[str, Any], what: str) -> None:
    fake = FakeProvider()
    files = {"c.jsonl": CASES, "bad.jsonl": b"{\n", "latin.txt": b"gr\xf6\xdfe"}
    with pytest.raises(SpecError) as caught:
        run(body, files, fake)
    assert caught.value.message.startswith(what) and fake.asked == []


def test_mistake_in_a_late_case_costs_no_call(run: Run) -> None:
    fake = FakeProvider()
    with pytest.raises(SpecError, match="case 3"):
        run({"prompt": "{{ text }}", "cases": "c.jsonl"}, {"c.jsonl": CASES + b'{"other":1}\n'}, fake)
    assert fake.asked == []


def test_parameter_that_the_provider_cannot_express_is_an_error_only_if_set(run: Run) -> None:
    fake = FakeProvider(dropped_params=frozenset({"top_k"}))
    assert run({}, None, fake).status is Status.OK
    with pytest.raises(SpecError, match="/params/top_k: fake cannot express it"):
        run({"params": {"top_k": 5}}, None, fake)


SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def test_answer_that_misses_the_schema_fails_the_run_and_stays(run: Run, tmp_path: Path) -> None:
    """A224: each case is still asked, so that one sees how many miss."""
    body = {"prompt": "{{ text }}", "cases": "c.jsonl", "response_schema": SCHEMA}
    files = {"c.jsonl": b'{"text":"{\\"n\\":1}"}\n{"text":"{\\"n\\":\\"x\\"}"}\n{"text":"prose"}\n'}
    result = run(body, files)
    assert result.status is Status.FAILED and result.error is not None
    assert result.error.slug == "response-schema"
    assert result.error.message == "case 2: the answer does not meet response_schema at /n (type)"
    assert [(line["valid"], line["parsed"]) for line in lines(tmp_path)] == [
        (True, {"n": 1}),
        (False, {"n": "x"}),
        (False, None),
    ]


def test_schema_may_stand_in_a_file_and_reaches_the_provider(run: Run) -> None:
    fake = FakeProvider(does=lambda request: Response('{"n":1}', "stop", None, None))
    result = run({"response_schema": "s.json"}, {"s.json": json.dumps(SCHEMA).encode()}, fake)
    assert result.status is Status.OK and fake.asked[0].response_schema == SCHEMA
    assert (result.usage.tokens_in, result.usage.tokens_out) == (None, None)


def test_nothing_falls_through_to_another_model_in_silence(run: Run) -> None:
    """X26: without `fallback` the failure of the named model is the run's."""
    other = FakeProvider(name="other", serves=("other:x",))
    result = run({}, None, FakeProvider(does=failing()), other)
    assert result.status is Status.FAILED and result.error is not None and result.model is None
    assert (result.error.slug, result.error.message) == ("provider", "the engine is away")
    assert other.asked == [] and result.determinism.level == "none" and result.determinism.reasons


def test_fallback_answers_and_the_record_says_so(run: Run, tmp_path: Path) -> None:
    """B49, X26."""
    other = FakeProvider(name="other", serves=("other:x",))
    body = {"fallback": ["gone:y", "other:none", "other:x"]}
    result = run(body, None, FakeProvider(does=failing()), other)
    assert result.status is Status.OK and result.model is not None
    assert (result.model.name, result.model.requested, result.model.degraded) == ("other:x", "fake:echo", True)
    assert {(each.model, each.outcome) for each in result.providers} == {
        ("gone:y", "skipped"),
        ("other:none", "failed"),
        ("fake:echo", "failed"),
        ("other:x", "answered"),
    }
    assert all(each.reason for each in result.providers if each.outcome != "answered")
    assert lines(tmp_path)[0]["model"] == "other:x"


@pytest.mark.parametrize("model", ["nowhere:x", "fake:unknown"])
def test_model_that_nobody_serves_is_a_failed_run_with_its_reason(run: Run, model: str) -> None:
    result = run({"model": model})
    assert result.status is Status.FAILED and result.error is not None and result.error.slug == "provider"
    assert result.model is None and len(result.providers) == 1 and result.providers[0].reason


def test_pinned_weights_are_checked_before_the_first_call(run: Run) -> None:
    """A182: another digest, or none, is refused with 65."""
    fake = FakeProvider()
    known = fake.describe("fake:echo").hash
    assert run({"model": f"fake:echo@{known}"}, None, fake).status is Status.OK
    fake.asked.clear()
    result = run({"model": "fake:echo@sha256:" + "0" * 64, "fallback": ["fake:echo"]}, None, fake)
    assert result.status is Status.REFUSED and result.error is not None
    assert result.error.slug == ModelMismatch.slug and "the spec pins sha256:0000" in result.error.message
    assert [(each.provider, each.outcome) for each in result.providers] == [("fake", "failed")]
    assert fake.asked == []


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response("cut", "", None, None), "the answer is not complete"),
        (Response("cut", "load", None, None), "the answer is not complete"),
        (Response("\ud800", "stop", None, None), "the answer is not Unicode text"),
    ],
)
def test_incomplete_answer_counts_as_none(run: Run, response: Response, reason: str) -> None:
    """An answer counts only if the engine says that it is complete (design 6)."""
    result = run({}, None, FakeProvider(does=lambda request: response))
    assert result.status is Status.FAILED and result.error is not None and reason in result.error.message


def test_answer_cut_at_the_limit_is_kept_and_says_so(run: Run, tmp_path: Path) -> None:
    result = run({}, None, FakeProvider(does=lambda request: Response("half", "length", 1, 1)))
    assert result.status is Status.OK and lines(tmp_path)[0]["finish"] == "length"


def test_time_ends_the_run_and_keeps_what_was_answered(run: Run, tmp_path: Path) -> None:
    body = {"prompt": "{{ text }}", "cases": "c.jsonl", "timeout_s": 1.0}
    many = b"".join(b'{"text":"%d"}\n' % number for number in range(500))
    result = run(body, {"c.jsonl": many}, step=timedelta(milliseconds=1))
    assert result.status is Status.OK
    slow = FakeProvider()
    clock_step = timedelta(milliseconds=1)
    context = make_context(tmp_path, body, {"c.jsonl": many}, (slow,), clock_step)

    def late(request: Request) -> Response:
        for _ in range(20):
            context.clock.now()
        return echo(request)

    slow.does = late
    result = LlmExecutor().execute(context)
    assert result.status is Status.TIMEOUT and result.error is not None and result.error.slug == "timeout"
    done = len(lines(tmp_path))
    assert 0 < done < 500 and result.error.message == f"{done} of 500 cases after 1 s"
    assert result.determinism.level == "none"


def test_provider_that_gives_up_at_the_deadline_is_a_timeout(tmp_path: Path) -> None:
    fake = FakeProvider()
    context = make_context(tmp_path, {"timeout_s": 1.0}, None, (fake,))

    def hang(request: Request) -> Response:
        assert 0 < request.timeout_s <= 1.0
        while context.clock.monotonic_s() < 1.0:
            context.clock.now()
        raise ProviderError("no answer in time")

    fake.does = hang
    assert LlmExecutor().execute(context).status is Status.TIMEOUT


def test_interruption_passes_and_leaves_whole_lines(tmp_path: Path) -> None:
    """A crash or Ctrl-C in case 2 leaves case 1, whole."""

    def stop(request: Request) -> Response:
        if request.messages[0][1] == "Three.":
            raise KeyboardInterrupt
        return echo(request)

    context = make_context(
        tmp_path, {"prompt": "{{ text }}", "cases": "c.jsonl"}, {"c.jsonl": CASES}, (FakeProvider(does=stop),)
    )
    with pytest.raises(KeyboardInterrupt):
        LlmExecutor().execute(context)
    assert [line["case"] for line in lines(tmp_path)] == [1]
    assert (tmp_path / "output/output.jsonl").read_bytes().endswith(b"\n")


def test_determinism_is_claimed_only_where_the_provider_promises_it(run: Run) -> None:
    """A15, A183."""
    loose = FakeProvider(deterministic=False)
    result = run({}, None, loose)
    assert result.determinism.level == "same-text" and "may answer otherwise" in result.determinism.reasons[0]
    assert run({"determinism": "none"}).determinism.level == "none"
    assert run({"determinism": "same-text"}).determinism.level == "same-text"
    loose.asked.clear()
    refused = run({"determinism": "exact"}, None, loose)
    assert refused.status is Status.REFUSED and refused.error is not None and refused.error.slug == "determinism"
    assert loose.asked == []


def test_exact_is_asked_for_and_probed(run: Run, tmp_path: Path) -> None:
    """A15, A183: the same request twice, each from a cold state; what came of it is in the record."""
    firm = FakeProvider(deterministic=False, exact_on_request=True)
    body = {"prompt": "{{ text }}", "cases": "c.jsonl", "determinism": "exact"}
    result = run(body, {"c.jsonl": CASES}, firm)
    assert (result.determinism.level, result.determinism.reasons) == ("exact", ())
    assert [(request.exact, request.messages[0][1]) for request in firm.asked] == [
        (True, "One. Two."),
        (True, "One. Two."),
        (True, "Three."),
    ]
    assert result.model is not None and "the same text" in result.model.details["probe"]
    assert [line["output"] for line in lines(tmp_path)] == ["One. Two.", "Three."]
    assert run({}, None, firm).determinism.level == "same-text"


def test_exact_is_not_claimed_where_the_probe_shows_otherwise(run: Run) -> None:
    answers = iter(["one", "two"])
    liar = FakeProvider(exact_on_request=True, does=lambda request: Response(next(answers), "stop", 1, 1))
    result = run({"determinism": "exact"}, None, liar)
    assert result.status is Status.REFUSED and result.error is not None and result.error.slug == "determinism"
    assert result.error.message == "fake:echo gave two answers to the same request, each from a cold state"
    assert result.determinism.level == "none" and len(result.providers) == 1


def test_options_are_recorded_as_the_engine_has_them(run: Run) -> None:
    """A67, X9: effective values, what was dropped, and 0.0 as 0 so that a replay shows no change."""

    def answer(request: Request) -> Response:
        return Response("x", "stop", 1, 1, effective={"num_predict": 9, "temperature": 0.0}, dropped_options=("top_k",))

    result = run({}, None, FakeProvider(does=answer))
    assert result.model is not None
    assert result.model.details["options"] == '{"num_predict":9,"temperature":0}'
    assert (result.model.details["dropped_options"], result.model.details["provider"]) == ("top_k", "fake")
    odd = FakeProvider(does=lambda request: Response("x", "stop", 1, 1, effective={"big": 1 << 60}))
    result = run({}, None, odd)
    assert result.model is not None and result.model.details["options"] == '{"big": 1152921504606846976}'


def test_cases_are_asked_at_once_where_the_provider_takes_several(tmp_path: Path) -> None:
    """The order of the answers is that of the cases, and an error calls the rest off."""
    barrier = threading.Barrier(3)

    def together(request: Request) -> Response:
        if int(request.messages[0][1]) < 3:
            barrier.wait(20)
        return echo(request)

    many = b"".join(b'{"n":"%d"}\n' % number for number in range(30))
    body = {"prompt": "{{ n }}", "cases": "c.jsonl"}
    context = make_context(tmp_path, body, {"c.jsonl": many})
    fake = FakeProvider(does=together)
    router = Router(
        [Entry("fake", "fake", lambda: fake, concurrency=3)], ProviderState(None, SystemClock()), SystemClock()
    )
    said: list[str] = []
    context = replace(context, clock=SystemClock(), router=router, stream=said.append)
    assert LlmExecutor().execute(context).status is Status.OK
    assert [line["output"] for line in lines(tmp_path)] == [str(number) for number in range(30)]
    assert sorted(said, key=int) == [str(number) for number in range(30)]

    fake.does = failing()
    result = LlmExecutor().execute(context)
    assert result.status is Status.FAILED and result.error is not None
    assert result.error.message == "case 1: the engine is away" and lines(tmp_path) == []


def test_recorded_answers_replay_a_run_without_the_model(tmp_path: Path) -> None:
    body = {"prompt": "{{ text }}", "cases": "c.jsonl"}
    first = make_context(tmp_path / "1", body, {"c.jsonl": CASES})
    LlmExecutor().execute(first)
    transcript = (tmp_path / "1/output/output.jsonl").read_bytes()
    recording = Recording(RunId("ab" * 32), WEIGHTS, first.plan.params or {}, transcript)
    recorded = RecordedProvider(lambda name: recording)
    body["model"] = "recorded:abab"
    again = make_context(tmp_path / "2", body, {"c.jsonl": CASES}, (recorded,))
    result = LlmExecutor().execute(again)
    assert result.status is Status.OK and result.model is not None
    assert (result.model.name, result.model.hash) == ("recorded:abab", WEIGHTS)
    told = {"engine": "recorded", "provider": "recorded", "run": "ab" * 32, "model": "fake:echo"}
    assert result.model.details == told
    # A line names who gave the answer, and to what: the same as before.
    assert (tmp_path / "2/output/output.jsonl").read_bytes() == transcript
    other = make_context(tmp_path / "3", {**body, "params": {"seed": 8}}, {"c.jsonl": CASES}, (recorded,))
    refused = LlmExecutor().execute(other)
    assert refused.status is Status.FAILED and refused.error is not None
    assert refused.error.message == "case 1: run abababab recorded no answer with another seed"


def test_parameters_are_those_of_the_record_where_the_spec_says_nothing() -> None:
    spec = LlmSpec(timelab=1, kind="llm", model="recorded:abab", prompt="x", params=ModelParams(top_k=3))
    recorded = {"seed": 9, "top_k": 1, "temperature": 0.5}
    params, drawn = effective_params(spec, FixedRandomness(7), recorded)
    assert (params["seed"], params["top_k"], params["temperature"], drawn) == (9, 3, 0.5, False)


PROGRAM = """
import sys
from datetime import timedelta
from pathlib import Path
from tests.unit.executors.test_llm import CASES, SCHEMA, make_context
from timelab.executors.llm import LlmExecutor
from timelab.providers.builtin import BuiltinProvider
body = {"prompt": "{{ text }}", "cases": "c.jsonl", "model": "builtin:extractive@1", "response_schema": SCHEMA}
context = make_context(Path(sys.argv[1]), body, {"c.jsonl": CASES}, (BuiltinProvider(),))
result = LlmExecutor().execute(context)
sys.stdout.buffer.write((context.staging / "output/output.jsonl").read_bytes())
print(result.model, result.error, result.determinism, context.plan.task.sha256)
"""


def test_output_is_equal_under_any_hash_seed_locale_and_time_zone(tmp_path: Path) -> None:
    """A1."""
    outputs = set()
    for seed, locale, zone in (("0", "C", "UTC"), ("1", "C.UTF-8", "Asia/Tokyo")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone, "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-c", PROGRAM, str(tmp_path / seed)]
        outputs.add(subprocess.run(argv, env=env, capture_output=True, check=True).stdout)
    assert len(outputs) == 1
