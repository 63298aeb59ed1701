"""Objects as they lie in the repository, each hashed again by us: what `verify` reads (style B3).

libgit2 keeps small objects in memory and stops reading a loose file when it has all that the header promised; here a
loose file is read from disk to its last byte, and only what lies in packs and alternates comes through libgit2.
Nothing is ever fetched, not even in a partial clone.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from timelab.errors import DataError
from timelab.git import trees
from timelab.names import Oid

if TYPE_CHECKING:
    from timelab.git.repo import Repo

_KINDS = {b"commit": trees.COMMIT, b"tree": trees.TREE, b"blob": trees.BLOB, b"tag": 4}


class Missing(DataError):
    """Says that an object is not in this repository."""

    slug = "object-missing"


class Damaged(DataError):
    """Says that an object's bytes are not what its id says."""

    slug = "object-damaged"


class RawObjects:
    """Reads objects and hashes every one; with a handle of its own, so that nothing read earlier is believed."""

    def __init__(self, repo: Repo) -> None:
        self._repo = replace(repo)
        self._objects = str(repo.common_dir / "objects")

    def read(self, oid: str, kind: int) -> bytes:
        """Returns the bytes of an object of a type (`trees.BLOB` …).

        Raises:
            Missing: it is not here.
            Damaged: it cannot be read whole, is of another type, or does not hash to its id.
        """
        found, data = self._loose(oid) or self._stored(oid)
        if found != kind or trees.object_id(found, data) != oid:
            raise Damaged(f"git object {oid} does not hash to its name")
        return data

    def _loose(self, oid: str) -> tuple[int, bytes] | None:
        path = f"{self._objects}/{oid[:2]}/{oid[2:]}"
        try:
            with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 — a hundred thousand times: Path costs as much as the read
                packed = stream.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Damaged(f"git object {oid} cannot be read: {error.strerror}") from error
        stream_end = zlib.decompressobj()
        try:
            data = stream_end.decompress(packed)
        except zlib.error as error:
            raise Damaged(f"git object {oid} is not a zlib stream: {ascii(str(error))[:80]}") from error
        header, nul, body = data.partition(b"\0")
        word, _, size = header.partition(b" ")
        if not stream_end.eof or stream_end.unused_data or not nul or word not in _KINDS or size != b"%d" % len(body):
            raise Damaged(f"git object {oid} is cut short, has bytes behind its end, or a wrong header")
        return _KINDS[word], body

    def _stored(self, oid: str) -> tuple[int, bytes]:
        import pygit2

        try:
            kind, data = self._repo.odb().read(oid)
        except KeyError:
            raise Missing(f"git object {oid} is not in this repository") from None
        except (pygit2.GitError, ValueError) as error:
            raise Damaged(f"git object {oid} cannot be read: {ascii(str(error))[:120]}") from error
        return int(kind), data

    def blob(self, oid: str) -> bytes:
        """Returns a blob's bytes."""
        return self.read(oid, trees.BLOB)

    def tree(self, oid: str) -> dict[bytes, trees.TreeEntry]:
        """Returns a tree's entries by name; raises `Damaged` as well when the bytes are not a tree."""
        data = self.read(oid, trees.TREE)
        try:
            return dict(trees.parse_tree(data))
        except DataError as error:
            raise Damaged(f"git object {oid}: {error.message}") from error

    def commit(self, oid: str) -> tuple[Oid, tuple[Oid, ...]]:
        """Returns the tree and the parents of a commit."""
        header = self.read(oid, trees.COMMIT).partition(b"\n\n")[0].split(b"\n")
        try:
            tree = Oid(header[0].removeprefix(b"tree ").decode("ascii"))
            parents = tuple(Oid(line[7:].decode("ascii")) for line in header[1:] if line.startswith(b"parent "))
        except (DataError, UnicodeDecodeError) as error:
            raise Damaged(f"git object {oid} is not a commit as git writes it") from error
        return tree, parents
