"""The documents' JSON Schemas: made from the types, kept in `schemas/`, and never edited by hand (A30, A50)."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from timelab.errors import NotFound

BASE = "https://timelab.invalid/schemas/"
"""Names a schema and promises no page there (RFC 6761 keeps `.invalid` out of the world)."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: dict[str, str] = {
    "spec": "timelab.spec.model:Spec",
    "run": "timelab.manifest:Manifest",
    "config": "timelab.config:RepositoryConfig",
    "check": "timelab.check:CheckReport",
    "trace": "timelab.views:Origins",
    "diff": "timelab.views:RunDiff",
    "verify": "timelab.views:VerifyReport",
    "replay": "timelab.views:ReplayReports",
    "settings": "timelab.config:ShownSettings",
}
"""What has a schema, as `module:name` of a type that pydantic can describe; each stands in `<key>.schema.json`.

A command's `--json` stands here under the command's name. A new document is one more line.
"""

_TITLES = {"spec": "Spec", "run": "Manifest (run.json)", "config": "timelab.toml"}


def schema(name: str) -> dict[str, Any]:
    """Returns the JSON Schema of one document.

    Raises:
        NotFound: no document has that name.
    """
    from pydantic import TypeAdapter

    if name not in DOCUMENTS:
        raise NotFound(f"no schema is named {ascii(name)[:80]}", hint=f"one of: {', '.join(DOCUMENTS)}")
    module_name, _, type_name = DOCUMENTS[name].partition(":")
    module = import_module(module_name)
    body = TypeAdapter(getattr(module, type_name)).json_schema(mode="validation")
    if name != "spec" and name != "config":
        # What we write is described as it is written: a field with a default is always there.
        body = TypeAdapter(getattr(module, type_name)).json_schema(mode="serialization")
    return {
        "$schema": DIALECT,
        "$id": f"{BASE}{name}.schema.json",
        "title": _TITLES.get(name, body.get("title", f"timelab {name} --json")),
        "description": body.get("description") or (module.__doc__ or "").partition("\n")[0],
        **{key: value for key, value in body.items() if key not in ("title", "description")},
    }


def schema_bytes(name: str) -> bytes:
    """Returns the file's bytes: indented for people and diffs, keys in the order of the fields, one LF at the end."""
    return (json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n").encode()


def write_schemas(folder: Path) -> list[str]:
    """Writes every schema into a folder, removes those of documents that are gone, and returns what changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = drift(folder)
    for file in changed:
        path = folder / file
        name = file.removesuffix(".schema.json")
        if name in DOCUMENTS:
            path.write_bytes(schema_bytes(name))
        else:
            path.unlink()
    return changed


def drift(folder: Path) -> list[str]:
    """Returns the names of the schema files that are missing, stale, or of no document, sorted."""
    wanted = {f"{name}.schema.json": schema_bytes(name) for name in DOCUMENTS}
    found = {path.name: path.read_bytes() for path in folder.glob("*.schema.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
