"""The user's commits as the objects say: what stood at a path. A commit of another clone is simply not here."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from timelab.canonical import sha256_bytes
from timelab.git import trees
from timelab.git.raw import RawObjects
from timelab.manifest import flake_metadata
from timelab.names import Oid, Sha256

_KEPT_TREES = 2_000


class Commits:
    """Looks into commits; each object is hashed when it is first read. All methods raise `Missing` or `Damaged`."""

    def __init__(self, raw: RawObjects) -> None:
        self._raw = raw
        self._roots: dict[str, Oid] = {}
        self._trees: OrderedDict[str, dict[bytes, trees.TreeEntry]] = OrderedDict()
        self._digests: dict[str, Sha256] = {}
        self._flakes: dict[str, tuple[Sha256, dict[str, Any] | None]] = {}
        self._locks: dict[tuple[str, str], frozenset[str]] = {}

    def tree(self, commit: Oid) -> Oid:
        """Returns a commit's tree."""
        if commit not in self._roots:
            self._roots[commit] = self._raw.commit(commit)[0]
        return self._roots[commit]

    def blob_oid(self, commit: Oid, path: str) -> Oid | None:
        """Returns the blob at a path, or None where no file stands."""
        entry = trees.TreeEntry(trees.FOLDER, self.tree(commit))
        for part in path.encode("utf-8", "surrogateescape").split(b"/"):
            if entry.mode != trees.FOLDER:
                return None
            found = self._entries(entry.oid).get(part)
            if found is None:
                return None
            entry = found
        return entry.oid if entry.is_file else None

    def blob(self, oid: Oid) -> Sha256:
        """Returns the sha256 of a blob."""
        if oid not in self._digests:
            self._digests[oid] = sha256_bytes(self._raw.blob(oid))
        return self._digests[oid]

    def flake_lock(self, commit: Oid) -> tuple[Sha256 | None, dict[str, Any] | None]:
        """Returns the digest of the commit's flake.lock and what it pins, both None where there is none."""
        oid = self.blob_oid(commit, "flake.lock")
        if oid is None:
            return None, None
        if oid not in self._flakes:
            data = self._raw.blob(oid)
            self._flakes[oid] = (sha256_bytes(data), flake_metadata(data))
        return self._flakes[oid]

    def uv_locks(self, commit: Oid, likely: str, wanted: str | None) -> frozenset[str]:
        """Returns the digests of the commit's uv.lock files; looks at the likely place first, then everywhere."""
        for path in (likely, "uv.lock"):
            oid = self.blob_oid(commit, path)
            if oid is not None and self.blob(oid) == wanted:
                return frozenset({self.blob(oid)})
        key = (commit, "uv.lock")
        if key not in self._locks:
            self._locks[key] = frozenset(self.blob(oid) for oid in self._named(self.tree(commit), b"uv.lock", 0))
        return self._locks[key]

    def _named(self, tree: Oid, wanted: bytes, depth: int) -> list[Oid]:
        found: list[Oid] = []
        for name, entry in self._entries(tree).items():
            if entry.mode == trees.FOLDER and depth < 20:
                found += self._named(entry.oid, wanted, depth + 1)
            elif name == wanted and entry.is_file:
                found.append(entry.oid)
        return found

    def _entries(self, tree: Oid) -> dict[bytes, trees.TreeEntry]:
        found = self._trees.get(tree)
        if found is None:
            found = self._trees[tree] = self._raw.tree(tree)
            if len(self._trees) > _KEPT_TREES:
                self._trees.popitem(last=False)
        return found
