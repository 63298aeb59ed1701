"""Tells every skipped test's reason and remedy, and in CI lets no unexpected one pass for a success.

What may be skipped stands in `tests/expected-skips.toml`. A run with CI=true fails if a test was skipped for another
reason, or for one that the CI machine has to have (`ci = false`).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

EXPECTED = Path(__file__).parents[1] / "expected-skips.toml"


@dataclass(frozen=True)
class Expected:
    """Is one reason that is known, with what to do about it; `ci` says whether CI may lack it too."""

    reason: re.Pattern[str]
    remedy: str
    ci: bool


def read_expected(path: Path = EXPECTED) -> list[Expected]:
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("skip", [])
    return [Expected(re.compile(entry["reason"]), entry["remedy"], entry["ci"]) for entry in entries]


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def judge(reasons: Counter[str], expected: list[Expected], *, is_ci: bool) -> list[tuple[str, int, str, bool]]:
    """Returns (reason, how many, remedy, acceptable) for each reason."""
    judged = []
    for reason, count in sorted(reasons.items()):
        known = next((entry for entry in expected if entry.reason.search(reason)), None)
        remedy = known.remedy if known else "unexpected: mend the test, or list the reason in tests/expected-skips.toml"
        judged.append((reason, count, remedy, not is_ci or (known is not None and known.ci)))
    return judged


class Skips:
    def __init__(self) -> None:
        self.judged: list[tuple[str, int, str, bool]] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or hasattr(session.config, "workerinput"):
            return
        reasons = Counter(reason_of(report) for report in terminal.stats.get("skipped", []))
        self.judged = judge(reasons, read_expected(), is_ci=os.environ.get("CI") == "true")
        if session.exitstatus == 0 and not all(fine for *_, fine in self.judged):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.judged:
            return
        terminalreporter.section("skipped: why, and what to do")
        for reason, count, remedy, fine in self.judged:
            terminalreporter.write_line(f"{count} x {reason}")
            terminalreporter.write_line(f"    {'' if fine else 'NOT ACCEPTED in CI: '}{remedy}", red=not fine)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Skips(), "timelab-skips")
