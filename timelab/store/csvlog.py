"""The day's `runs.csv`: one line a run, in order of start, derived from the index (A79, A94)."""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from timelab.store.folders import replace_file
from timelab.store.index import Index
from timelab.store.layout import RUNS_CSV
from timelab.store.rows import RunRow

CSV_COLUMNS = (
    "run_id",
    "timestamp_start",
    "timestamp_end",
    "kind",
    "name",
    "spec_path",
    "git_sha",
    "status",
    "model",
    "seed",
    "artifacts_path",
)
_RISKY = ("=", "+", "-", "@", "\t", "\r")
_TAIL_BYTES = 64 << 10
"""How much of the file's end is read at first: runs end nearly in the order in which they started."""

_RECORD = re.compile(rb"^[0-9a-f]{64},[^,\n]{27},", re.MULTILINE)


def escape_cell(value: object) -> str:
    """Returns a cell that no spreadsheet takes for a formula (OWASP, CSV injection)."""
    text = "" if value is None else str(value)
    return "'" + text if text.startswith(_RISKY) else text


def format_rows(rows: Sequence[RunRow]) -> bytes:
    """Returns rows as RFC 4180 with LF at line ends, without the header."""
    return b"".join(_format(row) for row in rows)


def _format(row: RunRow) -> bytes:
    sheet = io.StringIO()
    csv.writer(sheet, lineterminator="\n").writerow([escape_cell(getattr(row, column)) for column in CSV_COLUMNS])
    return sheet.getvalue().encode()


HEADER = (",".join(CSV_COLUMNS) + "\n").encode()


def update(index: Index, root: Path, day: str, fresh: Sequence[RunRow], *, room: Path) -> None:
    """Brings a day's runs.csv up to date with the index; `fresh` are the rows that it lacks.

    While the file is as we left it the rows are worked into it, otherwise it is written anew.
    """
    path = root / day / RUNS_CSV
    if path.is_symlink():
        return
    size = index.csv_size(str(root), day)
    if (
        size is None
        or not _is_size(path, size)
        or not (_work_in(path, fresh, size - _TAIL_BYTES) or _work_in(path, fresh, 0))
    ):
        rows = index.select(date=day.replace("/", "-"))
        if not rows:
            path.unlink(missing_ok=True)
            return
        replace_file(path, HEADER + format_rows(rows[::-1]), room=room)
    index.set_csv_size(str(root), day, path.stat().st_size)


def _is_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _work_in(path: Path, fresh: Sequence[RunRow], start: int) -> bool:
    """Puts rows where they belong behind `start`; False when that is before it, or the file is not one of ours."""
    with path.open("r+b") as stream:
        stream.seek(max(0, start))
        tail = stream.read()
        starts = [match.start() for match in _RECORD.finditer(tail)]
        if not starts or not tail.endswith(b"\n"):
            return False
        lines = {_key(line): line for line in map(_format, fresh)}
        if start > 0 and min(lines, default=b"~") < _key_at(tail, starts[0]):
            return False
        at, pieces, first = starts[0], [], None
        for key, line in sorted(lines.items()):
            place = bisect_left(starts, key, key=lambda begin: _key_at(tail, begin))
            begin = starts[place] if place < len(starts) else len(tail)
            same = place < len(starts) and _key_at(tail, begin) == key
            pieces += [tail[at:begin], line]
            first = begin if first is None else first
            at = begin if not same else starts[place + 1] if place + 1 < len(starts) else len(tail)
        if first is None:
            return True
        merged = b"".join([*pieces, tail[at:]])
        stream.seek(max(0, start) + first)
        stream.write(merged[first - starts[0] :])
        stream.truncate()
    return True


def _key(record: bytes) -> bytes:
    """Returns timestamp_start and run_id of a line, the order of the file."""
    return record[65:92] + record[:64]


def _key_at(data: bytes, begin: int) -> bytes:
    return _key(data[begin : begin + 92])
