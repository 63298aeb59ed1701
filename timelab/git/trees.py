"""Reads and writes blobs and trees without touching index or work tree.

Trees are parsed and built as bytes (git's own format: `<octal mode> <name>\\0<raw id>`, sorted with folders as if their
names ended in `/`), because a user's repository may hold names that are not UTF-8 and modes that libgit2 refuses.
Paths are `str` throughout; such a name comes out with surrogate escapes.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from timelab.errors import DataError, GitError, PathError
from timelab.names import Oid, path_fault

if TYPE_CHECKING:
    from timelab.git.repo import Repo

COMMIT, TREE, BLOB = 1, 2, 3
"""Object types, as libgit2 numbers them."""

FILE, EXECUTABLE, LINK, FOLDER, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000
"""Modes of tree entries."""

_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob"}
_STREAMED_BYTES = 32 << 20
_MAX_DEPTH = 200


class TreeEntry(NamedTuple):
    """Is a file, link, submodule or folder in a tree."""

    mode: int
    oid: Oid

    @property
    def is_file(self) -> bool:
        """Says whether this is a regular file (old trees also know 0100664)."""
        return stat.S_ISREG(self.mode)


def read_object(repo: Repo, oid: str) -> tuple[int, bytes]:
    """Returns type and bytes of an object; libgit2 checks the bytes against the id.

    Raises:
        DataError: slug `object-missing` or `object-damaged`.
    """
    import pygit2

    try:
        kind, data = repo.odb().read(oid)
    except KeyError:
        raise _data_error("object-missing", f"git object {oid} is not in this repository") from None
    except (pygit2.GitError, OSError, ValueError) as error:
        raise _data_error("object-damaged", f"git object {oid} cannot be read: {ascii(str(error))[:120]}") from error
    return int(kind), data


def fetch_blob(repo: Repo, oid: str) -> bytes:
    """Returns a blob's bytes, and lets git fetch them if a partial clone left them out; libgit2 cannot.

    Only for work that was asked for: a fetch starts what the repository's configuration names, so commands that only
    read must not cause one.
    """
    try:
        return read_blob(repo, oid)
    except DataError as error:
        if error.slug != "object-missing" or not repo.is_partial:
            raise
        done = repo.git(["cat-file", "blob", oid], timeout_s=600, env={"GIT_NO_LAZY_FETCH": "0"})
        return done.stdout


def _data_error(slug: str, message: str) -> DataError:
    error = DataError(message, hint="`git fsck` lists what is broken; `timelab doctor --repair` restores from a copy")
    error.slug = slug
    return error


def read_typed(repo: Repo, oid: str, kind: int) -> bytes:
    """Returns an object's bytes; raises `DataError` when it is of another type."""
    found, data = read_object(repo, oid)
    if found != kind:
        raise _data_error("object-damaged", f"git object {oid} is not a {_NAMES[kind].decode()}")
    return data


def write_object(repo: Repo, kind: int, data: bytes) -> Oid:
    """Writes an object unless it is there already, and returns its id."""
    import pygit2

    try:
        return Oid(str(repo.odb().write(kind, data)))
    except (pygit2.GitError, OSError) as error:
        raise GitError(f"cannot write to the object database: {ascii(str(error))[:160]}") from error


def object_id(kind: int, data: bytes) -> Oid:
    """Returns the SHA-1 id that an object would have. A git name, not a digest of ours."""
    return Oid(hashlib.sha1(b"%s %d\0" % (_NAMES[kind], len(data)) + data, usedforsecurity=False).hexdigest())


def read_blob(repo: Repo, oid: str) -> bytes:
    """Returns a blob's bytes."""
    return read_typed(repo, oid, BLOB)


def write_blob(repo: Repo, data: bytes) -> Oid:
    """Writes a blob."""
    return write_object(repo, BLOB, data)


def blob_oid(data: bytes) -> Oid:
    """Returns the id of a blob without writing it."""
    return object_id(BLOB, data)


def parse_tree(data: bytes, id_bytes: int = 20) -> Iterator[tuple[bytes, TreeEntry]]:
    """Yields the (name, entry) pairs of a tree's bytes; raises `DataError` when they are not a tree."""
    at, size = 0, len(data)
    try:
        while at < size:
            blank = data.index(b" ", at)
            nul = data.index(b"\0", blank)
            end = nul + 1 + id_bytes
            if end > size:
                raise ValueError("cut short")
            oid = str.__new__(Oid, data[nul + 1 : end].hex())
            yield data[blank + 1 : nul], TreeEntry(int(data[at:blank], 8), oid)
            at = end
    except ValueError as error:
        raise _data_error("object-damaged", "a git tree's bytes are not a tree") from error


def format_tree(entries: Mapping[bytes, TreeEntry]) -> bytes:
    """Returns the bytes of the tree that holds `entries`."""
    ordered = sorted(entries.items(), key=lambda item: item[0] + b"/" if item[1].mode == FOLDER else item[0])
    return b"".join(b"%o %s\0%s" % (entry.mode, name, bytes.fromhex(entry.oid)) for name, entry in ordered)


def read_tree(repo: Repo, tree: str) -> dict[bytes, TreeEntry]:
    """Returns the entries of one tree, by name, in the tree's order."""
    return dict(parse_tree(read_typed(repo, tree, TREE)))


def write_entries(repo: Repo, entries: Mapping[bytes, TreeEntry]) -> Oid:
    """Writes one tree."""
    return write_object(repo, TREE, format_tree(entries))


def decode(name: bytes) -> str:
    """Returns a path as `str`; bytes that are not UTF-8 become surrogate escapes."""
    return name.decode("utf-8", "surrogateescape")


def is_text(path: str) -> bool:
    """Says whether a path from a tree is UTF-8, and so can be named in a spec or a manifest."""
    return path.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in path)


def walk_tree(repo: Repo, tree: str, prefix: bytes = b"", depth: int = 0) -> Iterator[tuple[bytes, TreeEntry]]:
    """Yields (path, entry) of everything below a tree that is not itself a folder."""
    if depth > _MAX_DEPTH:
        raise DataError(f"a tree is nested deeper than {_MAX_DEPTH} folders")
    for name, entry in parse_tree(read_typed(repo, tree, TREE)):
        if entry.mode == FOLDER:
            yield from walk_tree(repo, entry.oid, prefix + name + b"/", depth + 1)
        else:
            yield prefix + name, entry


def list_tree(repo: Repo, tree: str) -> dict[str, TreeEntry]:
    """Returns every file, link and submodule of a tree by path, in the tree's order."""
    return {decode(path): entry for path, entry in walk_tree(repo, tree)}


def entry_at(repo: Repo, tree: str, path: str) -> TreeEntry | None:
    """Returns what stands at a path of a tree, or None; reads only the folders on the way."""
    entry = TreeEntry(FOLDER, Oid(tree))
    for part in path.encode("utf-8", "surrogateescape").split(b"/"):
        if entry.mode != FOLDER:
            return None
        found = next((item for name, item in parse_tree(read_typed(repo, entry.oid, TREE)) if name == part), None)
        if found is None:
            return None
        entry = found
    return entry


def write_folder(repo: Repo, folder: Path) -> Oid:
    """Writes the files of a folder as blobs and trees; several processes may do so at once.

    Executable files keep that bit; empty folders vanish, as git knows none.

    Raises:
        PathError: anything but regular files and folders, or a name that cannot travel.
    """
    entry = _write_folder(repo, folder, "")
    return entry.oid if entry else write_object(repo, TREE, b"")


def _write_folder(repo: Repo, folder: Path, prefix: str) -> TreeEntry | None:
    entries: dict[bytes, TreeEntry] = {}
    with os.scandir(folder) as listing:
        for item in listing:
            path = prefix + item.name
            fault = path_fault(path)
            if fault:
                raise PathError(f"path {ascii(path)[:120]}: {fault}")
            if item.is_dir(follow_symlinks=False):
                child = _write_folder(repo, Path(item.path), path + "/")
                if child:
                    entries[os.fsencode(item.name)] = child
            elif item.is_file(follow_symlinks=False):
                entries[os.fsencode(item.name)] = _write_file(repo, Path(item.path), item.stat(follow_symlinks=False))
            else:
                raise PathError(f"path {ascii(path)[:120]}: is not a regular file")
    return TreeEntry(FOLDER, write_entries(repo, entries)) if entries else None


def _write_file(repo: Repo, path: Path, status: os.stat_result) -> TreeEntry:
    import pygit2

    mode = EXECUTABLE if status.st_mode & stat.S_IXUSR else FILE
    if status.st_size <= _STREAMED_BYTES:
        return TreeEntry(mode, write_blob(repo, path.read_bytes()))
    try:
        # Our handle is opened bare, so no filter (end of line, LFS) can change the bytes.
        return TreeEntry(mode, Oid(str(repo.pygit2().create_blob_fromdisk(str(path)))))
    except (pygit2.GitError, OSError) as error:
        raise GitError(f"cannot write to the object database: {ascii(str(error))[:160]}") from error


def write_tree(repo: Repo, files: Mapping[str, bytes]) -> Oid:
    """Writes files given by path as blobs and trees.

    Raises:
        PathError: a path that cannot travel, or one that is both a file and a folder.
    """
    root: dict[str, Any] = {}
    for path, data in files.items():
        fault = path_fault(path)
        if fault:
            raise PathError(f"path {ascii(path)[:120]}: {fault}")
        *folders, name = path.split("/")
        node = root
        for part in folders:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise PathError(f"path {ascii(path)[:120]}: {part!r} is also a file")
        if name in node:
            raise PathError(f"path {ascii(path)[:120]}: is also a folder")
        node[name] = data
    return _write_nested(repo, root)


def _write_nested(repo: Repo, node: Mapping[str, Any]) -> Oid:
    return write_entries(
        repo,
        {
            name.encode(): TreeEntry(FOLDER, _write_nested(repo, value))
            if isinstance(value, dict)
            else TreeEntry(FILE, write_blob(repo, value))
            for name, value in node.items()
        },
    )


def code_tree(repo: Repo, tree: str, drop: Callable[[str], bool]) -> Oid:
    """Returns the id that a tree would have without what `drop` says; nothing is written.

    `drop` is asked first for each folder, whose path then ends in `/` (true leaves all of it out, unread), and for
    each file, link and submodule in the folders that stay. A folder that loses all its entries is left out as well.
    """
    return _pruned(repo, tree, drop, "") or object_id(TREE, b"")


def _pruned(repo: Repo, tree: str, drop: Callable[[str], bool], prefix: str) -> Oid | None:
    data = read_typed(repo, tree, TREE)
    kept: dict[bytes, TreeEntry] = {}
    changed = False
    for name, entry in parse_tree(data):
        path = prefix + decode(name)
        if entry.mode != FOLDER:
            if drop(path):
                changed = True
            else:
                kept[name] = entry
            continue
        oid = None if drop(path + "/") else _pruned(repo, entry.oid, drop, path + "/")
        changed = changed or oid != entry.oid
        if oid is not None:
            kept[name] = TreeEntry(FOLDER, oid)
    if not kept:
        return None
    return object_id(TREE, format_tree(kept)) if changed else str.__new__(Oid, tree)
