"""Asks a model: one prompt, or one for each case, and writes the answers to `output/output.jsonl` in order.

A line is `{"case", "input", "output", "parsed", "valid", "finish", "model", "request_sha256"}` as canonical JSON: only
what a second run with the same answers writes again. Times and providers go to `logs/calls.jsonl`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from timelab.canonical import canonical_bytes
from timelab.clock import Randomness, timestamp
from timelab.errors import ModelMismatch, ProviderError, SpecError, TaskError
from timelab.executors.answers import Checked, check_answer, read_schema
from timelab.executors.base import TaskContext, TaskResult
from timelab.executors.cases import Case, names_in, read_cases, render
from timelab.manifest import Attempt, Determinism, Failure, ModelRecord, SandboxRecord, Status, Usage
from timelab.providers.base import ModelInfo, Provider, Request, Response
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

_PIN = re.compile(r"@(sha256:[0-9a-f]{64})\Z")


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

    attempts: list[Attempt] = field(default_factory=list)
    answered: ModelInfo | None = None
    answered_as: str | None = None
    degraded: bool = False
    tokens_in: int | None = 0
    tokens_out: int | None = 0
    failure: tuple[Status, Failure] | None = None
    reasons: set[str] = field(default_factory=set)
    remark: str | None = None

    def count(self, response: Response) -> None:
        """Adds a response's tokens; one that is unknown makes the sum unknown."""
        if self.tokens_in is not None:
            self.tokens_in = None if response.tokens_in is None else self.tokens_in + response.tokens_in
        if self.tokens_out is not None:
            self.tokens_out = None if response.tokens_out is None else self.tokens_out + response.tokens_out


@dataclass(frozen=True)
class _Choice:
    """Is a model of the spec with the provider that may answer for it."""

    named: str
    model: str
    pin: str | None
    provider: Provider
    info: ModelInfo


class LlmExecutor:
    """Does tasks of kind `llm`."""

    kind = "llm"

    def execute(self, context: TaskContext) -> TaskResult:
        """Asks the model for each case and checks each answer against `response_schema`.

        Raises:
            ModelMismatch: the pinned weights are not those that the provider has (65).
            SpecError: a case, a place in the prompt or the schema file is wrong.
        """
        spec = context.plan.spec
        if not isinstance(spec, LlmSpec):
            raise TaskError(f"not an llm task: {spec.kind}")
        start_s = context.clock.monotonic_s()
        work = _Work()
        choices = list(_choices(context, spec, work))
        schema = _schema(context, spec)
        doubtful = [choice.model for choice in choices if not choice.info.deterministic]
        if choices and spec.determinism == "exact" and doubtful:
            what = f"{doubtful[0]} cannot promise the exact answer that the spec asks for"
            work.failure = (Status.REFUSED, Failure(slug="determinism", message=what))
        elif choices:
            _ask_all(context, spec, choices, schema, work, start_s + spec.timeout_s)
        else:
            last = work.attempts[-1]
            work.failure = (Status.FAILED, Failure(slug=ProviderError.slug, message=last.reason or "nobody answered"))
        return _result(context, spec, work, round((context.clock.monotonic_s() - start_s) * 1000))


def _choices(context: TaskContext, spec: LlmSpec, work: _Work) -> Iterator[_Choice]:
    """Yields what may answer, in the spec's order; each that cannot is an attempt with its reason (R2)."""
    for named in (spec.model, *spec.fallback):
        model, pin = split_pin(named)
        provider = context.providers.get(model.partition(":")[0])
        if provider is None:
            known = ", ".join(sorted(context.providers))
            reason = f"this timelab has no provider {model.partition(':')[0]!r} (it has: {known})"
            work.attempts.append(
                Attempt(provider=model.partition(":")[0], model=model, outcome="skipped", reason=reason)
            )
            continue
        dropped = sorted(provider.dropped_params & set(spec.params.model_dump(exclude_none=True)))
        if dropped:
            raise SpecError(f"{context.plan.record.path}: /params/{dropped[0]}: {provider.name} cannot express it")
        try:
            info = provider.describe(model)
        except ProviderError as error:
            work.attempts.append(Attempt(provider=provider.name, model=model, outcome="failed", reason=error.message))
            continue
        if pin and info.hash != pin:
            what = f"{model} is {info.hash or 'of unknown weights'}, the spec pins {pin}"
            raise ModelMismatch(what, hint="pull the pinned weights, or pin these")
        yield _Choice(named, model, pin, provider, info)


def split_pin(named: str) -> tuple[str, str | None]:
    """Returns a model without the digest that pins its weights, and that digest, `sha256:…`."""
    pin = _PIN.search(named)
    return (named[: pin.start()], pin[1]) if pin else (named, None)


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


def _ask_all(
    context: TaskContext,
    spec: LlmSpec,
    choices: list[_Choice],
    schema: Mapping[str, Any] | None,
    work: _Work,
    deadline_s: float,
) -> None:
    cases = _cases(context, spec)
    # Every prompt is rendered before the first is sent: a mistake in case 900 must not cost 899 answers.
    work.remark = _check_names(context, spec, cases)
    prompts = [make_messages(context, spec, case, number) for number, case in enumerate(cases, 1)]
    output, calls = context.staging / OUTPUT, context.staging / CALLS
    calls.parent.mkdir(exist_ok=True)
    with output.open("wb") as answers, calls.open("wb") as log:
        for number, (case, messages) in enumerate(zip(cases, prompts, strict=True), 1):
            left_s = deadline_s - context.clock.monotonic_s()
            answered = _ask(context, choices, messages, schema, work, left_s) if left_s > 0 else None
            if answered is None and deadline_s - context.clock.monotonic_s() <= 0:
                done = f"{number - 1} of {len(cases)} cases after {spec.timeout_s:g} s"
                work.failure = (Status.TIMEOUT, Failure(slug="timeout", message=done))
                return
            if answered is None:
                last = work.attempts[-1].reason or "nobody answered"
                work.failure = (Status.FAILED, Failure(slug=ProviderError.slug, message=f"case {number}: {last}"))
                return
            choice, request, response, took_ms = answered
            checked = check_answer(response.text, schema) if schema is not None else None
            line = _line(number, case, choice, request, response, checked)
            answers.write(canonical_bytes(line) + b"\n")
            answers.flush()
            log.write(canonical_bytes({"case": number, "model": choice.model, "took_ms": took_ms}) + b"\n")
            if checked is not None and checked.fault is not None and work.failure is None:
                message = f"case {number}: the answer {checked.fault}"
                work.failure = (Status.FAILED, Failure(slug="response-schema", message=message))
            context.progress(number, len(cases))


def _ask(
    context: TaskContext,
    choices: list[_Choice],
    messages: tuple[tuple[str, str], ...],
    schema: Mapping[str, Any] | None,
    work: _Work,
    left_s: float,
) -> tuple[_Choice, Request, Response, int] | None:
    """Asks the first choice that answers; later ones only where the spec lists them as fallback."""
    params = context.plan.params or {}
    deadline_s = context.clock.monotonic_s() + left_s
    for at, choice in enumerate(choices):
        start_s = context.clock.monotonic_s()
        if start_s >= deadline_s:
            break
        request = Request(choice.model, messages, params, schema, timeout_s=deadline_s - start_s)
        try:
            response = _complete(choice.provider, request)
        except ProviderError as error:
            attempt = Attempt(provider=choice.provider.name, model=choice.model, outcome="failed", reason=error.message)
            work.attempts.append(attempt)
            continue
        took_ms = round((context.clock.monotonic_s() - start_s) * 1000)
        answer = Attempt(provider=choice.provider.name, model=choice.model, outcome="answered", reason=None)
        if answer not in work.attempts:
            work.attempts.append(answer)
        if work.answered is None or at > 0:
            work.answered, work.answered_as = choice.info, choice.model
        work.degraded = work.degraded or choice.named != context_model(context)
        if not choice.info.deterministic:
            work.reasons.add(f"{choice.model} may answer otherwise another time")
        work.count(response)
        return choice, request, response, took_ms
    return None


def _complete(provider: Provider, request: Request) -> Response:
    """Returns a complete answer that can be written down; raises `ProviderError` for any other (facts of engines)."""
    response = provider.complete(request)
    if response.finish not in ("stop", "length"):
        raise ProviderError(f"the answer is not complete: {ascii(response.finish)[1:-1][:80]}")
    try:
        response.text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ProviderError("the answer is not Unicode text") from error
    return response


def context_model(context: TaskContext) -> str:
    """Returns the model that the spec names first."""
    assert isinstance(context.plan.spec, LlmSpec)
    return context.plan.spec.model


def _line(
    number: int, case: Case, choice: _Choice, request: Request, response: Response, checked: Checked | None
) -> dict[str, Any]:
    # A line is about an answer, so that one that is passed on keeps the name of who gave it, and to what.
    model = response.model or choice.model
    return {
        "case": number,
        "input": dict(case),
        "output": response.text,
        "parsed": checked.value if checked is not None else None,
        "valid": checked.fault is None if checked is not None else None,
        "finish": response.finish,
        "model": model,
        "request_sha256": replace(request, model=model).digest(),
    }


def _result(context: TaskContext, spec: LlmSpec, work: _Work, wall_ms: int) -> TaskResult:
    status, failure = work.failure or (Status.OK, None)
    _write_log(context.staging / LOG, context, work, status)
    info = work.answered
    params = context.plan.params or {}
    reasons = tuple(sorted(work.reasons))
    level: Literal["exact", "same-text", "none"] = "same-text" if reasons else "exact"
    if info is None or status is Status.TIMEOUT or spec.determinism == "none":
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
            name=work.answered_as or info.name,
            hash=info.hash,
            params=dict(params),
            requested=spec.model,
            degraded=work.degraded,
            details=dict(info.details),
        )
        if info is not None
        else None,
        providers=tuple(work.attempts),
        error=failure,
    )


def _write_log(path: Path, context: TaskContext, work: _Work, status: Status) -> None:
    """Writes what was asked for, in words, for who opens the folder (A87, A159)."""
    lines = [f"{timestamp(context.clock.now())} {status.value}", f"params {json.dumps(context.plan.params)}"]
    lines += [work.remark] if work.remark else []
    for attempt in work.attempts:
        lines.append(f"{attempt.outcome} {attempt.provider} {attempt.model} {attempt.reason or ''}".rstrip())
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
