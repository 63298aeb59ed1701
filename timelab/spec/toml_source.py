"""TOML with places: the standard library reads the values, a scan beside it finds where they stand."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from datetime import date, time
from typing import Any

from timelab.spec.document import Document, Lines, Mark, Pointer, SourceFault, check_depth, check_values, visible

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
# At most two quotes may stand right before the closing three (TOML 1.0.0, "String").
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_PLACE = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)")


def parse_toml(text: str) -> Document:
    """Returns the document; raises `SourceFault`."""
    # The scan goes first: it refuses deep nesting, which tomllib would meet with recursion and quadratic time.
    scan = _Scan(text)
    with suppress(_Lost):  # then it is not TOML, and tomllib says so better
        scan.run()
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_fault(str(error), text) from error
    except (ValueError, OverflowError) as error:
        # Python 3.11: impossible dates and integers of more than 4,300 digits come out bare.
        raise SourceFault("not TOML: a date or number that cannot be") from error
    except RecursionError as error:
        raise SourceFault("is nested too deeply") from error
    document = check_values(Document(value, scan.values, scan.keys))
    _refuse_times(value, (), document)
    return document


def _syntax_fault(message: str, text: str) -> SourceFault:
    place = _PLACE.search(message)
    what = visible(_PLACE.sub("", message))[:160]
    mark = Mark(int(place[1]), int(place[2])) if place and place[1] else Lines(text).mark(len(text))
    return SourceFault(f"not TOML: {what[:1].lower()}{what[1:]}", mark)


def _refuse_times(value: Any, pointer: Pointer, document: Document) -> None:
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            _refuse_times(inner, (*pointer, key), document)
    elif isinstance(value, (date, time)):
        what = "is a TOML date or time"
        raise SourceFault(what, document.mark_of(pointer), pointer=pointer, hint="put it in quotes")


class _Lost(Exception):
    """Says that the scan met something that is not TOML."""


class _Scan:
    """Finds keys and values; accepts more than TOML, since tomllib judges the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = Lines(text)
        self._at = 0
        self._tables: dict[Pointer, int] = {}
        self.values: dict[Pointer, Mark] = {(): Mark(1, 1)}
        self.keys: dict[Pointer, Mark] = {}

    def run(self) -> None:
        base: Pointer = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                base = self._header()
            else:
                self._pair(base)
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if not found:
            raise _Lost
        self._at = found.end()
        return found[0]

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _header(self) -> Pointer:
        mark = self._lines.mark(self._at)
        is_array = self._take("[[") or not self._take("[")
        self._skip(_SPACE)
        name = self._resolve(self._dotted(()))
        self._skip(_SPACE)
        if not self._take("]]" if is_array else "]"):
            raise _Lost
        if is_array:
            number = self._tables.get(name, -1) + 1
            self._tables[name] = number
            self.values.setdefault(name, mark)
            name = (*name, number)
        self.values.setdefault(name, mark)
        return name

    def _resolve(self, name: Pointer) -> Pointer:
        """Puts into a header's name the number of the table that each array of tables is at."""
        out: Pointer = ()
        for number, part in enumerate(name):
            out = (*out, part)
            if out in self._tables and number < len(name) - 1:
                out = (*out, self._tables[out])
        return out

    def _dotted(self, base: Pointer) -> Pointer:
        name = base
        while True:
            mark = self._lines.mark(self._at)
            name = (*name, self._key())
            check_depth(name[:-1], mark)
            self.keys.setdefault(name, mark)
            self._skip(_SPACE)
            if not self._take("."):
                return name
            self.values.setdefault(name, mark)
            self._skip(_SPACE)

    def _key(self) -> str:
        sign = self._text[self._at : self._at + 1]
        if sign == "'":
            return self._skip(_LITERAL)[1:-1]
        if sign != '"':
            return self._skip(_BARE)
        text = self._skip(_BASIC)
        try:
            return next(iter(tomllib.loads(f"{text}=0")))
        except tomllib.TOMLDecodeError as error:
            raise _Lost from error

    def _pair(self, base: Pointer) -> None:
        name = self._dotted(base)
        if not self._take("="):
            raise _Lost
        self._skip(_SPACE)
        self._value(name)

    def _value(self, pointer: Pointer) -> None:
        mark = self.values[pointer] = self._lines.mark(self._at)
        if self._take("["):
            check_depth(pointer, mark)
            self._items(pointer)
        elif self._take("{"):
            check_depth(pointer, mark)
            self._inline(pointer)
        else:
            for sign, pattern in (('"""', _LONG_BASIC), ("'''", _LONG_LITERAL), ('"', _BASIC), ("'", _LITERAL)):
                if self._text.startswith(sign, self._at):
                    self._skip(pattern)
                    return
            self._skip(_SCALAR)

    def _items(self, pointer: Pointer) -> None:
        number = 0
        while True:
            self._skip(_BLANK)
            if self._take("]"):
                return
            self._value((*pointer, number))
            number += 1
            self._skip(_BLANK)
            if not self._take(",") and not self._text.startswith("]", self._at):
                raise _Lost

    def _inline(self, pointer: Pointer) -> None:
        while True:
            self._skip(_BLANK)
            if self._take("}"):
                return
            self._pair(pointer)
            self._skip(_BLANK)
            if not self._take(",") and not self._text.startswith("}", self._at):
                raise _Lost
