"""Whether an answer meets the schema that its spec asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from timelab.canonical import canonical_bytes
from timelab.errors import DataError, SpecError


class Checked(NamedTuple):
    """Is an answer as JSON (None when it is none) and what is wrong with it, in one line without its text."""

    value: Any
    fault: str | None


def read_schema(data: bytes, path: str) -> Mapping[str, Any]:
    """Returns the JSON Schema of a file.

    Raises:
        SpecError: not JSON, not an object, not a JSON Schema, or one that refers to another file.
    """
    from timelab.spec.response_schema import schema_faults

    try:
        schema = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not JSON: {ascii(str(error))[1:-1][:120]}") from error
    if not isinstance(schema, dict):
        raise SpecError(f"{path}: a JSON Schema is an object")
    for pointer, fault in schema_faults(schema):
        place = "".join(f"/{part}" for part in pointer)
        raise SpecError(f"{path}: {place + ': ' if place else ''}{fault}")
    return schema


def check_answer(text: str, schema: Mapping[str, Any]) -> Checked:
    """Returns the answer as JSON, judged by the schema's own draft (2020-12 where it names none).

    Raises:
        SpecError: the schema cannot be applied: a pattern that is no regular expression, references in a circle.
    """
    import jsonschema
    from jsonschema.validators import validator_for

    try:
        value = json.loads(text)
        canonical_bytes(value)
    except (ValueError, RecursionError, DataError):
        return Checked(None, "is not JSON")
    try:
        validator = validator_for(schema, default=jsonschema.Draft202012Validator)(dict(schema))
        # The first by place, so that the same answer gives the same line everywhere.
        faults = sorted(
            (list(map(str, error.absolute_path)), str(error.validator)) for error in validator.iter_errors(value)
        )
    except Exception as error:
        # jsonschema has no one class for what a schema can do to it: re.error, RecursionError, OverflowError …
        raise SpecError(f"/response_schema cannot be applied: {ascii(str(error))[1:-1][:160]}") from error
    if not faults:
        return Checked(value, None)
    place, rule = faults[0]
    return Checked(value, f"does not meet response_schema at /{'/'.join(place)[:200]} ({rule})")
