"""What pydantic finds wrong, in words for the person who wrote the file."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from timelab.names import RunName
from timelab.spec.document import Pointer, given, visible
from timelab.spec.model import CommandSpec, LlmSpec, ModelParams

_WORDS = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BOUNDS = {"greater_than": ("gt", ">"), "greater_than_equal": ("ge", ">=")}
_UPPER = {"less_than": ("lt", "<"), "less_than_equal": ("le", "<=")}

# What each pattern of the model is in words; a test fails when the model gets one that is not here.
PATTERNS: dict[str, str] = {
    f"^(?:{RunName.pattern})$": "letters, digits, '.', '_' and '-', at most 64, beginning with a letter or digit",
    r"^[^\x00]*$": "text without NUL",
    r"^[A-Za-z_][A-Za-z0-9_]{0,127}$": "the name of an environment variable, without a value",
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$": "letters, digits, '_' and '-', at most 64",
    r"^[a-z][a-z0-9_]*:[^\s\x00-\x1f]{1,330}$": "provider:name, like builtin:extractive@1",
    r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$": "letters, digits, '.', '_', '/' and '-', at most 64",
}

# What a shell would act on; `=`, quotes and backslashes it only reads, as shlex does.
_SHELL = re.compile(r"[|&;<>$*?`()\n]|^~|\s~")
# A word that begins with a letter, '/', './' or '-x' is text in YAML and in every reader of it.
_PLAIN = re.compile(r"(?:[A-Za-z_/]|\.{1,2}/|--?[A-Za-z])[A-Za-z0-9_./=@+-]*")
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_MAX_SHOWN = 160

_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n", "true", "false"})


@dataclass(frozen=True)
class Finding:
    """Is one thing wrong in a document, not yet placed; `at_key` puts it at the key and not at the value."""

    pointer: Pointer
    what: str
    hint: str | None = None
    at_key: bool = False


def explain(error: ValidationError, value: Any, model: type[BaseModel]) -> list[Finding]:
    """Returns one finding for each pointer that pydantic complains of."""
    grouped: dict[Pointer, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        pointer = _pointer(detail, value)
        if not _is_echo(detail, _value_at(value, pointer)):
            grouped.setdefault(pointer, []).append(detail)
    return [_finding(pointer, details, value, model) for pointer, details in grouped.items()]


def near(word: str, choices: Iterable[str]) -> str | None:
    """Returns the choice that was probably meant."""
    hits = difflib.get_close_matches(word[:64].lower(), list(choices), n=1, cutoff=0.6)
    return hits[0] if hits else None


def _pointer(detail: ErrorDetails, value: Any) -> Pointer:
    """Returns the place in the document: pydantic also names the branches of a union, which no document has."""
    pointer: Pointer = ()
    for number, part in enumerate(detail["loc"]):
        is_item = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_item or (isinstance(value, dict) and part in value):
            pointer, value = (*pointer, part), value[part]
        elif detail["type"] == "missing" and number == len(detail["loc"]) - 1:
            return (*pointer, part)
    return pointer


def _value_at(value: Any, pointer: Pointer) -> Any:
    for part in pointer:
        value = value.get(part) if isinstance(value, dict) else value[part]
    return value


def _is_echo(detail: ErrorDetails, found: Any) -> bool:
    """Says whether pydantic calls a list too short only because some of its items are wrong."""
    return detail["type"] == "too_short" and len(found) >= detail.get("ctx", {})["min_length"]


def _finding(pointer: Pointer, details: list[ErrorDetails], value: Any, model: type[BaseModel]) -> Finding:
    first = details[0]
    if first["type"] == "missing":
        return Finding(pointer, "is missing")
    if first["type"] == "extra_forbidden":
        return Finding(pointer, "unknown key", hint=_key_hint(pointer, model), at_key=True)
    found = _value_at(value, pointer)
    kinds = dict.fromkeys(_WORDS[detail["type"]] for detail in details if detail["type"] in _WORDS)
    if len(kinds) == len(details) or (kinds and len({detail["type"] for detail in details}) == len(kinds)):
        expected = " or ".join(kinds)
        hint = _list_hint(pointer, found) if expected == "a list" else _type_hint(expected, found)
        return Finding(pointer, f"must be {expected}, not {given(found)}", hint=hint)
    # Of a union, the branch that got past the type is the one that was meant.
    meant = next((detail for detail in details if detail["type"] not in _WORDS), first)
    return Finding(pointer, _rule(meant, found), hint=_rule_hint(meant, found))


def _rule(detail: ErrorDetails, found: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    for table in (_BOUNDS, _UPPER):
        if kind in table:
            name, sign = table[kind]
            return f"must be {sign} {context[name]:g}, not {given(found)}"
    if kind == "finite_number":
        return "must be a finite number"
    if kind == "value_error":
        return visible(str(context.get("error", detail["msg"])))[:160]
    if kind == "literal_error":
        return f"must be {visible(str(context.get('expected')))[:100]}, not {given(found)}"
    if kind == "string_pattern_mismatch":
        words = PATTERNS.get(str(context.get("pattern")), "text of another form")
        return f"must be {words}, not {given(found)}"
    if kind in ("string_too_long", "string_too_short"):
        at_most = kind == "string_too_long"
        limit = context["max_length" if at_most else "min_length"]
        return f"must have {_count(at_most, limit, 'character')}, not {len(found)}"
    if kind in ("too_long", "too_short"):
        at_most = kind == "too_long"
        limit = context["max_length" if at_most else "min_length"]
        return f"must have {_count(at_most, limit, 'item')}, not {len(found)}"
    return f"{visible(detail['msg'])[:120].lower()}, not {given(found)}"


def _count(at_most: bool, limit: int, noun: str) -> str:
    return f"{'at most' if at_most else 'at least'} {limit} {noun}{'' if limit == 1 else 's'}"


def _rule_hint(detail: ErrorDetails, found: Any) -> str | None:
    if detail["type"] == "literal_error" and isinstance(found, str):
        choices = str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ", ").split(", ")
        meant = near(found, [choice.strip("'") for choice in choices])
        return f"did you mean '{meant}'?" if meant else None
    return None


def _type_hint(expected: str, found: Any) -> str | None:
    if expected == "a string" and isinstance(found, (bool, int, float)):
        return "put it in quotes"
    if expected == "true or false" and isinstance(found, str) and found.lower() in _OLD_BOOLEANS:
        return "write true or false, without quotes; YAML 1.2 reads yes, no, on and off as text"
    if "number" in expected and isinstance(found, str) and _is_number(found):
        return "write it without quotes"
    return None


def _list_hint(pointer: Pointer, found: Any) -> str | None:
    """Says how a string is written as a list: a command line word by word, anything else as the only item."""
    if not isinstance(found, str):
        return None
    words = [found]
    if pointer[-1] in ("argv", "args"):
        if pointer[-1] == "argv" and _SHELL.search(found):
            return "no shell reads argv: put the line into a script file and name that file under 'script'"
        try:
            words = shlex.split(found)
        except ValueError:  # a quote that is not closed
            return "write each word as an item of its own, [program, argument]"
    shown = f"{pointer[-1]}: [{', '.join(map(_flow_item, words))}]"
    return f"write {shown}" if words and len(shown) <= _MAX_SHOWN else "write each word as an item of its own"


def _flow_item(text: str) -> str:
    """Returns the text as an item between brackets: bare where YAML reads it as that text, else in double quotes."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT
    return text if is_plain else visible(json.dumps(text, ensure_ascii=False))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _key_hint(pointer: Pointer, model: type[BaseModel]) -> str | None:
    """Says what an unknown key was meant to be: a near name, a key of another place, or one of another kind."""
    key = str(pointer[-1])
    here = _model_at(model, pointer[:-1])
    meant = near(key, here.model_fields)
    if meant:
        return f"did you mean '{meant}'?"
    if here is model:
        if "params" in model.model_fields and key in ModelParams.model_fields:
            return f"'{key}' stands under 'params'"
        for other in (CommandSpec, LlmSpec):
            if other is not model and key in other.model_fields:
                kind = get_args(other.model_fields["kind"].annotation)[0]
                return f"'{key}' belongs to kind '{kind}'"
    elif key in model.model_fields:
        return f"'{key}' stands at the top of the spec"
    return "known here: " + ", ".join(here.model_fields)


def _model_at(model: type[BaseModel], pointer: Pointer) -> type[BaseModel]:
    for part in pointer:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models(model.model_fields[part].annotation), model)
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
