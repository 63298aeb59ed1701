"""An answer's schema is a schema, and never reaches out."""

from __future__ import annotations

from typing import Any

import pytest

from timelab.spec.response_schema import schema_faults


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"enum": [{"$ref": "anything"}]},
        {"$ref": "#"},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]},
    ],
)
def test_a_good_schema_has_no_faults(schema: dict[str, Any]) -> None:
    assert schema_faults(schema) == []


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "objct"}, ("type",)),
        ({"properties": {"a": {"minimum": "x"}}}, ("properties", "a", "minimum")),
        ({"items": {"$ref": "file:///etc/passwd"}}, ("items", "$ref")),
        ({"items": {"$ref": "#/$defs/none"}}, ("items", "$ref")),
        ({"anyOf": [{"$dynamicRef": "other.json"}]}, ("anyOf", 0, "$dynamicRef")),
        ({"$schema": 5}, ()),
    ],
)
def test_a_bad_schema_is_told_with_its_place(schema: dict[str, Any], pointer: tuple[Any, ...]) -> None:
    faults = schema_faults(schema)
    assert faults
    assert faults[0][0][: len(pointer)] == pointer
