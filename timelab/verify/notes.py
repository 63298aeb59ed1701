"""Step 8: every note line is, byte for byte, the record of a chain, on the commit and on the spec's blob."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from timelab.diff.files import common_prefix
from timelab.errors import DataError
from timelab.git import trees
from timelab.git.chain import RUNS
from timelab.git.notes import FOREIGN, NOTES, is_run_line, join_lines, line_key
from timelab.git.raw import RawObjects
from timelab.names import Oid
from timelab.verify.ledger import NOTE, TRUNCATED, Ledger, span
from timelab.verify.records import Record

_HEX = re.compile(rb"[0-9a-f]+\Z")
_ID_LENGTHS = (40, 64)
_ALIKE_BYTES = 24
_MOST_COMPARED = 100
"""Lines that may be the altered one; where more are strange, the note was not damaged but replaced."""

REINDEX = "timelab reindex writes the notes anew from the chains"

LOST = "fetch the chain that holds it from a remote (timelab sync); until then no command drops what is left of it"


@dataclass(frozen=True)
class Notes:
    """Is what the notes ref holds: note bytes by target, and the beginnings of targets whose folder is unreadable."""

    present: bool
    bodies: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    lost: tuple[str, ...] = ()


def read_notes(raw: RawObjects, tip: Oid | None, ledger: Ledger) -> Notes:
    """Reads every note of the ref, each object hashed again."""
    if tip is None:
        return Notes(False)
    bodies: dict[str, bytes] = {}
    lost: list[str] = []
    try:
        root = raw.commit(tip)[0]
    except DataError as error:
        ledger.wrong(NOTE, None, f"{NOTES} commit {tip[:12]}", error.message, REINDEX)
        return Notes(True, {}, ("",))
    for prefix, what in _walk(raw, root, b"", bodies):
        place = f"note on {prefix[:12]}" if len(prefix) in _ID_LENGTHS else f"{NOTES} folder {prefix or 'root'}"
        ledger.wrong(NOTE, None, place, what, REINDEX)
        lost.append(prefix)
    return Notes(True, bodies, tuple(lost))


def _walk(raw: RawObjects, tree: Oid, prefix: bytes, bodies: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    try:
        entries = raw.tree(tree)
    except DataError as error:
        yield prefix.decode(), error.message
        return
    for name, entry in entries.items():
        full = prefix + name
        if not _HEX.match(name):
            continue
        if entry.mode == trees.FOLDER and len(name) == 2:
            yield from _walk(raw, entry.oid, full, bodies)
        elif entry.is_file and len(full) in _ID_LENGTHS:
            try:
                body = raw.blob(entry.oid)
            except DataError as error:
                yield full.decode(), error.message
                continue
            target = full.decode()
            # git joins what two fan-outs hold for one target by a newline (notes.c).
            bodies[target] = bodies[target] + b"\n" + body if target in bodies else body


class NoteChecker:
    """Compares the notes with the records that should stand there."""

    def __init__(self, notes: Notes, ledger: Ledger, announced: frozenset[str], own_ref: str | None) -> None:
        self._notes = notes
        self._ledger = ledger
        self._announced = announced
        self._own_ref = own_ref
        self._unfetched = 0

    def check(self, expected: Mapping[str, Iterable[Record]], known: Mapping[str, Record], *, whole: bool) -> None:
        """Checks each target; with `whole` also that no other run line stands anywhere."""
        if not self._notes.present:
            self._check_absence([record for group in expected.values() for record in group])
            return
        targets = self._notes.bodies.keys() | expected.keys() if whole else expected.keys()
        for target in sorted(targets):
            if not any(target.startswith(prefix) for prefix in self._notes.lost):
                self._target(target, list(expected.get(target, ())), known, whole)
        if self._unfetched:
            what = f"lacks {self._unfetched} lines of records that were fetched from elsewhere"
            self._ledger.warn(NOTE, None, NOTES, what, "timelab sync")

    def _check_absence(self, records: list[Record]) -> None:
        """A clone may come without notes; whoever recorded a run here noted it too."""
        self._ledger.checked(NOTE, len(records))
        for _ in records:
            self._ledger.absent(NOTE)
        own = {each.run_id for each in records if each.entry.ref == self._own_ref} - self._announced
        if own:
            what = f"is not here, though our own chain has {len(own)} run{'' if len(own) == 1 else 's'}"
            self._ledger.wrong(NOTE, None, NOTES, what, REINDEX)
        elif records:
            self._ledger.warn(NOTE, None, NOTES, "is not here", REINDEX)

    def _target(self, target: str, records: list[Record], known: Mapping[str, Record], whole: bool) -> None:
        body = self._notes.bodies.get(target, b"")
        lines = body.split(b"\n")
        wanted = {record.line: record for record in records}
        self._ledger.checked(NOTE, len(wanted))
        strange = [(at, line) for at, line in _placed(lines) if line and line not in wanted]
        present = set(lines)
        by_key: dict[tuple[str, str], list[tuple[int, bytes]]] = {}
        for item in strange:
            by_key.setdefault(line_key(item[1]), []).append(item)
        by_key.pop(FOREIGN, None)
        altered: set[int] = set()
        for line, record in wanted.items():
            if line not in present:
                altered.update(self._missing(target, record, strange, by_key))
        foreign = 0
        for at, line in strange:
            if not is_run_line(line):
                foreign += at not in altered
            elif at not in altered and whole:
                self._stray(target, at, line, known)
        if foreign:
            what = f"holds {foreign} lines that timelab did not write; they are kept"
            self._ledger.warn(NOTE, None, f"note on {target[:12]}", what)
        if body and not altered and join_lines(lines) != body:
            what = "its lines are not in timelab's order, or stand twice"
            self._ledger.warn(NOTE, None, f"note on {target[:12]}", what, REINDEX)

    def _missing(
        self,
        target: str,
        record: Record,
        strange: list[tuple[int, bytes]],
        by_key: Mapping[tuple[str, str], list[tuple[int, bytes]]],
    ) -> Iterator[int]:
        """Says what stands in a line's stead, and yields the place of the altered line, if there is one."""
        line = record.line
        candidates = by_key.get(line_key(line)) or strange[:_MOST_COMPARED]
        best = max(candidates, key=lambda item: _likeness(item[1], line), default=None)
        if best is not None and _likeness(best[1], line) >= _ALIKE_BYTES:
            start, end = difference_range(best[1], line)
            place = f"note on {target[:12]} {span(best[0] + start, best[0] + end)}"
            self._ledger.wrong(NOTE, record.run_id, place, "differs from the chain's run.json", REINDEX)
            yield best[0]
        elif record.run_id in self._announced:
            self._ledger.absent(NOTE)
            self._ledger.warn(NOTE, record.run_id, f"note on {target[:12]}", "is being written", "any timelab run")
        elif record.entry.ref.startswith(RUNS):
            self._ledger.wrong(NOTE, record.run_id, f"note on {target[:12]}", "lacks the run's line", REINDEX)
        else:
            self._ledger.absent(NOTE)
            self._unfetched += 1

    def _stray(self, target: str, at: int, line: bytes, known: Mapping[str, Record]) -> None:
        run_id = line_key(line)[1]
        place = f"note on {target[:12]} {span(at, at + len(line))}"
        if run_id in known:
            self._ledger.wrong(NOTE, run_id, place, "is no line that the chains put here", REINDEX)
        else:
            what = f"records run {run_id[:12] or '(unreadable)'}, which is in no chain"
            self._ledger.wrong(TRUNCATED, run_id or None, place, what, LOST)


def _placed(lines: list[bytes]) -> Iterator[tuple[int, bytes]]:
    at = 0
    for line in lines:
        yield at, line
        at += len(line) + 1


def _likeness(one: bytes, other: bytes) -> int:
    """Returns how many bytes two lines have in common at both ends."""
    prefix = common_prefix(one, other)
    return prefix + common_prefix(one[prefix:][::-1], other[prefix:][::-1])


def difference_range(found: bytes, wanted: bytes) -> tuple[int, int]:
    """Returns the range of bytes of `found` outside of which it is as wanted."""
    start = common_prefix(found, wanted)
    tail = common_prefix(found[start:][::-1], wanted[start:][::-1])
    return start, max(len(found) - tail, start + 1)
