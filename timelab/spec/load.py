"""From the bytes of a file to a valid spec, or to every reason why it is not one, each with its place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from timelab.errors import Problem, SpecError
from timelab.names import path_fault
from timelab.spec.document import Document, Mark, Pointer, SourceFault, given, pointer_text, visible
from timelab.spec.explain import Finding, explain, near
from timelab.spec.model import KINDS, SPEC_VERSION, CommandSpec, LlmSpec
from timelab.spec.response_schema import schema_faults
from timelab.spec.source import is_ours, parse

__all__ = ["Loaded", "is_ours", "load_spec"]

_CLASSES: dict[str, type[CommandSpec] | type[LlmSpec]] = {"command": CommandSpec, "llm": LlmSpec}


@dataclass(frozen=True)
class Loaded:
    """Is a valid spec, with the bytes that it was read from."""

    spec: CommandSpec | LlmSpec
    raw: bytes
    path: str


def load_spec(data: bytes, path: str, *, given_by_hand: bool = False) -> Loaded:
    """Returns the spec that stands in `data`.

    Args:
        data: the whole file.
        path: its name, relative to the repository's root; the suffix tells the format.
        given_by_hand: a person typed the path. It may then lie anywhere; a committed one has to stay inside.

    Raises:
        SpecError: its `problems` are all that is wrong, in the order of the file.
    """
    shown = visible(path)
    if not given_by_hand and (fault := path_fault(path)):
        raise SpecError.of((Problem(shown[:200], 0, 0, "", f"the spec's path {fault}"),))
    try:
        document = parse(data, path)
        spec, findings = _validate(document)
    except SourceFault as fault_found:
        raise SpecError.of((_problem(shown, fault_found),)) from fault_found
    if spec is None or findings:
        raise SpecError.of(_problems(findings, document, shown))
    return Loaded(spec=spec, raw=data, path=path)


def _problem(shown: str, fault: SourceFault) -> Problem:
    line, column = fault.mark or Mark(0, 0)
    pointer = pointer_text(fault.pointer) if fault.pointer else ""
    return Problem(shown, line, column, pointer, fault.what, fault.hint)


def _problems(findings: list[Finding], document: Document, shown: str) -> tuple[Problem, ...]:
    out = []
    for finding in findings:
        mark = document.mark_of_key(finding.pointer) if finding.at_key else document.mark_of(finding.pointer)
        out.append(Problem(shown, mark.line, mark.column, pointer_text(finding.pointer), finding.what, finding.hint))
    return tuple(sorted(out, key=lambda problem: (problem.line, problem.column, problem.pointer)))


def _validate(document: Document) -> tuple[CommandSpec | LlmSpec | None, list[Finding]]:
    value = document.value
    if not isinstance(value, dict):
        return None, [Finding((), f"a spec must be a mapping, not {given(value)}", hint=_START)]
    head = _check_head(value)
    if head:
        return None, head
    model = _CLASSES[value["kind"]]
    try:
        # As JSON, because strict models take a list for a tuple only there.
        spec = model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        return None, explain(error, value, model)
    if isinstance(spec, LlmSpec) and isinstance(spec.response_schema, dict):
        at: Pointer = ("response_schema",)
        return spec, [Finding((*at, *pointer), what) for pointer, what in schema_faults(spec.response_schema)]
    return spec, []


_START = f"begin with 'timelab: {SPEC_VERSION}' and 'kind: {' | '.join(KINDS)}'"


def _check_head(value: dict[str, Any]) -> list[Finding]:
    """Checks the two fields that say how to read the rest."""
    findings: list[Finding] = []
    if "timelab" not in value:
        findings.append(Finding(("timelab",), "is missing", hint=_START))
    else:
        version = value["timelab"]
        if isinstance(version, int) and not isinstance(version, bool) and version > SPEC_VERSION:
            what = f"is spec version {version}, this timelab reads {SPEC_VERSION}"
            findings.append(Finding(("timelab",), what, hint="install a newer timelab"))
        elif version != SPEC_VERSION or not isinstance(version, int) or isinstance(version, bool):
            findings.append(Finding(("timelab",), f"must be {SPEC_VERSION}, not {given(version)}"))
    kinds = ", ".join(KINDS)
    if "kind" not in value:
        findings.append(Finding(("kind",), "is missing", hint=f"one of: {kinds}"))
    elif not isinstance(value["kind"], str) or value["kind"] not in KINDS:
        meant = near(value["kind"], KINDS) if isinstance(value["kind"], str) else None
        hint = f"did you mean '{meant}'?" if meant else None
        findings.append(Finding(("kind",), f"must be one of {kinds}, not {given(value['kind'])}", hint=hint))
    return findings
