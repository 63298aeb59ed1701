"""Two files, or two runs' outputs: identical, equal after normalising, or different, and where first (design 7)."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from timelab.errors import DataError

Verdict = Literal["identical", "equal", "differs", "missing", "new"]

TOLERANCE = 1e-9
"""Floats of JSON and CSV files count as equal within this relative distance (absolute below 1e-12)."""

_ABSOLUTE = 1e-12
_BEFORE_CHARS = 24
_SHOWN_CHARS = 100
_BINARY_BYTES = 16


@dataclass(frozen=True)
class Difference:
    """Is the first place where two files part: line from 1 (None for binary files), byte from 0, and both sides.

    The sides are cut around the place; they are as they came, so whoever shows them escapes them.
    """

    line: int | None
    byte: int
    before: str
    after: str


@dataclass(frozen=True)
class FileDiff:
    """Is the verdict on one file; `missing` is gone in the second run, `new` came with it."""

    path: str
    verdict: Verdict
    first: Difference | None = None


def compare_outputs(
    before: Iterable[str],
    after: Iterable[str],
    read_before: Callable[[str], bytes | None],
    read_after: Callable[[str], bytes | None],
) -> tuple[FileDiff, ...]:
    """Returns the verdict on every output (`output/…`) of two runs, in order of path; other paths are passed over.

    Raises:
        DataError: the bytes of a file that both runs list are missing or damaged: nothing can be said of them.
    """
    old, new = ({path for path in paths if path.startswith("output/")} for paths in (before, after))
    found = []
    for path in sorted(old | new):
        if path not in new:
            found.append(FileDiff(path, "missing"))
        elif path not in old:
            found.append(FileDiff(path, "new"))
        else:
            found.append(compare_file(path, _bytes_of(path, read_before), _bytes_of(path, read_after)))
    return tuple(found)


def _bytes_of(path: str, read: Callable[[str], bytes | None]) -> bytes:
    data = read(path)
    if data is None:
        raise DataError(f"{ascii(path)[1:-1][:200]} of the record is missing or damaged", hint="timelab verify")
    return data


def compare_file(path: str, before: bytes, after: bytes) -> FileDiff:
    """Returns the verdict on one file; the normaliser is chosen by the path's suffix."""
    if before == after:
        return FileDiff(path, "identical")
    unequal = _first_unequal_line(path, before, after)
    if unequal is None:
        return FileDiff(path, "equal")
    return FileDiff(path, "differs", first_difference(before, after, from_line=unequal))


def first_difference(before: bytes, after: bytes, *, from_line: int = 1) -> Difference:
    """Returns where two unequal files part, looking from a line on."""
    start = _start_of_line(before, from_line), _start_of_line(after, from_line)
    if before[start[0] :] == after[start[1] :]:
        start, from_line = (0, 0), 1
    old, new = before[start[0] :], after[start[1] :]
    at = common_prefix(old, new)
    try:
        texts = before.decode("utf-8"), after.decode("utf-8")
        binary = any("\0" in text for text in texts)
    except UnicodeDecodeError:
        binary = True
    if binary:
        sides = (old[at : at + _BINARY_BYTES].hex(" "), new[at : at + _BINARY_BYTES].hex(" "))
        return Difference(None, start[0] + at, *sides)
    line = from_line + old[:at].count(b"\n")
    return Difference(line, start[0] + at, _window(old, at), _window(new, at))


def common_prefix(before: bytes, after: bytes) -> int:
    """Returns how many bytes two byte strings have in common at their start; quick for long ones."""
    low, high = 0, min(len(before), len(after))
    if before[:high] == after[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if before[low:middle] == after[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _start_of_line(data: bytes, line: int) -> int:
    at = 0
    for _ in range(line - 1):
        at = data.find(b"\n", at) + 1
        if at == 0:
            return len(data)
    return at


def _window(data: bytes, at: int) -> str:
    """Returns the line around a byte, cut to what a person can take in."""
    begin = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at)
    line = data[begin : len(data) if end < 0 else end].decode("utf-8", "replace")
    column = len(data[begin:at].decode("utf-8", "ignore"))
    left = max(0, column - _BEFORE_CHARS) if len(line) > _SHOWN_CHARS else 0
    cut = line[left : left + _SHOWN_CHARS]
    return ("…" if left else "") + cut + ("…" if left + len(cut) < len(line) else "")


def _first_unequal_line(path: str, before: bytes, after: bytes) -> int | None:
    """Returns the line from which two files are unequal after the suffix's normaliser, or None when they are equal."""
    suffix = path.rpartition(".")[2].lower()
    try:
        if suffix == "json":
            return None if is_close(_load(before), _load(after)) else 1
        if suffix in ("jsonl", "ndjson"):
            return _unequal_record(*([_load(line) for line in _lines(data)] for data in (before, after)))
        if suffix in ("csv", "tsv"):
            tables = [_table(data, "\t" if suffix == "tsv" else ",") for data in (before, after)]
            # A cell may hold line breaks, so a row's number is no line's; the bytes tell the place.
            return None if _unequal_record(*tables) is None else 1
    except (ValueError, RecursionError, csv.Error):
        return 1
    return 1


def _lines(data: bytes) -> list[bytes]:
    return data.removesuffix(b"\n").split(b"\n")


def _load(data: bytes) -> Any:
    return json.loads(data, object_pairs_hook=_no_duplicates)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate keys: which one counts is anybody's guess")
    return found


def _table(data: bytes, delimiter: str) -> list[list[Any]]:
    rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=delimiter, strict=True)
    return [[_cell(cell) for cell in row] for row in rows]


def _cell(text: str) -> Any:
    """Returns a float where a cell is written as one; other cells (ids, leading zeros) are text."""
    if "." in text or "e" in text.lower():
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _unequal_record(before: list[Any], after: list[Any]) -> int | None:
    for number, (left, right) in enumerate(zip(before, after, strict=False), 1):
        if not is_close(left, right):
            return number
    return None if len(before) == len(after) else min(len(before), len(after)) + 1


def is_close(left: Any, right: Any) -> bool:
    """Says whether two JSON values are equal: order of keys aside, floats within `TOLERANCE`."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, float) or isinstance(right, float):
        if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
            return False
        both_nan = left != left and right != right
        try:
            return both_nan or math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=_ABSOLUTE)
        except OverflowError:
            return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_close(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(is_close(a, b) for a, b in zip(left, right, strict=True))
    return type(left) is type(right) and bool(left == right)
