"""Note lines whose record is in no chain: the last copy of a run, which no rebuild may drop."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping

from timelab.canonical import make_run_id
from timelab.diff.files import common_prefix
from timelab.errors import DataError
from timelab.git import notes, trees
from timelab.git.notetree import NoteTree
from timelab.git.refs import read_ref
from timelab.git.repo import Repo
from timelab.names import Oid
from timelab.store import feed
from timelab.store.index import Index
from timelab.store.layout import TOMBSTONE_FILE

_DAMAGE_BYTES = 64
"""Two runs differ in more than this: their ids alone are that long, and their times stand elsewhere."""


def orphan_lines(
    repo: Repo, index: Index, held: Collection[str], wanted: Mapping[Oid, Collection[bytes]]
) -> Iterator[tuple[Oid, bytes]]:
    """Yields (target, line) of run lines that no chain can give back.

    Lines of forgotten runs are none, nor are damaged copies of a line that is wanted on the same target.

    Args:
        held: ids of the runs whose record was read from a chain.
        wanted: the lines that the chains put on each target.
    """
    forgotten: set[str] | None = None
    for target, line in _run_lines(repo):
        run_id = notes.line_key(line)[1]
        if run_id in held:
            continue
        if forgotten is None:
            forgotten = _forgotten(repo, index)
        if run_id in forgotten or (not _is_whole(line) and _is_damaged_copy(line, wanted.get(target, ()))):
            continue
        yield target, line


def _run_lines(repo: Repo) -> Iterator[tuple[Oid, bytes]]:
    tip = read_ref(repo, notes.NOTES)
    if tip is None:
        return
    header = trees.read_typed(repo, tip, trees.COMMIT).split(b"\n", 1)[0]
    tree = NoteTree(repo, Oid(header.removeprefix(b"tree ").decode("ascii", "replace")))
    for target, blobs in tree.items():
        for line in dict.fromkeys(line for blob in blobs for line in notes.split_lines(tree.blob(blob))):
            if notes.is_run_line(line):
                yield target, line


def _forgotten(repo: Repo, index: Index) -> set[str]:
    found = set()
    for data in feed.read_blobs(repo, [f"{entry}:{TOMBSTONE_FILE}" for entry in index.entries("tombstone")]):
        try:
            found.add(str(json.loads(data or b"")["run_id"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def _is_whole(line: bytes) -> bool:
    """Says whether a line's run id is that of what the line says."""
    try:
        raw = json.loads(line)
        made = make_run_id(raw["spec"]["sha256"], raw["git_sha"], raw["flake_lock_sha256"], raw["timestamp_start"])
        return bool(made == raw["run_id"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DataError):
        return False


def _is_damaged_copy(line: bytes, wanted: Iterable[bytes]) -> bool:
    for other in (each.rstrip(b"\n") for each in wanted):
        prefix = common_prefix(line, other)
        if len(line) - prefix - common_prefix(line[prefix:][::-1], other[prefix:][::-1]) <= _DAMAGE_BYTES:
            return True
    return False
