"""Asks a model: one prompt, or one for each case, and writes the answers to `output/output.jsonl` in order.

A line is `{"case", "input", "output", "parsed", "valid", "finish", "model", "request_sha256"}` as canonical JSON: only
what a second run with the same answers writes again. Times and providers go to `logs/calls.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from timelab.canonical import canonical_bytes
from timelab.clock import Randomness, timestamp
from timelab.errors import DataError, ModelMismatch, ProviderError, SpecError, TaskError
from timelab.executors.answers import Checked, check_answer, read_schema
from timelab.executors.asking import Stop, in_order
from timelab.executors.base import TaskContext, TaskResult
from timelab.executors.cases import Case, names_in, read_cases, render
from timelab.manifest import Determinism, Failure, ModelRecord, SandboxRecord, Status, Usage
from timelab.providers.base import Request
from timelab.providers.cascade import Answer, Route, Wanted
from timelab.spec.model import LlmSpec

OUTPUT, CALLS, LOG = "output/output.jsonl", "logs/calls.jsonl", "logs/log.txt"
DEFAULT_PARAMS: Mapping[str, Any] = {
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 1024,
    "stop": [],
    "num_ctx": None,
}
"""What a parameter is when the spec does not say: the answer that varies least. `top_k` 0 and `num_ctx` null leave the
engine's own bound; `seed` is drawn and recorded (A36, A74)."""

_SHOWN = 200
"""How much of what a model is saying is passed on to who watches, in characters."""

_LONGEST_DETAIL = 2_000


def effective_params(
    spec: LlmSpec, randomness: Randomness, recorded: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], bool]:
    """Returns every sampling parameter as it will be sent, and whether the seed was drawn.

    `recorded` are those of the run whose answers are asked for again: they hold where the spec says nothing.
    """
    given = {**(recorded or {}), **spec.params.model_dump(mode="json", exclude_none=True)}
    drawn = "seed" not in given
    params = {**DEFAULT_PARAMS, **given, "seed": randomness.seed() if drawn else given["seed"]}
    return params, drawn


@dataclass
class _Work:
    """Is how far a run has come."""

    route: Route
    answered: Answer | None = None
    degraded: bool = False
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    failure: tuple[Status, Failure] | None = None
    reasons: set[str] = field(default_factory=set)
    remark: str | None = None
    probe: str | None = None

    def take(self, answer: Answer) -> None:
        """Counts an answer: who gave it, whether another time would give the same, and its tokens.

        A number of tokens that is unknown makes the sum unknown.
        """
        if self.answered is None or answer.rank > 0:
            self.answered = answer
        self.degraded = self.degraded or answer.rank > 0
        info = answer.info
        if not (info.deterministic or (answer.request.exact and info.exact_on_request)):
            self.reasons.add(f"{answer.request.model} may answer otherwise another time")
        response = answer.response
        if self.tokens_in is not None:
            self.tokens_in = None if response.tokens_in is None else self.tokens_in + response.tokens_in
        if self.tokens_out is not None:
            self.tokens_out = None if response.tokens_out is None else self.tokens_out + response.tokens_out


@dataclass(frozen=True)
class _Questions:
    """Is all that is going to be asked: every prompt rendered, nothing sent yet."""

    cases: list[Case]
    prompts: list[tuple[tuple[str, str], ...]]
    schema: Mapping[str, Any] | None
    deadline_s: float


class LlmExecutor:
    """Does tasks of kind `llm`."""

    kind = "llm"

    def execute(self, context: TaskContext) -> TaskResult:
        """Asks the model for each case and checks each answer against `response_schema`.

        Raises:
            SpecError: a case, a place in the prompt or the schema file is wrong, or the model's provider cannot express
                a parameter that the spec sets.
        """
        spec = context.plan.spec
        if not isinstance(spec, LlmSpec):
            raise TaskError(f"not an llm task: {spec.kind}")
        start_s = context.clock.monotonic_s()
        router = context.routed()
        wanted = Wanted(
            models=(spec.model, *spec.fallback),
            params=frozenset(spec.params.model_dump(exclude_none=True)),
            exact=spec.determinism == "exact",
            allow_net=context.plan.allow_net,
        )
        work = _Work(router.route(wanted, context.emit))
        cases = _cases(context, spec)
        # Every prompt is rendered before the first is sent: a mistake in case 900 must not cost 899 answers.
        work.remark = _check_names(context, spec, cases)
        prompts = [make_messages(context, spec, case, number) for number, case in enumerate(cases, 1)]
        questions = _Questions(cases, prompts, _schema(context, spec), start_s + spec.timeout_s)
        try:
            _ask_all(context, spec, questions, work)
        finally:
            router.state.flush()
        return _result(context, spec, work, round((context.clock.monotonic_s() - start_s) * 1000))


def _schema(context: TaskContext, spec: LlmSpec) -> Mapping[str, Any] | None:
    if isinstance(spec.response_schema, str):
        return read_schema(context.plan.closure.files[spec.response_schema], spec.response_schema)
    return spec.response_schema


def _cases(context: TaskContext, spec: LlmSpec) -> list[Case]:
    return read_cases(context.plan.closure.files[spec.cases], spec.cases) if spec.cases is not None else [{}]


def make_messages(context: TaskContext, spec: LlmSpec, case: Case, number: int = 1) -> tuple[tuple[str, str], ...]:
    """Returns the conversation for a case: the system text, then the prompt or the messages, rendered.

    A prompt file without cases is sent as it is: it may be any text of the repository, with braces of its own.
    """
    where = f"{context.plan.record.path}: case {number}" if spec.cases is not None else str(context.plan.record.path)
    system = () if spec.system is None else (("system", render(spec.system, case, where)),)
    if spec.messages is not None:
        return (*system, *((message.role, render(message.content, case, where)) for message in spec.messages))
    if spec.prompt is not None:
        return (*system, ("user", render(spec.prompt, case, where)))
    text = _prompt_file(context, spec)
    return (*system, ("user", render(text, case, where) if spec.cases is not None else text))


def _prompt_file(context: TaskContext, spec: LlmSpec) -> str:
    assert spec.prompt_file is not None
    try:
        return context.plan.closure.files[spec.prompt_file].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError(f"{spec.prompt_file}: not UTF-8", hint="save it as UTF-8") from error


def _check_names(context: TaskContext, spec: LlmSpec, cases: list[Case]) -> str | None:
    """Returns a remark on columns that no prompt asks for.

    Raises:
        SpecError: there are cases and the prompt asks for nothing of them: every call would be the same.
    """
    if spec.cases is None:
        return None
    texts = [spec.system or "", spec.prompt or "", *(message.content for message in spec.messages or ())]
    texts += [_prompt_file(context, spec)] if spec.prompt_file is not None else []
    asked = {name for text in texts for name in names_in(text)}
    known = {name for case in cases for name in case}
    if not asked:
        some = ", ".join(sorted(known))[:200]
        raise SpecError(
            f"{context.plan.record.path}: the prompt uses nothing of the cases in {spec.cases}",
            hint=f"write {{{{ name }}}} into it; the cases have: {some}",
        )
    unused = known - asked - {name.split(".")[0] for name in asked}
    return f"the prompt does not use {', '.join(sorted(unused))[:500]}" if unused else None


def _ask_all(context: TaskContext, spec: LlmSpec, questions: _Questions, work: _Work) -> None:
    """Asks for each case, in threads where the provider takes several at once, and writes the answers in order."""
    first: Answer | None = None
    if spec.determinism == "exact":
        first = _probe(context, spec, questions, work)
        if first is None:
            return

    def ask(number: int, stop: Stop) -> Answer | None:
        return first if number == 0 and first is not None else _ask(context, questions, number, work, stop)

    # One at a time where the answer must be exact: what runs beside a request changes its rounding.
    concurrency = 1 if spec.determinism == "exact" else work.route.concurrency
    output, calls = context.staging / OUTPUT, context.staging / CALLS
    calls.parent.mkdir(exist_ok=True)
    with (
        output.open("wb") as written,
        calls.open("wb") as log,
        closing(in_order(len(questions.cases), ask, concurrency=concurrency)) as answers,
    ):
        for number, answer in enumerate(answers, 1):
            if answer is None:
                work.failure = _failure(context, spec, questions, work, number)
                return
            work.take(answer)
            checked = check_answer(answer.response.text, questions.schema) if questions.schema is not None else None
            line = _line(number, questions.cases[number - 1], answer, checked)
            written.write(canonical_bytes(line) + b"\n")
            written.flush()
            log.write(canonical_bytes(_call_line(number, answer)) + b"\n")
            if checked is not None and checked.fault is not None and work.failure is None:
                message = f"case {number}: the answer {checked.fault}"
                work.failure = (Status.FAILED, Failure(slug="response-schema", message=message))
            context.progress(number, len(questions.cases))


def _ask(context: TaskContext, questions: _Questions, number: int, work: _Work, stop: Stop) -> Answer | None:
    """Asks for one case."""
    said = ""

    def progress(piece: str) -> None:
        nonlocal said
        stop.check()
        said = (said + piece)[-_SHOWN:]
        context.stream(said)

    stop.check()
    # The route says who is asked, and how long there is.
    request = Request("", questions.prompts[number], context.plan.params or {}, questions.schema)
    try:
        return work.route.ask(request, questions.deadline_s, progress)
    except SpecError as error:
        raise SpecError(f"{context.plan.record.path}: {error.message}", hint=error.hint) from error


def _probe(context: TaskContext, spec: LlmSpec, questions: _Questions, work: _Work) -> Answer | None:
    """Returns the first answer if a second one, each from a cold state, has the same text; else says what is wrong."""
    answers = [_ask(context, questions, 0, work, Stop()) for _ in range(2)]
    first, second = answers
    if first is None or second is None:
        work.failure = _failure(context, spec, questions, work, 1)
        return None
    # The first is counted where it is written.
    work.take(second)
    if (first.request.model, first.response.text) != (second.request.model, second.response.text):
        what = f"{first.request.model} gave two answers to the same request, each from a cold state"
        work.failure = (Status.REFUSED, Failure(slug="determinism", message=what))
        return None
    work.probe = "the same request twice, each from a cold state: the same text"
    return first


def _failure(
    context: TaskContext, spec: LlmSpec, questions: _Questions, work: _Work, number: int
) -> tuple[Status, Failure]:
    """Returns how the run ends when nobody answered for a case."""
    route = work.route
    if route.mismatch is not None:
        message = f"{route.mismatch}; pull the pinned weights, or pin these"
        return Status.REFUSED, Failure(slug=ModelMismatch.slug, message=message)
    if route.refusal is not None:
        return Status.REFUSED, Failure(slug="determinism", message=route.refusal)
    if context.clock.monotonic_s() >= questions.deadline_s:
        done = f"{number - 1} of {len(questions.cases)} cases after {spec.timeout_s:g} s"
        return Status.TIMEOUT, Failure(slug="timeout", message=done)
    where = f"case {number}: " if spec.cases is not None and route.reached else ""
    return Status.FAILED, Failure(slug=ProviderError.slug, message=f"{where}{route.why or 'nobody answered'}")


def _line(number: int, case: Case, answer: Answer, checked: Checked | None) -> dict[str, Any]:
    # A line is about an answer, so that one that is passed on keeps the name of who gave it, and to what.
    model = answer.response.model or answer.request.model
    return {
        "case": number,
        "input": dict(case),
        "output": answer.response.text,
        "parsed": checked.value if checked is not None else None,
        "valid": checked.fault is None if checked is not None else None,
        "finish": answer.response.finish,
        "model": model,
        "request_sha256": replace(answer.request, model=model).digest(),
    }


def _call_line(number: int, answer: Answer) -> dict[str, Any]:
    return {
        "case": number,
        "model": answer.request.model,
        "provider": answer.provider,
        "took_ms": answer.took_ms,
        "tokens_in": answer.response.tokens_in,
        "tokens_out": answer.response.tokens_out,
    }


def _details(work: _Work, answer: Answer) -> dict[str, str]:
    """Returns what is known of the model that answered, with the options as the engine has them."""
    response = answer.response
    found = {**answer.info.details, "provider": answer.provider}
    if response.effective:
        found["options"] = _options(response.effective)
    if response.dropped_options:
        found["dropped_options"] = " ".join(response.dropped_options)
    if work.probe is not None:
        found["probe"] = work.probe
    return {name: value[:_LONGEST_DETAIL] for name, value in found.items()}


def _options(effective: Mapping[str, Any]) -> str:
    """Returns an engine's options as canonical JSON, so that 0 and 0.0 are one; in plain JSON where that cannot be."""
    try:
        return canonical_bytes(dict(effective)).decode()
    except DataError:
        return json.dumps(dict(effective), sort_keys=True, ensure_ascii=False, default=str)


def _result(context: TaskContext, spec: LlmSpec, work: _Work, wall_ms: int) -> TaskResult:
    status, failure = work.failure or (Status.OK, None)
    _write_log(context.staging / LOG, context, work, status)
    answered = work.answered
    params = context.plan.params or {}
    reasons = tuple(sorted(work.reasons))
    level: Literal["exact", "same-text", "none"] = "same-text" if reasons else "exact"
    if answered is None or status in (Status.TIMEOUT, Status.REFUSED) or spec.determinism == "none":
        level = "none"
    elif spec.determinism == "same-text":
        level = "same-text"
    if level == "none" and not reasons:
        reasons = ("the spec asks for none" if spec.determinism == "none" else f"the run ended as {status.value}",)
    return TaskResult(
        status=status,
        cmd=("timelab", "run", str(context.plan.record.path)),
        exit_code=None,
        usage=Usage(wall_ms=wall_ms, tokens_in=work.tokens_in, tokens_out=work.tokens_out),
        sandbox=SandboxRecord(kind="not-needed", network="none", enforced=True, as_root=False),
        determinism=Determinism(level=level, seed_drawn=False, reasons=reasons),
        model=ModelRecord(
            name=answered.request.model,
            hash=answered.info.hash,
            params=dict(params),
            requested=spec.model,
            degraded=work.degraded,
            details=_details(work, answered),
        )
        if answered is not None
        else None,
        providers=work.route.attempts,
        error=failure,
    )


def _write_log(path: Path, context: TaskContext, work: _Work, status: Status) -> None:
    """Writes what was asked for, in words, for who opens the folder (A87, A159)."""
    lines = [f"{timestamp(context.clock.now())} {status.value}", f"params {json.dumps(context.plan.params)}"]
    lines += [work.remark] if work.remark else []
    for attempt in work.route.attempts:
        lines.append(f"{attempt.outcome} {attempt.provider} {attempt.model} {attempt.reason or ''}".rstrip())
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
