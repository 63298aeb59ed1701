"""The tree of a notes ref, with git's fan-out: read whatever shape is there, write the shape git would choose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING

from timelab.git import trees
from timelab.git.notetext import unite
from timelab.git.trees import FILE, FOLDER, TreeEntry
from timelab.names import Oid

if TYPE_CHECKING:
    from timelab.git.repo import Repo

_HEX2 = re.compile(rb"[0-9a-f]{2}\Z")
_HEX = re.compile(rb"[0-9a-f]+\Z")
_NIBBLES = b"0123456789abcdef"
_BULK_BLOBS = 100


class _Node:
    """Is one folder of the tree: entries as read, and the sub-folders that were opened."""

    def __init__(self, entries: dict[bytes, TreeEntry]) -> None:
        self.entries = entries
        self.opened: dict[bytes, _Node] = {}
        self.dirty = False


class NoteTree:
    """Is a tree of notes in memory; only the folders that are looked into are read, only changed ones written."""

    def __init__(self, repo: Repo, tree: Oid | None) -> None:
        self._repo = repo
        self._root = _Node(trees.read_tree(repo, tree) if tree else {})
        self._pending: dict[Oid, bytes] = {}

    @property
    def changed(self) -> bool:
        """Says whether anything differs from what was read."""
        return self._root.dirty

    def read(self, target: Oid) -> bytes | None:
        """Returns a note's bytes; where several fan-outs hold one, what all of them hold."""
        blobs = [node.entries[name].oid for node, name, _ in self._places(target)]
        if not blobs:
            return None
        return reduce(unite, (self.blob(blob) for blob in dict.fromkeys(blobs)))

    def blob(self, oid: Oid) -> bytes:
        """Returns the bytes of a blob of this tree, written or still to be written."""
        return self._pending[oid] if oid in self._pending else trees.read_blob(self._repo, oid)

    def write(self, target: Oid, data: bytes) -> None:
        """Sets a note, at one place and the one that git would choose; without bytes it goes away."""
        places = self._places(target)
        blob = trees.blob_oid(data) if data else None
        if [node.entries[name].oid for node, name, _ in places] == ([blob] if blob else []):
            return
        for node, name, trail in places:
            del node.entries[name]
            _mark(trail)
        if blob is None:
            return
        self._pending[blob] = data
        trail, rest = self._descend(target.encode())
        trail[-1].entries[rest] = TreeEntry(FILE, blob)
        _mark(trail)
        self._fan_out(trail, rest)

    def items(self, unless_in: NoteTree | None = None) -> Iterator[tuple[Oid, list[Oid]]]:
        """Yields (target, its blobs); folders and notes that `unless_in` holds at the same place are passed over."""
        found: dict[bytes, list[Oid]] = {}
        self._collect(self._root, b"", unless_in._root if unless_in else None, unless_in, found)
        for name, blobs in found.items():
            yield Oid(name.decode()), blobs

    def save(self) -> Oid:
        """Writes what changed and returns the tree's id."""
        self._write_blobs()
        return self._save(self._root)

    def _child(self, node: _Node, name: bytes) -> _Node | None:
        if name not in node.opened:
            entry = node.entries.get(name)
            if entry is None or entry.mode != FOLDER:
                return None
            node.opened[name] = _Node(trees.read_tree(self._repo, entry.oid))
        return node.opened[name]

    def _descend(self, rest: bytes) -> tuple[list[_Node], bytes]:
        """Returns the folders on the way to where a target belongs, and its name in the last of them."""
        trail = [self._root]
        while len(rest) > 2:
            child = self._child(trail[-1], rest[:2])
            if child is None:
                break
            trail.append(child)
            rest = rest[2:]
        return trail, rest

    def _places(self, target: Oid) -> list[tuple[_Node, bytes, list[_Node]]]:
        name = target.encode()
        trail, _ = self._descend(name)
        found = []
        for depth, node in enumerate(trail):
            tail = name[2 * depth :]
            if tail in node.entries and node.entries[tail].mode != FOLDER:
                found.append((node, tail, trail[: depth + 1]))
        return found

    def _fan_out(self, trail: list[_Node], rest: bytes) -> None:
        """Splits the last folder of a trail if git would: notes.c, determine_fanout.

        There a level of the tree gets one more fan-out when each of its 16 first digits leads to more than one note.
        """
        node = trail[-1]
        while len(rest) > 2 and _is_crowded(node):
            for name in [name for name, entry in node.entries.items() if _is_note(name, len(rest), entry)]:
                child = self._child(node, name[:2])
                if child is None:
                    child = node.opened[name[:2]] = _Node({})
                    node.entries[name[:2]] = TreeEntry(FOLDER, Oid("0" * 40))
                entry = node.entries.pop(name)
                child.entries[name[2:]] = self._joined(child.entries.get(name[2:]), entry)
                child.dirty = True
            next_node = self._child(node, rest[:2])
            if next_node is None:
                return
            node, rest = next_node, rest[2:]

    def _joined(self, there: TreeEntry | None, coming: TreeEntry) -> TreeEntry:
        """Returns a note that holds both, when another fan-out left a second one for the same target."""
        if there is None or there.oid == coming.oid:
            return coming
        data = unite(self.blob(there.oid), self.blob(coming.oid))
        blob = trees.blob_oid(data)
        self._pending[blob] = data
        return TreeEntry(FILE, blob)

    def _collect(
        self, node: _Node, prefix: bytes, twin: _Node | None, other: NoteTree | None, found: dict[bytes, list[Oid]]
    ) -> None:
        for name, entry in list(node.entries.items()):
            same = twin is not None and twin.entries.get(name) == entry and name not in twin.opened
            if same and name not in node.opened:
                continue
            if entry.mode == FOLDER and _HEX2.match(name):
                child = self._child(node, name)
                twin_child = other._child(twin, name) if other and twin else None
                if child is not None:
                    self._collect(child, prefix + name, twin_child, other, found)
            elif entry.mode != FOLDER and _is_target(prefix + name):
                found.setdefault(prefix + name, []).append(entry.oid)

    def _write_blobs(self) -> None:
        blobs = list(self._pending.values())
        if len(blobs) < _BULK_BLOBS:
            for data in blobs:
                trees.write_blob(self._repo, data)
        else:
            # Many at once go into a pack: ten thousand loose notes take 157 MiB of disk (facts/peers.md, 5.4).
            stream = b"".join(b"blob\ndata %d\n%s\n" % (len(data), data) for data in blobs)
            self._repo.git(["fast-import", "--quiet"], input=stream, timeout_s=600)
        self._pending.clear()

    def _save(self, node: _Node) -> Oid:
        for name, child in node.opened.items():
            if not child.dirty:
                continue
            oid = self._save(child)
            if child.entries:
                node.entries[name] = TreeEntry(FOLDER, oid)
            else:
                node.entries.pop(name, None)
        node.dirty = False
        return trees.write_entries(self._repo, node.entries)


def _mark(trail: list[_Node]) -> None:
    for node in trail:
        node.dirty = True


def _is_target(name: bytes) -> bool:
    return len(name) in (40, 64) and _HEX.match(name) is not None


def _is_note(name: bytes, length: int, entry: TreeEntry) -> bool:
    return len(name) == length and entry.mode != FOLDER and _HEX.match(name) is not None


def _is_crowded(node: _Node) -> bool:
    counts = dict.fromkeys(_NIBBLES, 0)
    for name, entry in node.entries.items():
        if _HEX2.match(name) and entry.mode == FOLDER:
            counts[name[0]] += 2
        elif len(name) > 2 and _HEX.match(name) and name[0] in counts:
            counts[name[0]] += 1
    return all(count > 1 for count in counts.values())
