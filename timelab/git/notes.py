"""Note lines on commits and spec blobs: one line a run, in git's own fanned-out trees, always a set union.

`git notes add` loses lines when two processes call it, and libgit2's `create_note` writes flat trees (facts/peers.md,
section 3). So notes are built here, under the store lock, with the rule by which git itself chooses its fan-out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import reduce

from timelab.clock import SystemClock, parse_timestamp
from timelab.errors import GitError
from timelab.git import trees
from timelab.git.chain import commit_bytes, signature
from timelab.git.notetext import (
    FOREIGN,
    is_run_line,
    join_lines,
    line_key,
    split_lines,
    unite,
    with_lines,
    with_runs,
    without_lines,
)
from timelab.git.notetree import NoteTree
from timelab.git.refs import read_ref, swap_ref
from timelab.git.repo import Repo, commit_info, is_ancestor
from timelab.names import Oid

__all__ = [
    "FOREIGN",
    "NOTES",
    "add_lines",
    "is_run_line",
    "join_lines",
    "line_key",
    "merge_remote",
    "read_note",
    "rebuild",
    "remove_lines",
    "split_lines",
    "targets",
]

NOTES = "refs/notes/timelab"
_TRIES = 20
_END = re.compile(rb'"timestamp_end":"([^"\\]{1,40})"')


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
            tree.write(target, with_lines(tree.read(target) or b"", group))

    _update(repo, change=change, when=when or _newest(wanted.values()), message="notes: add runs")


def remove_lines(repo: Repo, lines: Iterable[tuple[Oid, bytes]]) -> None:
    """Removes lines from the notes of their targets; the caller holds the store lock."""
    unwanted = _grouped(lines)

    def change(tree: NoteTree) -> None:
        for target, group in unwanted.items():
            old = tree.read(target)
            if old is not None:
                tree.write(target, without_lines(old, group))

    _update(repo, change=change, when=None, message="notes: remove runs")


def rebuild(repo: Repo, wanted: Mapping[Oid, Iterable[bytes]]) -> None:
    """Makes the notes hold exactly these run lines, on these targets; what people wrote is kept.

    The caller holds the store lock.
    """
    lists = {target: list(group) for target, group in wanted.items()}

    def change(tree: NoteTree) -> None:
        present = dict(tree.items())
        for target in {*present, *lists}:
            tree.write(target, with_runs(tree.read(target) or b"", lists.get(target, ())))

    _update(repo, change=change, when=_newest(lists.values()), message="notes: rebuild from the run chains")


def merge_remote(repo: Repo, tracking_ref: str) -> None:
    """Merges the notes that were fetched into `tracking_ref`: a union of lines, a commit with both parents.

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
        theirs = reduce(unite, map(other.blob, blobs))
        ours = tree.read(target)
        tree.write(target, theirs if ours is None else unite(ours, theirs))


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
