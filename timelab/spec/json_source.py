"""JSON with places: RFC 8259 to the letter, where the standard library tells neither lines nor duplicate keys."""

from __future__ import annotations

import json
import re
from json import decoder
from typing import Any

from timelab.spec.document import Document, Lines, Mark, Pointer, SourceFault, check_depth, check_values, quoted

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[^\s,:\[\]{}\"]+")
_CONSTANTS = {"true": True, "false": False, "null": None}
_MAX_DIGITS = 400


def parse_json(text: str) -> Document:
    """Returns the document; raises `SourceFault`."""
    reader = _Reader(text)
    at = reader.skip(0)
    value, at = reader.read(at, ())
    at = reader.skip(at)
    if at < len(text):
        raise SourceFault(f"something follows the document: {quoted(text[at : at + 20])}", reader.mark(at))
    return check_values(Document(value, reader.values, reader.keys))


class _Reader:
    """Reads values out of one text; recursion is bounded by MAX_DEPTH."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = Lines(text)
        self.values: dict[Pointer, Mark] = {}
        self.keys: dict[Pointer, Mark] = {}

    def mark(self, at: int) -> Mark:
        return self._lines.mark(at)

    def skip(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return found.end() if found else at

    def read(self, at: int, pointer: Pointer) -> tuple[Any, int]:
        mark = self.values[pointer] = self.mark(at)
        sign = self._text[at : at + 1]
        if sign == "{":
            check_depth(pointer, mark)
            return self._mapping(at + 1, pointer)
        if sign == "[":
            check_depth(pointer, mark)
            return self._list(at + 1, pointer)
        if sign == '"':
            return self._string(at)
        return self._scalar(at, pointer)

    def _scalar(self, at: int, pointer: Pointer) -> tuple[Any, int]:
        mark = self.mark(at)
        word = _WORD.match(self._text, at)
        if not word:
            what = "ends before the document is complete" if at >= len(self._text) else "a value is expected here"
            raise SourceFault(what, mark)
        if word[0] in _CONSTANTS:
            return _CONSTANTS[word[0]], word.end()
        number = _NUMBER.fullmatch(word[0])
        if not number:
            raise SourceFault(f"not a JSON value: {quoted(word[0])}", mark, hint=_value_hint(word[0]))
        if len(word[0]) > _MAX_DIGITS:
            raise SourceFault("is a number of too many digits", mark, pointer=pointer)
        return float(word[0]) if number[1] or number[2] else int(word[0]), word.end()

    def _string(self, at: int) -> tuple[str, int]:
        try:
            text, end = decoder.scanstring(self._text, at + 1, True)  # type: ignore[attr-defined]
            return str(text), int(end)
        except json.JSONDecodeError as error:
            what = error.msg.split(":")[0].lower().removesuffix(" at")
            raise SourceFault(f"not a JSON string: {what}", self.mark(error.pos)) from error

    def _list(self, at: int, pointer: Pointer) -> tuple[list[Any], int]:
        items: list[Any] = []
        at = self.skip(at)
        if self._text[at : at + 1] == "]":
            return items, at + 1
        while True:
            value, at = self.read(self.skip(at), (*pointer, len(items)))
            items.append(value)
            at, ended = self._after(at, "]")
            if ended:
                return items, at

    def _mapping(self, at: int, pointer: Pointer) -> tuple[dict[str, Any], int]:
        items: dict[str, Any] = {}
        at = self.skip(at)
        if self._text[at : at + 1] == "}":
            return items, at + 1
        while True:
            at = self.skip(at)
            mark = self.mark(at)
            if self._text[at : at + 1] != '"':
                raise SourceFault("a key in double quotes is expected here", mark, hint=self._key_hint(at))
            key, at = self._string(at)
            inner = (*pointer, key)
            if key in items:
                raise SourceFault(f"key stands twice, first in line {self.keys[inner].line}", mark, pointer=inner)
            self.keys[inner] = mark
            at = self.skip(at)
            if self._text[at : at + 1] != ":":
                raise SourceFault("':' is expected after the key", self.mark(at), pointer=inner)
            items[key], at = self.read(self.skip(at + 1), inner)
            at, ended = self._after(at, "}")
            if ended:
                return items, at

    def _after(self, at: int, closing: str) -> tuple[int, bool]:
        at = self.skip(at)
        sign = self._text[at : at + 1]
        if sign == closing:
            return at + 1, True
        if sign != ",":
            raise SourceFault(f"',' or '{closing}' is expected here", self.mark(at))
        return at + 1, False

    def _key_hint(self, at: int) -> str | None:
        sign = self._text[at : at + 1]
        if sign in ("}", "]"):
            return "JSON has no comma after the last item"
        return "JSON has no comments" if sign in ("/", "#") else None


def _value_hint(word: str) -> str | None:
    if word.lower() in _CONSTANTS:
        return f"JSON writes {word.lower()}"
    if word.startswith(("/", "#")):
        return "JSON has no comments"
    if word.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return "JSON has finite numbers only"
    return "a string stands in double quotes" if word[0].isalpha() or word[0] == "'" else None
