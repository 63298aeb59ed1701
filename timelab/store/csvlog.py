"""The day's `runs.csv`: one line a run, in order of start, derived from the index (A79, A94)."""

from __future__ import annotations

import csv
import io
import re
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
_TAILS_BYTES = (8 << 10, 256 << 10)
"""How much of the file's end is read: runs end nearly in the order in which they started."""

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

    While the file is as we left it the rows are worked into its end. Otherwise, and when they belong further up than
    that, it is written anew.
    """
    path = root / day / RUNS_CSV
    if path.is_symlink():
        return
    size = index.csv_size(str(root), day)
    if size is None or not _is_size(path, size) or not any(_work_in(path, size, fresh, tail) for tail in _TAILS_BYTES):
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


def _work_in(path: Path, size: int, fresh: Sequence[RunRow], tail_bytes: int) -> bool:
    """Merges rows into the last `tail_bytes` of the file; False when they belong before those."""
    with path.open("r+b") as stream:
        start = max(0, size - tail_bytes)
        stream.seek(start)
        tail = stream.read()
        starts = [match.start() for match in _RECORD.finditer(tail)]
        if not starts or not tail.endswith(b"\n"):
            return False
        bounds = zip(starts, [*starts[1:], len(tail)], strict=True)
        records = {_key(tail[begin:end]): tail[begin:end] for begin, end in bounds}
        added = {_key(line): line for line in map(_format, fresh)}
        if start and min(added, default=b"~") < min(records):
            return False
        merged = b"".join(record for _, record in sorted({**records, **added}.items()))
        kept = _common(tail[starts[0] :], merged)
        stream.seek(start + starts[0] + kept)
        stream.write(merged[kept:])
        stream.truncate()
    return True


def _key(record: bytes) -> bytes:
    """Returns timestamp_start and run_id of a line, the order of the file."""
    return record[65:92] + record[:64]


def _common(old: bytes, new: bytes) -> int:
    """Returns how much of the file's end stays as it is; all of it when rows come in order."""
    return len(old) if new.startswith(old) else 0
