"""Every requirement in reach is named by a test that proves it, or listed with what it waits for."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

TESTS = Path(__file__).parents[1]
LISTED = tomllib.loads((TESTS / "requirements.toml").read_text("utf-8"))
_RANGE = re.compile(r"\b([A-DTXG])([1-9]\d*)(?:–\1?([1-9]\d*))?\b")


def ids(text: str) -> set[str]:
    """Returns the ids in a text; `A41–A47` and `A41–47` are all from one to the other."""
    return {
        f"{letter}{number}"
        for letter, first, last in _RANGE.findall(text)
        for number in range(int(first), int(last or first) + 1)
    }


def proved() -> dict[str, list[str]]:
    """Returns which tests name an id in their docstring: those of the tests themselves, not of modules or helpers."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for each in ids(ast.get_docstring(node) or ""):
                    found.setdefault(each, []).append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


def _by_number(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: (name[0], int(name[1:])))


def test_ranges_are_read_whole() -> None:
    assert ids("A1, A41–A43: D2 and T9–T10; not SHA256, A1b or RFC 8785") == {
        "A1", "A41", "A42", "A43", "D2", "T9", "T10"
    }  # fmt: skip


def test_each_requirement_in_reach_is_proved_or_waits_for_something() -> None:
    missing = ids(LISTED["in_reach"]) - proved().keys() - LISTED["later"].keys() - LISTED["not_tested"].keys()
    assert _by_number(missing) == []


def test_what_waits_is_in_reach_and_not_proved_yet() -> None:
    """A requirement that came to be proved leaves the list."""
    waits = LISTED["later"].keys() | LISTED["not_tested"].keys()
    assert waits <= ids(LISTED["in_reach"])
    assert _by_number(waits & proved().keys()) == []
    assert LISTED["later"].keys() & LISTED["not_tested"].keys() == set()
    assert all(len(reason.split()) >= 2 for reason in {**LISTED["later"], **LISTED["not_tested"]}.values())
