"""Whether a run.json fits the generated schema; parts that many records share are checked once."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

_KEPT = 20_000


class RunSchema:
    """Checks parsed run.json values with jsonschema, field by field.

    One record takes jsonschema 2 ms, nearly all of it for objects such as `env`, `shell` and `sandbox` that are equal
    in most records; so each field has a validator of its own, and an object that was found to fit is remembered.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        from jsonschema import Draft202012Validator

        fields: dict[str, Any] = schema["properties"]
        shared = {"$schema": schema["$schema"], "$defs": schema.get("$defs", {})}
        outer = {**schema, "properties": dict.fromkeys(fields, True)}
        self._outer = Draft202012Validator(outer)
        self._fields = {name: Draft202012Validator({**field, **shared}) for name, field in fields.items()}
        self._fitting: set[tuple[str, str]] = set()

    def fault(self, value: Any) -> str | None:
        """Returns the first thing that is against the schema as `/pointer: what`, or None."""
        first = next(self._outer.iter_errors(value), None)
        if first is not None:
            return _told("", first)
        for name, part in value.items():
            fault = self._field_fault(name, part)
            if fault is not None:
                return fault
        return None

    def _field_fault(self, name: str, part: Any) -> str | None:
        # run_id and the like are new each time and cheap.
        key = (name, json.dumps(part, sort_keys=True)) if not isinstance(part, str) else None
        if key is not None and key in self._fitting:
            return None
        first = next(self._fields[name].iter_errors(part), None)
        if first is not None:
            return _told(f"/{name}", first)
        if key is not None:
            if len(self._fitting) >= _KEPT:
                self._fitting.clear()
            self._fitting.add(key)
        return None


def _told(prefix: str, error: Any) -> str:
    pointer = prefix + "".join(f"/{part}" for part in error.absolute_path)
    return f"{pointer or '/'}: {ascii(error.message)[1:-1][:160]}"


@cache
def run_schema() -> RunSchema:
    """Returns the checker for this version's run.json."""
    from timelab.schemas import schema

    return RunSchema(schema("run"))
