"""Answers against their schema."""

from __future__ import annotations

from typing import Any

import pytest

from timelab.errors import SpecError
from timelab.executors.answers import check_answer, read_schema

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_answer_that_meets_the_schema_is_given_back_as_json() -> None:
    assert check_answer(' {"n": 3}\n', SCHEMA) == ({"n": 3}, None)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is not JSON"),
        ('```json\n{"n": 3}\n```', "is not JSON"),
        ('{"n": 3} and more', "is not JSON"),
        ('{"n": NaN}', "is not JSON"),
        ('{"n": 99999999999999999999}', "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"n": "3"}', "does not meet response_schema at /n (type)"),
        ("{}", "does not meet response_schema at / (required)"),
    ],
)
def test_fault_names_the_place_and_never_the_text(text: str, fault: str) -> None:
    assert check_answer(text, SCHEMA).fault == fault


def test_schema_is_judged_by_its_own_draft() -> None:
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}
    assert check_answer('["a"]', old).fault is None
    assert check_answer("[1]", old).fault is not None


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"pattern": "("}])
def test_schema_that_cannot_be_applied_is_a_fault_of_the_spec(schema: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="cannot be applied"):
        check_answer('"text"', schema)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"{", "not JSON"),
        (b"[]", "a JSON Schema is an object"),
        (b'{"type": "strin"}', "not a JSON Schema"),
        (b'{"$ref": "https://example.invalid/s.json"}', "must point into this schema"),
    ],
)
def test_schema_file_is_judged_with_its_path(data: bytes, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_schema(data, "schemas/answer.json")
    assert caught.value.message.startswith("schemas/answer.json: ") and what in caught.value.message
