"""YAML with places: the core types of YAML 1.2, and nothing that makes one text mean two things.

PyYAML reads the syntax; it knows YAML 1.1 only, so that `no`, `1e3` and dates would mean what the writer did not
say. Values are therefore made here, out of its events: no tag, anchor, alias or merge key ever acts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from timelab.spec.document import (
    Document,
    Lines,
    Mark,
    Pointer,
    SourceFault,
    check_depth,
    check_values,
    quoted,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.error import MarkedYAMLError
    from yaml.events import Event, ScalarEvent

# YAML 1.2.2 §10.3.2, the table of the core schema.
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 400

# YAML 1.1 breaks lines at these three, YAML 1.2 does not: the same bytes would be two texts.
_OLD_BREAKS = re.compile("[\x85\u2028\u2029]")


def parse_yaml(text: str) -> Document:
    """Returns the document; raises `SourceFault`."""
    import yaml

    found = _OLD_BREAKS.search(text)
    if found:
        code = f"\\u{ord(found[0]):04x}"
        raise SourceFault(
            f"holds {code}, a line break in YAML 1.1 and a letter in YAML 1.2",
            Lines(text).mark(found.start()),
            hint=f'write it as "{code}" in double quotes',
        )
    try:
        return check_values(_Builder(yaml.parse(text, Loader=yaml.SafeLoader)).document())
    except yaml.reader.ReaderError as error:
        mark = Lines(text).mark(error.position)
        raise SourceFault("holds a control character that YAML does not allow", mark) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax_fault(error) from error
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError, IndexError) as error:
        # PyYAML lets an OverflowError or ValueError out of a \U escape beyond Unicode.
        raise SourceFault("not YAML") from error


def _syntax_fault(error: MarkedYAMLError) -> SourceFault:
    place = error.problem_mark or error.context_mark
    mark = Mark(place.line + 1, place.column + 1) if place else None
    what = visible(str(error.problem or error.context or "syntax error"))[:160]
    if "\\t" in what:
        return SourceFault("not YAML: a tab cannot begin a token", mark, hint="indent with spaces")
    hint = "put the text in quotes" if "mapping values are not allowed" in what else None
    return SourceFault(f"not YAML: {what}", mark, hint=hint)


class _Builder:
    """Turns a stream of events into values; recursion is bounded by MAX_DEPTH."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._values: dict[Pointer, Mark] = {}
        self._keys: dict[Pointer, Mark] = {}

    def document(self) -> Document:
        from yaml.events import DocumentEndEvent, DocumentStartEvent, StreamEndEvent, StreamStartEvent

        value: Any = None
        seen = False
        for event in self._events:
            if isinstance(event, (StreamStartEvent, StreamEndEvent, DocumentEndEvent)):
                continue
            if isinstance(event, DocumentStartEvent):
                if seen:
                    raise SourceFault("holds a second document", _mark(event), hint="one spec is one file")
                seen = True
                continue
            value = self._read(event, ())
        return Document(value, self._values, self._keys)

    def _read(self, event: Event, pointer: Pointer) -> Any:
        from yaml.events import AliasEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

        mark = self._values[pointer] = _mark(event)
        if isinstance(event, AliasEvent):
            raise SourceFault(
                f"holds an alias, *{visible(str(event.anchor))[:40]}", mark, pointer=pointer, hint=_SPELL_OUT
            )
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            raise SourceFault(f"holds an anchor, &{visible(anchor)[:40]}", mark, pointer=pointer, hint=_SPELL_OUT)
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise SourceFault(f"holds a tag, {quoted(tag)}", mark, pointer=pointer, hint="remove the tag")
        if isinstance(event, ScalarEvent):
            return _scalar(event, mark, pointer)
        check_depth(pointer, mark)
        if isinstance(event, SequenceStartEvent):
            return self._list(pointer)
        if isinstance(event, MappingStartEvent):
            return self._mapping(pointer)
        raise SourceFault("not YAML", mark)

    def _list(self, pointer: Pointer) -> list[Any]:
        from yaml.events import SequenceEndEvent

        items: list[Any] = []
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._read(event, (*pointer, len(items))))
        return items

    def _mapping(self, pointer: Pointer) -> dict[str, Any]:
        from yaml.events import MappingEndEvent, ScalarEvent

        items: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            mark = _mark(event)
            if not isinstance(event, ScalarEvent):
                raise SourceFault("a key must be a string", mark, pointer=pointer)
            key = self._key(event, pointer)
            inner = (*pointer, key)
            if key in items:
                raise SourceFault(f"key stands twice, first in line {self._keys[inner].line}", mark, pointer=inner)
            self._keys[inner] = mark
            items[key] = self._read(next(self._events), inner)
        return items

    def _key(self, event: ScalarEvent, pointer: Pointer) -> str:
        mark = _mark(event)
        if event.anchor is not None or event.tag is not None:
            raise SourceFault("a key holds an anchor or a tag", mark, pointer=pointer, hint=_SPELL_OUT)
        if event.value == "<<" and event.implicit[0]:
            raise SourceFault("holds a merge key, <<", mark, pointer=pointer, hint=_SPELL_OUT)
        key = _scalar(event, mark, pointer)
        if not isinstance(key, str):
            raise SourceFault(
                f"a key must be a string, not {quoted(event.value)}", mark, pointer=pointer, hint="put it in quotes"
            )
        return key


_SPELL_OUT = "write out what it stands for: a spec is read by people and by other tools"


def _mark(event: Event) -> Mark:
    place = event.start_mark
    return Mark(place.line + 1, place.column + 1) if place else Mark(1, 1)


def _scalar(event: ScalarEvent, mark: Mark, pointer: Pointer) -> str | int | float | bool | None:
    text = str(event.value)
    if not event.implicit[0]:
        # JSON is YAML, and JSON writes what lies beyond the basic plane as two escapes.
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _NOT_FINITE.fullmatch(text):
        raise SourceFault("must be a finite number", mark, pointer=pointer)
    value = _number(text, mark, pointer)
    return text if value is None else value


def _number(text: str, mark: Mark, pointer: Pointer) -> int | float | None:
    is_int, is_octal, is_hex = _INT.fullmatch(text), _OCTAL.fullmatch(text), _HEX.fullmatch(text)
    if not (is_int or is_octal or is_hex or _FLOAT.fullmatch(text)):
        return None
    if len(text) > _MAX_DIGITS:
        raise SourceFault("is a number of too many digits", mark, pointer=pointer)
    if is_int:
        return int(text)
    if is_octal or is_hex:
        return int(text[2:], 8 if is_octal else 16)
    return float(text)
