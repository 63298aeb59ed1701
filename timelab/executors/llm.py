"""Asks a model: one prompt, or one for each case, and writes the answers to `output/output.jsonl` in order.

A line is `{"case", "input", "output", "parsed", "valid", "finish", "model", "request_sha256"}` as canonical JSON: only
what a second run with the same answers writes again. Times and providers go to `logs/calls.jsonl`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from timelab.canonical import canonical_bytes
from timelab.clock import Randomness, timestamp
from timelab.errors import DataError, ModelMismatch, ProviderError, SpecError, TaskError
from timelab.executors.base import TaskContext, TaskResult
from timelab.executors.cases import Case, read_cases, render
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


def effective_params(spec: LlmSpec, randomness: Randomness) -> tuple[dict[str, Any], bool]:
    """Returns every sampling parameter as it will be sent, and whether the seed was drawn."""
    given = spec.params.model_dump(mode="json", exclude_none=True)
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
        if choices:
            _ask_all(context, spec, choices, schema, work, start_s + spec.timeout_s)
        else:
            last = work.attempts[-1]
            work.failure = (Status.FAILED, Failure(slug=ProviderError.slug, message=last.reason or "nobody answered"))
        return _result(context, spec, work, round((context.clock.monotonic_s() - start_s) * 1000))


def _choices(context: TaskContext, spec: LlmSpec, work: _Work) -> Iterator[_Choice]:
    """Yields what may answer, in the spec's order; each that cannot is an attempt with its reason (R2)."""
    for named in (spec.model, *spec.fallback):
        pin = _PIN.search(named)
        model = named[: pin.start()] if pin else named
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
        if pin and info.hash != pin[1]:
            found = info.hash or "of unknown weights"
            raise ModelMismatch(
                f"{model} is {found}, the spec pins {pin[1]}", hint="pull the pinned weights, or pin these"
            )
        yield _Choice(named, model, pin[1] if pin else None, provider, info)


def _schema(context: TaskContext, spec: LlmSpec) -> Mapping[str, Any] | None:
    from timelab.spec.response_schema import schema_faults

    if spec.response_schema is None or not isinstance(spec.response_schema, str):
        return spec.response_schema
    path = spec.response_schema
    try:
        schema = json.loads(context.plan.closure.files[path])
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not JSON: {ascii(str(error))[1:120]}") from error
    if not isinstance(schema, dict):
        raise SpecError(f"{path}: a JSON Schema is an object")
    for fault in schema_faults(schema):
        raise SpecError(f"{path}: {fault}")
    return schema


def _cases(context: TaskContext, spec: LlmSpec) -> list[Case]:
    return read_cases(context.plan.closure.files[spec.cases], spec.cases) if spec.cases is not None else [{}]


def make_messages(context: TaskContext, spec: LlmSpec, case: Case) -> tuple[tuple[str, str], ...]:
    """Returns the conversation for a case: the system text, then the prompt or the messages, rendered."""
    where = str(context.plan.record.path)
    fill = (lambda text: render(text, case, where)) if spec.cases is not None else (lambda text: text)
    messages = [("system", fill(spec.system))] if spec.system is not None else []
    if spec.messages is not None:
        return (*messages, *((message.role, fill(message.content)) for message in spec.messages))
    if spec.prompt is not None:
        prompt = spec.prompt
    else:
        assert spec.prompt_file is not None
        try:
            prompt = context.plan.closure.files[spec.prompt_file].decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SpecError(f"{spec.prompt_file}: not UTF-8") from error
    return (*messages, ("user", fill(prompt)))


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
    prompts = [make_messages(context, spec, case) for case in cases]
    output, calls = context.staging / OUTPUT, context.staging / CALLS
    calls.parent.mkdir(exist_ok=True)
    with output.open("wb") as answers, calls.open("wb") as log:
        for number, (case, messages) in enumerate(zip(cases, prompts, strict=True), 1):
            left_s = deadline_s - context.clock.monotonic_s()
            if left_s <= 0:
                done = f"{number - 1} of {len(cases)} cases after {spec.timeout_s:g} s"
                work.failure = (Status.TIMEOUT, Failure(slug="timeout", message=done))
                return
            answered = _ask(context, choices, messages, schema, work, left_s)
            if answered is None:
                last = work.attempts[-1].reason or "nobody answered"
                work.failure = (Status.FAILED, Failure(slug=ProviderError.slug, message=f"case {number}: {last}"))
                return
            choice, request, response, took_ms = answered
            line = _line(number, case if spec.cases is not None else {}, choice, request, response, schema)
            answers.write(canonical_bytes(line) + b"\n")
            answers.flush()
            log.write(canonical_bytes({"case": number, "model": choice.model, "took_ms": took_ms}) + b"\n")
            if line["valid"] is False and work.failure is None:
                message = f"case {number}: the answer does not meet response_schema"
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
    for at, choice in enumerate(choices):
        request = Request(choice.model, messages, params, schema, timeout_s=left_s)
        start_s = context.clock.monotonic_s()
        try:
            response = choice.provider.complete(request)
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


def context_model(context: TaskContext) -> str:
    """Returns the model that the spec names first."""
    assert isinstance(context.plan.spec, LlmSpec)
    return context.plan.spec.model


def _line(
    number: int, case: Case, choice: _Choice, request: Request, response: Response, schema: Mapping[str, Any] | None
) -> dict[str, Any]:
    parsed, valid = check_answer(response.text, schema) if schema is not None else (None, None)
    return {
        "case": number,
        "input": dict(case),
        "output": response.text,
        "parsed": parsed,
        "valid": valid,
        "finish": response.finish,
        "model": choice.model,
        "request_sha256": request.digest(),
    }


def check_answer(text: str, schema: Mapping[str, Any]) -> tuple[Any, bool]:
    """Returns the answer as JSON and whether it meets the schema; (None, False) when it is not JSON at all."""
    import jsonschema

    try:
        value = json.loads(text)
        canonical_bytes(value)
    except (ValueError, RecursionError, DataError):
        return None, False
    return value, jsonschema.Draft202012Validator(dict(schema)).is_valid(value)


def _result(context: TaskContext, spec: LlmSpec, work: _Work, wall_ms: int) -> TaskResult:
    status, failure = work.failure or (Status.OK, None)
    _write_log(context.staging / LOG, context, work, status)
    info = work.answered
    params = context.plan.params or {}
    reasons = tuple(sorted(work.reasons))
    level: Literal["exact", "same-text", "none"] = "same-text" if reasons else "exact"
    if status is Status.TIMEOUT or info is None:
        level = "none"
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
    for attempt in work.attempts:
        lines.append(f"{attempt.outcome} {attempt.provider} {attempt.model} {attempt.reason or ''}".rstrip())
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
