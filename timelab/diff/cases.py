"""Two runs of a model, case by case: which answers stayed and which changed."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any, Literal

ANSWERS = "output/output.jsonl"
"""Where the kind `llm` writes one record a case: `input` (what filled the prompt) and `output` (the answer)."""


@dataclass(frozen=True)
class CasePair:
    """Is one case that was answered in both runs, or in one of them; `input` is what filled the prompt, as text."""

    case: str
    input: str
    before: str | None
    after: str | None
    verdict: Literal["same", "changed", "missing", "new"]


@dataclass(frozen=True)
class _Case:
    number: int
    key: str
    input: str
    answer: str


def pair_cases(before: bytes | None, after: bytes | None) -> tuple[CasePair, ...]:
    """Returns the cases of two output.jsonl files side by side, in the order of the second.

    Cases belong together by their input, however far they moved; where none is told (one prompt) by their order.
    A file that does not hold such records gives none.
    """
    old, new = _cases(before), _cases(after)
    if not old and not new:
        return ()
    waiting: defaultdict[str, deque[_Case]] = defaultdict(deque)
    for case in old:
        waiting[case.key].append(case)
    pairs: list[CasePair] = []
    for case in new:
        twin = waiting[case.key].popleft() if waiting[case.key] else None
        if twin is None:
            pairs.append(CasePair(str(case.number), case.input, None, case.answer, "new"))
        else:
            verdict: Literal["same", "changed"] = "same" if twin.answer == case.answer else "changed"
            pairs.append(CasePair(str(case.number), case.input, twin.answer, case.answer, verdict))
    gone = sorted((case for group in waiting.values() for case in group), key=lambda case: case.number)
    return (*pairs, *(CasePair(str(case.number), case.input, case.answer, None, "missing") for case in gone))


def _cases(data: bytes | None) -> list[_Case]:
    found = []
    for number, line in enumerate((data or b"").removesuffix(b"\n").split(b"\n"), 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return []
        if not isinstance(record, dict) or "output" not in record:
            return []
        asked = record.get("input")
        key = json.dumps(asked, sort_keys=True) if asked is not None else ""
        found.append(_Case(number, key, _input(asked), _text(record["output"])))
    return found


def _input(asked: Any) -> str:
    if isinstance(asked, dict):
        return "\n".join(f"{key}: {_text(value)}" for key, value in asked.items())
    return "" if asked is None else _text(asked)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, indent=2)
