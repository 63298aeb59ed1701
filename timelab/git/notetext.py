"""The text of one note: our run lines first, a set in order of their keys, and behind them what people wrote, verbatim.

`timelab init` points `core.notesRef` at our notes, so people write into them with plain `git notes`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

FOREIGN = ("~", "")
"""The key of a line that is none of ours: after every timestamp."""

_MARKS = (b'"run_id":"', b'"timestamp_start":"', b'"timelab_version":"', b'"schema_version":')
_RUN_ID = re.compile(rb'"run_id":"([0-9a-f]{64})"')
_START = re.compile(rb'"timestamp_start":"([^"\\]{1,40})"')
_MOST_COMPARED = 4_000
"""Lines of two texts together; comparing takes their square."""


def is_run_line(line: bytes) -> bool:
    """Says whether a line is a record of ours, even one with a damaged byte: that hides at most one of four marks."""
    return sum(mark in line for mark in _MARKS) >= 2


def line_key(line: bytes) -> tuple[str, str]:
    """Returns (timestamp_start, run_id), by which lines stand in a note; foreign lines sort last."""
    starts, ids = _START.findall(line), _RUN_ID.findall(line)
    if len(starts) == 1 and len(ids) == 1:
        return starts[0].decode("ascii", "replace"), ids[0].decode()
    if is_run_line(line):
        # Parameters may hold the same names further down; only then is JSON worth its time.
        try:
            record = json.loads(line)
            return str(record["timestamp_start"]), str(record["run_id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return FOREIGN
    return FOREIGN


def split_lines(data: bytes) -> list[bytes]:
    """Returns a note's lines without blank ones; only LF ends a line."""
    return [line for line in data.split(b"\n") if line.strip()]


def join_lines(lines: Iterable[bytes]) -> bytes:
    """Returns the note of these lines: the runs in order, each once, and the rest behind them as it was."""
    return _join(*_parts(b"\n".join(lines)))


def with_lines(note: bytes, lines: Iterable[bytes]) -> bytes:
    """Returns a note with further lines: runs in their place, others at the end; what is there changes nothing."""
    wanted = sorted(dict.fromkeys(line for piece in lines for line in split_lines(piece)), key=line_key)
    late: list[bytes] = []
    for line in wanted:
        # The usual case: runs are newer than all that are noted, of which there may be thousands.
        if not (_follows(late[-1], line) if late else _is_later(note, line)):
            break
        late.append(line)
    note = b"".join([note, *(line + b"\n" for line in late)])
    if len(late) == len(wanted):
        return note
    runs, text = _parts(note)
    present = set(text.split(b"\n"))
    for line in wanted[len(late) :]:
        if is_run_line(line):
            runs.append(line)
        elif line not in present:
            text = _ended(text) + line + b"\n"
    return _join(runs, text)


def without_lines(note: bytes, lines: Iterable[bytes]) -> bytes:
    """Returns a note without the given lines."""
    gone = {line for piece in lines for line in split_lines(piece)}
    runs, text = _parts(note)
    kept = b"".join(line for line in _lines(text) if line.removesuffix(b"\n") not in gone)
    return _join([line for line in runs if line not in gone], kept)


def with_runs(note: bytes, lines: Iterable[bytes]) -> bytes:
    """Returns a note whose run lines are exactly the given ones."""
    return _join([line for piece in lines for line in split_lines(piece)], _parts(note)[1])


def unite(one: bytes, other: bytes) -> bytes:
    """Returns the note that holds the runs of both, and of what people wrote all lines of each, in its order.

    It is the same whichever comes first, so that two who unite at once come to the same note.
    """
    (runs, text), (more, further) = _parts(one), _parts(other)
    return _join([*runs, *more], _united(*sorted((text, further))))


def _united(one: bytes, other: bytes) -> bytes:
    first, second = _lines(_ended(one)), _lines(_ended(other))
    if _is_within(first, second):
        return other
    if _is_within(second, first):
        return one
    if len(first) + len(second) > _MOST_COMPARED:
        return b"".join([*first, *second])
    united: list[bytes] = []
    for change, start, end, from_, to in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        united += first[start:end]
        if change != "equal":
            united += second[from_:to]
    return b"".join(united)


def _is_within(few: Sequence[bytes], many: Sequence[bytes]) -> bool:
    rest = iter(many)
    return all(line in rest for line in few)


def _is_later(note: bytes, line: bytes) -> bool:
    """Says whether a run line belongs right behind the note's last line, which then is one too."""
    if not is_run_line(line):
        return False
    if not note:
        return True
    if not note.endswith(b"\n"):
        return False
    return _follows(note[note.rfind(b"\n", 0, -1) + 1 : -1], line)


def _follows(last: bytes, line: bytes) -> bool:
    key = line_key(last)
    return is_run_line(last) and is_run_line(line) and key != FOREIGN and key < line_key(line) != FOREIGN


def _parts(note: bytes) -> tuple[list[bytes], bytes]:
    """Returns the run lines, and the rest verbatim."""
    runs: list[bytes] = []
    rest: list[bytes] = []
    for line in _lines(note):
        if is_run_line(line):
            runs.append(line.removesuffix(b"\n"))
        else:
            rest.append(line)
    return runs, b"".join(rest)


def _join(runs: Iterable[bytes], text: bytes) -> bytes:
    head = b"".join(line + b"\n" for line in sorted(dict.fromkeys(runs), key=line_key))
    return head + text if head or text.strip() else b""


def _lines(data: bytes) -> list[bytes]:
    """Returns the lines with their ends; only LF ends a line."""
    found = [line + b"\n" for line in data.split(b"\n")]
    last = found.pop().removesuffix(b"\n")
    return [*found, last] if last else found


def _ended(data: bytes) -> bytes:
    return data + b"\n" if data and not data.endswith(b"\n") else data
