"""Note lines on commits and spec blobs: one line a run, in git's own fanned-out trees, always a set union.

`git notes add` loses lines when two processes call it, and libgit2's `create_note` writes flat trees (facts/peers.md,
section 3). So notes are built here, under the store lock, with the rule by which git itself chooses its fan-out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from timelab.clock import SystemClock, parse_timestamp
from timelab.errors import GitError
from timelab.git import trees
from timelab.git.chain import commit_bytes, signature
from timelab.git.notetree import NoteTree
from timelab.git.refs import read_ref, swap_ref
from timelab.git.repo import Repo, commit_info, is_ancestor
from timelab.names import Oid

NOTES = "refs/notes/timelab"
FOREIGN = ("~", "")
"""The key of a line that is none of ours: after every timestamp."""

_TRIES = 20
_MARKS = (b'"run_id":"', b'"timestamp_start":"', b'"timelab_version":"', b'"schema_version":')
_RUN_ID = re.compile(rb'"run_id":"([0-9a-f]{64})"')
_START = re.compile(rb'"timestamp_start":"([^"\\]{1,40})"')
_END = re.compile(rb'"timestamp_end":"([^"\\]{1,40})"')


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
    """Returns the note that holds the set of these lines: ours in order of their keys, foreign ones as they came."""
    unique = dict.fromkeys(line for piece in lines for line in split_lines(piece))
    return b"".join(line + b"\n" for line in sorted(unique, key=line_key))


def read_note(repo: Repo, target: Oid) -> bytes | None:
    """Returns the bytes of a target's note, or None."""
    tip = read_ref(repo, NOTES)
    return _tree(repo, tip).read(target) if tip else None


def targets(repo: Repo) -> list[Oid]:
    """Returns the objects that have a note, in order of their ids."""
    tip = read_ref(repo, NOTES)
    return sorted({target for target, _ in _tree(repo, tip).items()}) if tip else []


def add_lines(repo: Repo, lines: Iterable[tuple[Oid, bytes]], *, when: datetime | None = None) -> None:
    """Adds lines to the notes of their targets, in one notes commit; what is there already changes nothing.

    The caller holds the store lock. The commit is dated by the newest `timestamp_end` among the lines.

    Raises:
        GitError: somebody who does not know our lock kept moving the notes ref.
    """
    wanted = _grouped(lines)

    def change(tree: NoteTree) -> None:
        for target, group in wanted.items():
            old = tree.read(target) or b""
            tree.write(target, join_lines([old, *group]))

    _update(repo, change=change, when=when or _newest(wanted.values()), message="notes: add runs")


def remove_lines(repo: Repo, lines: Iterable[tuple[Oid, bytes]]) -> None:
    """Removes lines from the notes of their targets; the caller holds the store lock."""
    unwanted = _grouped(lines)

    def change(tree: NoteTree) -> None:
        for target, group in unwanted.items():
            old = tree.read(target)
            if old is not None:
                gone = {line for piece in group for line in split_lines(piece)}
                tree.write(target, join_lines(line for line in split_lines(old) if line not in gone))

    _update(repo, change=change, when=None, message="notes: remove runs")


def rebuild(repo: Repo, wanted: Mapping[Oid, Iterable[bytes]]) -> None:
    """Makes the notes hold exactly these run lines, on these targets; foreign lines are kept.

    The caller holds the store lock.
    """
    lists = {target: list(group) for target, group in wanted.items()}

    def change(tree: NoteTree) -> None:
        present = dict(tree.items())
        for target in {*present, *lists}:
            foreign = [line for line in split_lines(tree.read(target) or b"") if not is_run_line(line)]
            tree.write(target, join_lines([*lists.get(target, ()), *foreign]))

    _update(repo, change=change, when=_newest(lists.values()), message="notes: rebuild from the run chains")


def merge_remote(repo: Repo, tracking_ref: str) -> None:
    """Merges the notes that were fetched into `tracking_ref`: a set union of lines, a commit with both parents.

    The caller holds the store lock. Histories need not be related.
    """
    theirs = read_ref(repo, tracking_ref)
    if theirs is None:
        return
    for _ in range(_TRIES):
        ours = read_ref(repo, NOTES)
        if ours is not None and is_ancestor(repo, theirs, ours):
            return
        if ours is None or is_ancestor(repo, ours, theirs):
            new = theirs
        else:
            tree = _tree(repo, ours)
            _unite(tree, _tree(repo, theirs))
            new = _commit(
                repo,
                tree.save(),
                [ours, theirs],
                max(_date(repo, ours), _date(repo, theirs)),
                "notes: unite two writers",
            )
        if _swapped(repo, new, ours):
            return
    raise _restless()


def _unite(tree: NoteTree, other: NoteTree) -> None:
    for target, blobs in other.items(unless_in=tree):
        theirs = b"\n".join(other.blob(blob) for blob in blobs)
        ours = tree.read(target)
        tree.write(target, theirs if ours is None else join_lines([ours, theirs]))


def _update(repo: Repo, *, change: Callable[[NoteTree], None], when: datetime | None, message: str) -> None:
    for _ in range(_TRIES):
        tip = read_ref(repo, NOTES)
        tree = _tree(repo, tip)
        change(tree)
        if not tree.changed:
            return
        moment = when or (_date(repo, tip) if tip else SystemClock().now())
        new = _commit(repo, tree.save(), [tip] if tip else [], moment, message)
        if _swapped(repo, new, tip):
            return
    raise _restless()


def _restless() -> GitError:
    return GitError(f"{NOTES} kept moving while notes were written", hint="does another program write notes there?")


def _swapped(repo: Repo, new: Oid, old: Oid | None) -> bool:
    try:
        swap_ref(repo, NOTES, new, old)
    except GitError as error:
        if error.slug != "ref-moved":
            raise
        return False
    return True


def _tree(repo: Repo, commit: Oid | None) -> NoteTree:
    if commit is None:
        return NoteTree(repo, None)
    header = trees.read_typed(repo, commit, trees.COMMIT).split(b"\n", 1)[0]
    return NoteTree(repo, Oid(header.removeprefix(b"tree ").decode("ascii", "replace")))


def _commit(repo: Repo, tree: Oid, parents: list[Oid], when: datetime, message: str) -> Oid:
    return trees.write_object(repo, trees.COMMIT, commit_bytes(tree, parents, signature(repo, when), message))


def _date(repo: Repo, commit: Oid) -> datetime:
    return commit_info(repo, commit).committed_at


def _grouped(lines: Iterable[tuple[Oid, bytes]]) -> dict[Oid, list[bytes]]:
    groups: dict[Oid, list[bytes]] = {}
    for target, line in lines:
        groups.setdefault(target, []).append(line)
    return groups


def _newest(groups: Iterable[Iterable[bytes]]) -> datetime | None:
    ends: Iterator[bytes] = (end for group in groups for line in group for end in _END.findall(line))
    newest = max(ends, default=None)
    try:
        return parse_timestamp(newest.decode("ascii", "replace")) if newest else None
    except ValueError:
        return None
