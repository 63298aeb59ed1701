"""Whether the JSON Schema that an answer must meet is one, and stays inside its own file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from timelab.spec.document import MAX_DEPTH, Pointer, quoted, visible

# Below these keys stands data, in which `$ref` is a name like any other (JSON Schema 2020-12 validation §6.1, §9).
_DATA_KEYS = frozenset({"const", "enum", "default", "examples"})


def schema_faults(schema: Mapping[str, Any]) -> list[tuple[Pointer, str]]:
    """Returns what is wrong with a JSON Schema, each with its place in it; empty when it can be used.

    A reference must point into the schema itself: jsonschema would fetch others from the network.
    """
    import jsonschema
    from jsonschema.validators import validator_for

    try:
        validator = validator_for(schema, default=jsonschema.Draft202012Validator)
        validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        return [(tuple(error.path), f"not a JSON Schema: {visible(error.message)[:160]}")]
    except Exception as error:
        # A `$schema` that is no string, or a number that the metaschema's arithmetic cannot hold: jsonschema has no
        # one class for these.
        return [((), f"not a JSON Schema: {visible(str(error))[:160]}")]
    return list(_bad_references(schema, schema, ()))


def _bad_references(node: Any, root: Mapping[str, Any], at: Pointer) -> Iterator[tuple[Pointer, str]]:
    if len(at) > MAX_DEPTH:
        return
    if isinstance(node, Mapping):
        for key, inner in node.items():
            if key in ("$ref", "$dynamicRef") and isinstance(inner, str):
                if not _resolves(inner, root):
                    yield (*at, key), f"must point into this schema, like '#/$defs/name', not {quoted(inner)}"
            elif key not in _DATA_KEYS:
                yield from _bad_references(inner, root, (*at, key))
    elif isinstance(node, (list, tuple)):
        for number, inner in enumerate(node):
            yield from _bad_references(inner, root, (*at, number))


def _resolves(reference: str, root: Mapping[str, Any]) -> bool:
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    node: Any = root
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return False
    return isinstance(node, (Mapping, bool))
