"""Scans bytes for secrets: views of the text, candidates, and the pieces of lines around them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BLOCK_BYTES = 8 << 20
OVERLAP_BYTES = 64 << 10
_MAX_UNESCAPES = 3
NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Hit:
    """Is one secret that was found. `value` never leaves this package."""

    line: int
    kind: str
    value: str = field(repr=False)


def hits(data: bytes, name: str, known: Mapping[str, str] = NONE) -> list[Hit]:
    """Returns every secret in `data`, also those `known` by value, block by block.

    A block ends at a line's end where it can, else they overlap.
    """
    found: list[Hit] = []
    for first_line, block in _blocks(data):
        found += (Hit(first_line + hit.line, hit.kind, hit.value) for hit in _block_hits(block, name, known))
    return found


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    at, line = 0, 0
    while len(data) - at > BLOCK_BYTES:
        end = at + BLOCK_BYTES
        cut = data.rfind(b"\n", end - OVERLAP_BYTES, end) + 1
        yield line, data[at : cut or end]
        following = cut or end - OVERLAP_BYTES
        line += data.count(b"\n", at, following)
        at = following
    yield line, data[at:] if at else data


def _block_hits(block: bytes, name: str, known: Mapping[str, str]) -> Iterator[Hit]:
    for text in _views(block):
        yield from _view_hits(text, name)
        yield from _known_hits(text, known)


def _views(block: bytes) -> Iterator[str]:
    """Returns the text as it stands, then what it holds as UTF-16, then with backslash escapes undone, three deep."""
    text = block.decode("latin-1")
    yield text
    if "\0" in text:
        wide = _wide_text(text)
        if wide:
            yield wide
            text = f"{text}\n{wide}" if "\\" in wide else text
    for _ in range(_MAX_UNESCAPES):
        text = _unescape(text)
        if not text:
            return
        yield text


def _wide_text(text: str) -> str:
    """Returns the runs of UTF-16 (of ASCII signs, in either byte order), each on the line where it stands."""
    out, at = [], 0
    for match in re.finditer(r"(?:[\t\n\r\x20-\x7e]\0){8,}[\x20-\x7e]?", text):
        out.append("\n" * text.count("\n", at, match.start()) + "\v" + match.group().replace("\0", ""))
        at = match.end()
    return "".join(out)


def _unescape(text: str) -> str:
    r"""Returns the lines that hold JSON's escapes with them undone, the others empty; nothing when no line does.

    An escaped line end becomes \v, so that lines keep their place.
    """
    if "\\" not in text:
        return ""
    pattern = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([\"'\\/bfnrt]))")
    lines = [pattern.sub(_plain, line) if "\\" in line and pattern.search(line) else "" for line in text.split("\n")]
    return "\n".join(lines) if any(lines) else ""


def _plain(match: re.Match[str]) -> str:
    code, sign = match.groups()
    if code is not None:
        number = int(code, 16)
        return "\v" if number in (0x0A, 0x0D) else chr(number) if number < 0x100 else "?"
    return {"n": "\v", "r": "\v", "t": "\t", "b": " ", "f": " "}.get(sign, sign)


def _view_hits(text: str, name: str) -> Iterator[Hit]:
    from timelab.redact.plugins import GATES
    from timelab.redact.rules import RULES, value_of

    lowered = text.lower()
    line_of = _line_counter(text)
    for rule in RULES:
        for match in rule.find(text, lowered):
            start = match.start("value") if "value" in rule.pattern.groupindex else match.start()
            yield Hit(line_of(start), rule.kind, value_of(match))
    for gate in GATES:
        for start, value in gate.find(text, lowered, name):
            yield Hit(line_of(start), gate.kind, value)


def _known_hits(text: str, known: Mapping[str, str]) -> Iterator[Hit]:
    if not known:
        return
    from timelab.redact.known import known_matches

    line_of = _line_counter(text)
    for start, variable, value in known_matches(text, known):
        yield Hit(line_of(start), f"value of {variable}", value)


def _line_counter(text: str) -> Callable[[int], int]:
    ends: list[int] | None = None

    def line_of(position: int) -> int:
        nonlocal ends
        if ends is None:
            ends = [match.start() for match in re.finditer("\n", text)]
        return bisect_right(ends, position - 1) + 1

    return line_of


def folder_hits(folder: Path, known: Mapping[str, str] = NONE) -> Iterator[tuple[str, int, str]]:
    """Returns (path, line, kind) for the regular files of a folder, in order of path; line 0 is the path itself."""
    import os

    names = sorted(
        Path(root, name).relative_to(folder).as_posix()
        for root, _, files in os.walk(folder)
        for name in files
        if not Path(root, name).is_symlink() and Path(root, name).is_file()
    )
    for name in names:
        places = {(0, hit.kind) for hit in hits(os.fsencode(name), "", known)}
        places |= set(_file_places(folder / name, name, known))
        for line, kind in sorted(places):
            yield name, line, kind


def _file_places(path: Path, name: str, known: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Reads a file in blocks, so that a large one does not have to fit in memory."""
    line, rest = 0, b""
    with path.open("rb") as stream:
        while True:
            read = stream.read(BLOCK_BYTES)
            block = rest + read
            yield from ((line + hit.line, hit.kind) for hit in _block_hits(block, name, known))
            if len(read) < BLOCK_BYTES:
                return
            cut = block.rfind(b"\n", len(block) - OVERLAP_BYTES) + 1
            rest = block[cut or len(block) - OVERLAP_BYTES :]
            line += block.count(b"\n", 0, len(block) - len(rest))
