"""A parsed file before anybody knows what it means: plain values, and where each of them stands."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

MAX_DEPTH = 32
"""Levels of lists and mappings, the outermost one included (design 2)."""
MAX_INTEGER = (1 << 53) - 1
"""Canonical JSON, which everything is hashed as, has no larger whole number (RFC 8785 §3.2.2.3, style B1)."""

_QUOTE_CHARS = 60

Pointer = tuple[str | int, ...]


class Mark(NamedTuple):
    """Is a place in a text; both count from 1, columns in characters."""

    line: int
    column: int


class SourceFault(Exception):
    """Says why a text cannot be parsed; `load_spec` turns it into a `SpecError` and no one else sees it."""

    def __init__(self, what: str, mark: Mark | None = None, *, pointer: Pointer = (), hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.mark = mark
        self.pointer = pointer
        self.hint = hint


@dataclass(frozen=True)
class Document:
    """Is a parsed text: `values` marks each value, `keys` each key of a mapping, by its pointer."""

    value: Any
    values: dict[Pointer, Mark] = field(default_factory=dict)
    keys: dict[Pointer, Mark] = field(default_factory=dict)

    def mark_of(self, pointer: Pointer) -> Mark:
        """Returns where the value stands, or the nearest one around it that has a place."""
        while pointer and pointer not in self.values:
            pointer = pointer[:-1]
        return self.values.get(pointer, Mark(1, 1))

    def mark_of_key(self, pointer: Pointer) -> Mark:
        """Returns where the key stands, or else its value."""
        return self.keys.get(pointer) or self.mark_of(pointer)


class Lines:
    """Turns offsets into a text into lines and columns."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        at = text.find("\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = text.find("\n", at + 1)

    def mark(self, offset: int) -> Mark:
        """Returns the place of the character at `offset`."""
        line = bisect_right(self._starts, offset)
        return Mark(line, offset - self._starts[line - 1] + 1)


def pointer_text(pointer: Pointer) -> str:
    """Returns the JSON pointer (RFC 6901) as text that is safe to print; `/` for the whole document."""
    shown = "/".join(_shorten(visible(str(part)).replace("~", "~0").replace("/", "~1"), 80) for part in pointer)
    return "/" + shown


def visible(text: str) -> str:
    """Returns `text` with everything escaped that could move a cursor, break a line or turn the writing direction."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def quoted(text: str) -> str:
    """Returns a short quotation of a string that came from outside."""
    if len(text) > _QUOTE_CHARS:
        return f"'{_shorten(visible(text[:_QUOTE_CHARS]), _QUOTE_CHARS)}' ({len(text)} characters)"
    return f"'{_shorten(visible(text), 2 * _QUOTE_CHARS)}'"


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def given(value: Any) -> str:
    """Returns a few words for what was given where something else was expected."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {_shorten(str(value), 40)}"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"a mapping of {len(value)}"
    return f"a {visible(type(value).__name__)}"


def check_values(document: Document) -> Document:
    """Returns the document; refuses in it what no later stage can hold, whatever language it was written in."""
    _check_value(document.value, (), document)
    return document


def _check_value(value: Any, pointer: Pointer, document: Document) -> None:
    if isinstance(value, dict):
        check_depth(pointer, document.mark_of(pointer))
        for key, inner in value.items():
            _check_string(key, document.mark_of_key((*pointer, key)), pointer)
            _check_value(inner, (*pointer, key), document)
    elif isinstance(value, list):
        check_depth(pointer, document.mark_of(pointer))
        for number, inner in enumerate(value):
            _check_value(inner, (*pointer, number), document)
    elif isinstance(value, str):
        _check_string(value, document.mark_of(pointer), pointer)
    elif isinstance(value, float):
        if not isfinite(value):
            raise SourceFault("must be a finite number", document.mark_of(pointer), pointer=pointer)
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise SourceFault(f"is a whole number beyond {MAX_INTEGER}", document.mark_of(pointer), pointer=pointer)


def _check_string(text: str, mark: Mark, pointer: Pointer) -> None:
    """Refuses NUL, which ends a C string, and half a surrogate pair, which has no UTF-8."""
    if "\x00" in text:
        raise SourceFault("holds a NUL character", mark, pointer=pointer)
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise SourceFault("holds half of a surrogate pair", mark, pointer=pointer)


def check_depth(pointer: Pointer, mark: Mark) -> None:
    """Refuses a list or mapping at `pointer` that lies too deep."""
    if len(pointer) >= MAX_DEPTH:
        raise SourceFault(f"is nested deeper than {MAX_DEPTH} levels", mark, pointer=pointer[:3])
