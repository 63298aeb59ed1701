"""What is refused of a prompt is what `llm` refuses; `tests/cli/test_check.py` has the lines as people see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from timelab.errors import Problem
from timelab.executors.prompts import prompt_problems
from timelab.spec.document import Pointer, pointer_text
from timelab.spec.load import load_spec
from timelab.spec.model import LlmSpec


def problems(body: dict[str, Any], files: dict[str, bytes]) -> list[tuple[str, str, int, str]]:
    spec = load_spec(json.dumps({"timelab": 1, "kind": "llm", "model": "a:b", **body}).encode(), "a.json").spec
    assert isinstance(spec, LlmSpec)

    def locate(pointer: Pointer, what: str, hint: str | None) -> Problem:
        return Problem("a.json", 0, 0, pointer_text(pointer), what, hint)

    return [(each.path, each.pointer, each.line, each.what) for each in prompt_problems(spec, files.get, locate)]


def test_every_text_is_looked_at_and_only_its_first_fault_is_told() -> None:
    data = b'{"a": {"b": 1}}\n{"a": {}}\n{}\n'
    body = {"system": "{{ c }}", "prompt": "{{ a.b }} {{ }}", "cases": "c.jsonl"}
    assert problems(body, {"c.jsonl": data}) == [
        ("a.json", "/system", 0, "case 1: {{ c }} is not in this case"),
        ("a.json", "/prompt", 0, "case 1: line 1 of the prompt: '{{' with no name"),
    ]
    body = {"prompt": "{{ a.b }}", "cases": "c.jsonl"}
    assert problems(body, {"c.jsonl": data}) == [("a.json", "/prompt", 0, "case 2: {{ a.b }} is not in this case")]


def test_a_name_with_a_dot_may_be_a_column() -> None:
    assert problems({"prompt": "{{ a.b }}", "cases": "c.csv"}, {"c.csv": b"a.b\n1\n2\n"}) == []


def test_braces_of_a_prompt_file_without_cases_are_its_own() -> None:
    assert problems({"prompt_file": "p"}, {"p": b"{{ x }} {{"}) == []
    assert problems({"prompt_file": "p"}, {"p": b"\xff"}) == [("p", "", 0, "is not UTF-8")]


@pytest.mark.parametrize(
    ("data", "line", "what"),
    [(b"", 0, "holds no case"), (b'{"a": 1}\n[]\n', 2, "a case is a JSON object, this is list")],
)
def test_a_fault_of_the_cases_has_its_line(data: bytes, line: int, what: str) -> None:
    assert problems({"prompt": "{{ a }}", "cases": "odd: name.jsonl"}, {"odd: name.jsonl": data}) == [
        ("odd: name.jsonl", "", line, what)
    ]
