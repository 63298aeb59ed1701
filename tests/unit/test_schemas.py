"""The schemas in `schemas/` are those of the code, and agree with what the code accepts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from timelab.errors import NotFound, SpecError
from timelab.schemas import DOCUMENTS, drift, schema, schema_bytes, write_schemas
from timelab.spec.load import load_spec

ROOT = Path(__file__).parents[2]

# Changes on purpose only. Until 0.1.0: put the new digest here, with the reason in the commit. From then on the schema
# of a version that was released does not change; a change is a new version and a migration.
SPEC_SCHEMA_SHA256 = "43503e370a5bac32f39cd3b20eddd841db6425906199d38970157b7557c8f0dd"


def test_the_schema_of_a_spec_is_frozen() -> None:
    """A31: fails when the schema changes and nobody meant it."""
    assert hashlib.sha256(schema_bytes("spec")).hexdigest() == SPEC_SCHEMA_SHA256


def test_the_files_are_what_the_code_says() -> None:
    """A30, A50, D11: `timelab schema --write schemas` makes them."""
    assert drift(ROOT / "schemas") == []
    assert {"spec.schema.json", "run.schema.json"} <= {path.name for path in (ROOT / "schemas").iterdir()}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_schema_is_one(name: str) -> None:
    document = schema(name)
    Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"].endswith(f"/{name}.schema.json")
    assert document["title"]
    assert document["description"]


def test_drift_names_what_is_stale_missing_or_left_over(tmp_path: Path) -> None:
    assert len(write_schemas(tmp_path)) == len(DOCUMENTS)
    assert write_schemas(tmp_path) == []
    (tmp_path / "spec.schema.json").write_text("{}")
    (tmp_path / "run.schema.json").unlink()
    (tmp_path / "gone.schema.json").write_text("{}")
    assert drift(tmp_path) == ["gone.schema.json", "run.schema.json", "spec.schema.json"]
    write_schemas(tmp_path)
    assert drift(tmp_path) == []


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(NotFound) as caught:
        schema("spce")
    assert "spec" in (caught.value.hint or "")


COMMAND: dict[str, Any] = {"timelab": 1, "kind": "command", "argv": ["true"]}
LLM: dict[str, Any] = {"timelab": 1, "kind": "llm", "model": "builtin:extractive@1", "prompt": "hi"}

GOOD = [
    COMMAND,
    {**COMMAND, "argv": None, "script": "a.sh", "args": ["x"]},
    {**COMMAND, "limits": {"cpu_s": 1}, "timeout_s": 1, "inputs": ["a/**"], "tags": ["a/b"], "env": ["HOME"]},
    LLM,
    {**LLM, "prompt": None, "messages": [{"role": "user", "content": ""}], "params": {"temperature": 1, "stop": ["x"]}},
    {**LLM, "response_schema": {"type": "object"}},
    {**LLM, "response_schema": "schemas/x.json", "fallback": ["ollama:x"], "determinism": "exact"},
]
BAD = [
    {**COMMAND, "timelab": 2},
    {**COMMAND, "kind": "x"},
    {**COMMAND, "argv": []},
    {**COMMAND, "argv": None},
    {**COMMAND, "script": "a.sh"},
    {**COMMAND, "args": ["x"]},
    {**COMMAND, "argv": ["a", 1]},
    {**COMMAND, "extra": 1},
    {**COMMAND, "timeout_s": 0},
    {**COMMAND, "timeout_s": "1"},
    {**COMMAND, "allow_net": "no"},
    {**COMMAND, "limits": {"cpu": 1}},
    {**COMMAND, "name": "a/b"},
    {**COMMAND, "tags": "a"},
    {**LLM, "model": "nothing"},
    {**LLM, "prompt_file": "x"},
    {**LLM, "prompt": None},
    {**LLM, "params": {"seed": -1}},
    {**LLM, "params": {"top_p": 0}},
    {**LLM, "messages": []},
    {**LLM, "response_schema": 5},
    {"timelab": 1},
]


def accepts(value: dict[str, Any]) -> bool:
    try:
        load_spec(json.dumps(value).encode(), "specs/a.json")
    except SpecError:
        return False
    return True


@pytest.mark.parametrize("value", GOOD)
def test_what_the_loader_takes_the_schema_takes(value: dict[str, Any]) -> None:
    assert accepts(value)
    Draft202012Validator(schema("spec")).validate(value)


@pytest.mark.parametrize("value", BAD)
def test_what_the_loader_refuses_the_schema_refuses(value: dict[str, Any]) -> None:
    assert not accepts(value)
    assert not Draft202012Validator(schema("spec")).is_valid(value)
