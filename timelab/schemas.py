"""The documents' JSON Schemas: made from the types, kept in `schemas/`, and never edited by hand (A30, A50)."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from pathlib import Path
from types import GenericAlias
from typing import Any, Literal

from timelab.errors import NotFound

BASE = "https://timelab.invalid/schemas/"
"""Names a schema and promises no page there (RFC 6761 keeps `.invalid` out of the world)."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: dict[str, str] = {
    "spec": "timelab.spec.model:Spec",
    "run": "timelab.manifest:Manifest",
    "config": "timelab.config:RepositoryConfig",
    "check": "timelab.check:CheckReport",
    "settings": "timelab.config:ShownSettings",
    "ran": "timelab.views:Ran",
    "pending": "timelab.pending:Outcome[]",
    "status": "timelab.views:StatusView",
    "held": "timelab.queue:Held[]",
    "allow": "timelab.views:Allowed",
    "log": "timelab.store.rows:RunRow[]",
    "versions": "timelab.versions:SpecVersion[]",
    "trace": "timelab.views:Origin[]",
    "diff": "timelab.views:RunDiff",
    "verify": "timelab.views:VerifyReport",
    "replay": "timelab.views:ReplayReport[]",
    "forget": "timelab.views:Forgotten",
    "reindex": "timelab.views:Rebuilt",
    "sync": "timelab.git.sync:SyncReport",
    "doctor": "timelab.views:Check[]",
    "router": "timelab.views:RouterView",
    "models": "timelab.views:ModelsView",
    "model": "timelab.views:ModelChoices",
    "pulled": "timelab.views:ModelView",
}
"""What has a schema, as `module:name` of a type that pydantic can describe; each stands in `<key>.schema.json`.

`[]` after the name is a list of them. A command's `--json` stands here under the command's name, or, where a command
prints several, under a name of its own whose title says which. A new document is one more line.
"""

_TITLES = {
    "spec": "Spec",
    "run": "Manifest (run.json)",
    "config": "timelab.toml",
    "ran": "timelab run FILE --json, and ai --json",
    "pending": "timelab run --pending --json",
    "held": "timelab allow --list --json",
    "allow": "timelab allow --json",
    "versions": "timelab log SPEC --json",
    "settings": "timelab config --json",
    "router": "timelab router status --json, and router reset --json",
    "models": "timelab model list --json",
    "model": "timelab model show --json",
    "pulled": "timelab model pull --json",
}


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
    is_list = type_name.endswith("[]")
    described: Any = getattr(module, type_name.removesuffix("[]"))
    # What we write is described as it is written: a field with a default is always there.
    mode: Literal["validation", "serialization"] = "validation" if name in ("spec", "config") else "serialization"
    asked: Any = GenericAlias(list, (described,)) if is_list else described
    body = TypeAdapter(asked).json_schema(mode=mode)
    says = (is_list and inspect.getdoc(described)) or module.__doc__ or ""
    return {
        "$schema": DIALECT,
        "$id": f"{BASE}{name}.schema.json",
        "title": _TITLES.get(name, body.get("title", f"timelab {name} --json")),
        "description": body.get("description") or says.partition("\n")[0],
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
