"""Step 1: every entry of the chains, each object of it read from disk and hashed again, parents linked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from timelab.canonical import sha256_bytes
from timelab.errors import DataError
from timelab.git import trees
from timelab.git.raw import Missing, RawObjects
from timelab.names import Oid, Sha256
from timelab.store.layout import CARRY_FILE, RUN_FILE, TOMBSTONE_FILE
from timelab.verify.ledger import CHAIN, Ledger

_MAX_DEPTH = 40
KIND_FILES: Mapping[str, str] = {RUN_FILE: "run", CARRY_FILE: "carry", TOMBSTONE_FILE: "tombstone"}
REFETCH = "fetch the records again (timelab sync), or timelab doctor --repair"


@dataclass(frozen=True)
class FileFacts:
    """Is a file of an entry as its bytes say: the blob, and their sha256 and size."""

    blob: Oid
    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True)
class Entry:
    """Is an entry as read: `data` are the bytes of the file that tells its kind, `files` all that could be read.

    `is_whole` is false when an object of it was missing or damaged; that is said already.
    """

    oid: Oid
    ref: str
    kind: str
    data: bytes = field(repr=False)
    files: Mapping[str, FileFacts] = field(repr=False)
    is_whole: bool

    @property
    def place(self) -> str:
        """Returns how people are told which entry this is."""
        return f"chain entry {self.oid[:12]}"


class EntryReader:
    """Reads entries; an object that several share is hashed once."""

    def __init__(self, raw: RawObjects, ledger: Ledger) -> None:
        self._raw = raw
        self._ledger = ledger
        self._blobs: dict[str, FileFacts] = {}

    def chain(self, ref: str, tip: Oid, seen: set[Oid]) -> Iterator[Entry]:
        """Yields a chain's entries, newest first, down to one that was seen on another ref already."""
        at: Oid | None = tip
        child: Oid | None = None
        while at is not None and at not in seen:
            seen.add(at)
            step = self._commit(ref, at, child)
            if step is None:
                return
            tree, parent = step
            yield self.entry(ref, at, tree)
            at, child = parent, at

    def one(self, ref: str, oid: Oid) -> Entry | None:
        """Returns one entry, whose parent must be there and intact too."""
        step = self._commit(ref, oid, None)
        if step is None:
            return None
        tree, parent = step
        if parent is not None:
            self._commit(ref, parent, oid)
        return self.entry(ref, oid, tree)

    def _commit(self, ref: str, oid: Oid, child: Oid | None) -> tuple[Oid, Oid | None] | None:
        self._ledger.checked(CHAIN)
        try:
            tree, parents = self._raw.commit(oid)
        except DataError as error:
            what = error.message + (f"; it is the parent of {child[:12]}" if child else f"; it is the tip of {ref}")
            self._ledger.wrong(CHAIN, None, f"chain entry {oid[:12]} commit", what, REFETCH)
            return None
        if len(parents) > 1:
            self._ledger.wrong(CHAIN, None, f"chain entry {oid[:12]} commit", "has more than one parent", REFETCH)
        return tree, parents[0] if parents else None

    def entry(self, ref: str, oid: Oid, tree: Oid) -> Entry:
        """Returns what an entry's tree holds."""
        files: dict[str, FileFacts] = {}
        faults = list(self._walk(tree, "", files, 0))
        for path, what in faults:
            self._ledger.wrong(CHAIN, None, f"chain entry {oid[:12]} {path or 'tree'}", what, REFETCH)
        kinds = [name for name in KIND_FILES if name in files]
        data = b""
        if len(kinds) == 1:
            try:
                data = self._raw.blob(files[kinds[0]].blob)
            except DataError:
                kinds = []
        elif not faults:
            what = "holds none, or more than one, of run.json, carry.json and tombstone.json"
            self._ledger.wrong(CHAIN, None, f"chain entry {oid[:12]} tree", what, "who wrote to this ref?")
        kind = KIND_FILES[kinds[0]] if len(kinds) == 1 else "broken"
        return Entry(oid, ref, kind, data, files, not faults)

    def _walk(self, tree: Oid, prefix: str, files: dict[str, FileFacts], depth: int) -> Iterator[tuple[str, str]]:
        """Fills `files` and yields (path, fault) of what cannot be read or may not stand in a record."""
        if depth > _MAX_DEPTH:
            yield prefix, f"is nested deeper than {_MAX_DEPTH} folders"
            return
        try:
            entries = self._raw.tree(tree)
        except DataError as error:
            yield f"{prefix or 'tree'}", error.message
            return
        for name, entry in entries.items():
            path = prefix + trees.decode(name)
            if entry.mode == trees.FOLDER:
                yield from self._walk(entry.oid, path + "/", files, depth + 1)
            elif not entry.is_file:
                yield path, "is not a regular file"
            else:
                try:
                    files[path] = self._facts(entry.oid)
                except DataError as error:
                    yield path, error.message + _where(error)

    def _facts(self, blob: Oid) -> FileFacts:
        found = self._blobs.get(blob)
        if found is None:
            data = self._raw.blob(blob)
            found = self._blobs[blob] = FileFacts(blob, sha256_bytes(data), len(data))
        return found


def _where(error: DataError) -> str:
    return " (a partial clone? git fetch --refetch --no-filter)" if isinstance(error, Missing) else ""
