"""Where the steps of a verification write down what they looked at and what they found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from timelab.views import Finding, Step

STEPS: tuple[tuple[str, str], ...] = (
    ("chain intact", "entries"),
    ("schema", "records"),
    ("run_id and run_key", "records"),
    ("spec in commit", "specs"),
    ("inputs", "inputs"),
    ("lock", "locks"),
    ("artifacts", "files"),
    ("note equals chain", "lines"),
    ("folder equals chain", "folders"),
    ("nothing truncated", "places"),
)
"""The numbered steps (design 7) and what each counts. A step for signatures comes with signatures."""

CHAIN, SCHEMA, IDS, SPEC, INPUTS, LOCK, ARTIFACTS, NOTE, FOLDER, TRUNCATED = range(1, 11)


@dataclass
class _Count:
    checked: int = 0
    wrong: int = 0
    unknown: int = 0
    absent: int = 0


@dataclass
class Ledger:
    """Collects counts, findings and warnings, step by step."""

    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    _counts: dict[int, _Count] = field(default_factory=dict)

    def _of(self, step: int) -> _Count:
        return self._counts.setdefault(step, _Count())

    def checked(self, step: int, number: int = 1) -> None:
        """Counts things that were looked at."""
        self._of(step).checked += number

    def wrong(self, step: int, run_id: str | None, place: str, what: str, heal: str | None = None) -> None:
        """Writes down something that is wrong."""
        self._of(step).wrong += 1
        self.findings.append(Finding(step, run_id, place, what, heal))

    def unknown(self, step: int) -> None:
        """Counts something that cannot be told here."""
        self._of(step).unknown += 1

    def absent(self, step: int) -> None:
        """Counts a copy that is not there."""
        self._of(step).absent += 1

    def warn(self, step: int, run_id: str | None, place: str, what: str, heal: str | None = None) -> None:
        """Writes down something worth a look that is no fault of the records."""
        self.warnings.append(Finding(step, run_id, place, what, heal))

    def steps(self) -> tuple[Step, ...]:
        """Returns the steps with their counts and results, in order."""
        rows = []
        for number, (name, unit) in enumerate(STEPS, 1):
            count = self._of(number)
            rows.append(
                Step(
                    number,
                    name,
                    unit,
                    count.checked,
                    count.wrong,
                    count.unknown,
                    count.absent,
                    _result(count),
                )
            )
        return tuple(rows)


def span(start: int, end: int) -> str:
    """Returns how people are told of bytes: `byte 17`, `byte 17..40` (the end is not part of it)."""
    return f"byte {start}" if end == start + 1 else f"byte {start}..{end}"


def _result(count: _Count) -> Literal["passed", "wrong", "unknown", "absent", "skipped"]:
    if count.wrong:
        return "wrong"
    if count.checked > count.unknown + count.absent:
        return "passed"
    if count.absent:
        return "absent"
    return "unknown" if count.unknown else "skipped"
