"""The user's commits as the objects say: what stood at a path. A commit of another clone is simply not here."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from timelab.canonical import sha256_bytes
from timelab.git import trees
from timelab.git.raw import RawObjects
from timelab.manifest import flake_metadata
from timelab.names import Oid, Sha256
from timelab.settings import settings_at

_KEPT_TREES = 2_000


class Commits:
    """Looks into commits; each object is hashed when it is first read. All methods raise `Missing` or `Damaged`."""

    def __init__(self, raw: RawObjects) -> None:
        self._raw = raw
        self._roots: dict[str, Oid] = {}
        self._trees: OrderedDict[str, dict[bytes, trees.TreeEntry]] = OrderedDict()
        self._digests: dict[str, Sha256] = {}
        self._flakes: dict[str, tuple[Sha256, dict[str, Any] | None]] = {}
        self._locks: dict[tuple[str, str], Oid | None] = {}

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

    def uv_lock(self, commit: Oid, profile: str) -> Sha256 | None:
        """Returns the digest of the uv.lock that pins a profile at the commit, as its own configuration says.

        Raises:
            DataError: the commit's configuration is wrong.
        """
        key = (commit, profile)
        if key not in self._locks:
            named = settings_at(lambda path: self._read(commit, path)).pin_of(profile, "uv")
            folders = [named] if named is not None else [f"env/{profile}", *([""] if profile == "default" else [])]
            found = (self._lock_in(commit, folder.strip("/")) for folder in folders)
            self._locks[key] = next((oid for oid in found if oid is not None), None)
        oid = self._locks[key]
        return None if oid is None else self.blob(oid)

    def _lock_in(self, commit: Oid, folder: str) -> Oid | None:
        prefix = "" if folder in ("", ".") else f"{folder}/"
        project = self.blob_oid(commit, f"{prefix}pyproject.toml")
        return None if project is None else self.blob_oid(commit, f"{prefix}uv.lock")

    def _read(self, commit: Oid, path: str) -> bytes | None:
        oid = self.blob_oid(commit, path)
        return None if oid is None else self._raw.blob(oid)

    def _entries(self, tree: Oid) -> dict[bytes, trees.TreeEntry]:
        found = self._trees.get(tree)
        if found is None:
            found = self._trees[tree] = self._raw.tree(tree)
            if len(self._trees) > _KEPT_TREES:
                self._trees.popitem(last=False)
        return found
