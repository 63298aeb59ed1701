"""The run chain: append one entry, append many, walk. One chain a writer, so no two ever push to the same ref."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from timelab.atomic import write_atomic
from timelab.canonical import sha256_bytes
from timelab.errors import DataError, PathError, StoreError
from timelab.git import trees
from timelab.git.refs import list_refs, read_ref, swap_ref
from timelab.git.repo import Repo, commit_info
from timelab.names import Oid, WriterId, path_fault

RUNS = "refs/timelab/runs/"
REMOTES = "refs/timelab/remotes/"
KEEP = "refs/timelab/keep/"
IMPORT = "refs/timelab/import"
"""Where fast-import puts a batch before the chain moves to it; there only while the store lock is held."""

HEADS = "refs/heads/timelab/"
"""Where records stand on a host that refuses refs/timelab/* (`timelab.syncPrefix`)."""

Kind = Literal["run", "carry", "tombstone"]
_KINDS: tuple[tuple[bytes, Kind], ...] = (
    (b"run.json", "run"),
    (b"carry.json", "carry"),
    (b"tombstone.json", "tombstone"),
)


@dataclass(frozen=True)
class Entry:
    """Is one commit of a chain; `kind` is told by the file at its tree's root."""

    oid: Oid
    parent: Oid | None
    tree: Oid
    ref: str
    kind: Kind


def writer_id(repo: Repo) -> WriterId:
    """Returns this common git dir's writer, drawn at the first call; several processes get the same."""
    path = repo.timelab_dir / "writer"
    try:
        return WriterId(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        return _draw_writer(path)
    except (DataError, UnicodeDecodeError) as error:
        raise StoreError("the file `timelab/writer` in the git dir holds no writer id", hint="remove it") from error


def _draw_writer(path: Path) -> WriterId:
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f".writer.{os.urandom(6).hex()}.tmp")
    write_atomic(mine, f"{os.urandom(8).hex()}\n".encode())
    try:
        # A hard link fails if the name is there: only one of many first callers wins.
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink()
    return WriterId(path.read_text(encoding="ascii").strip())


def part_from_copy(repo: Repo, other: Oid) -> WriterId:
    """Takes a new writer id, because another copy of this repository appended `other` to what was our chain.

    The entries that only we have are appended to the new chain, with their trees, messages and dates; the ref of the
    old one moves to `other`, so that no entry is lost and none stands twice. The new id follows from the old one and
    our tip: stopped anywhere, the same call does the rest. The caller holds the store lock.
    """
    old = writer_id(repo)
    tip = read_ref(repo, RUNS + old)
    new = WriterId(sha256_bytes(f"{old} {tip or other}".encode())[:16])
    if tip is not None:
        done = repo.git(["merge-base", tip, other], check=False)
        base = Oid(done.stdout.decode("ascii").split()[0]) if done.code == 0 else None
        parent: Oid | None = None
        for entry in reversed(list(walk(repo, tip, ref=RUNS + old, stop=base))):
            person = _signature(new, commit_info(repo, entry.oid).committed_at)
            data = commit_bytes(entry.tree, [parent] if parent else [], person, read_message(repo, entry.oid))
            parent = trees.write_object(repo, trees.COMMIT, data)
        if parent and read_ref(repo, RUNS + new) is None:
            swap_ref(repo, RUNS + new, parent, None)
    write_atomic(repo.timelab_dir / "writer", f"{new}\n".encode())
    swap_ref(repo, RUNS + old, other, tip)
    return new


def signature(repo: Repo, when: datetime) -> bytes:
    """Returns the author and committer of our own commits, dated in UTC."""
    return _signature(writer_id(repo), when)


def _signature(writer: WriterId, when: datetime) -> bytes:
    return f"timelab <{writer}@timelab.invalid> {int(when.timestamp())} +0000".encode()


def commit_bytes(tree: Oid, parents: Sequence[Oid], person: bytes, message: str) -> bytes:
    """Returns the bytes of a commit object."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    body = message.rstrip("\n").encode("utf-8", "replace").replace(b"\0", b"?")
    return "\n".join(lines).encode() + b"\nauthor %s\ncommitter %s\n\n%s\n" % (person, person, body)


def read_message(repo: Repo, oid: str) -> str:
    """Returns the message of an entry's commit."""
    return trees.read_typed(repo, oid, trees.COMMIT).partition(b"\n\n")[2].decode("utf-8", "replace")


def append_tree(repo: Repo, tree: Oid, *, message: str, when: datetime) -> Oid:
    """Appends an entry whose tree is written already. The caller holds the store lock."""
    ref = RUNS + writer_id(repo)
    tip = read_ref(repo, ref)
    data = commit_bytes(tree, [tip] if tip else [], signature(repo, when), message)
    oid = trees.write_object(repo, trees.COMMIT, data)
    swap_ref(repo, ref, oid, tip)
    return oid


def append_files(repo: Repo, files: Mapping[str, bytes], *, message: str, when: datetime) -> Oid:
    """Appends an entry made of the given files. The caller holds the store lock."""
    return append_tree(repo, trees.write_tree(repo, files), message=message, when=when)


def append_many(repo: Repo, batch: Sequence[tuple[Mapping[str, bytes], str, datetime]]) -> list[Oid]:
    """Appends entries of (files, message, when) through fast-import, which packs them instead of strewing files.

    All or none: the chain moves once, at the end. The caller holds the store lock.
    """
    if not batch:
        return []
    writer = writer_id(repo)
    tip = read_ref(repo, RUNS + writer)
    parts = [b"feature done\n"]
    for number, (files, message, when) in enumerate(batch, 1):
        parent = f":{number - 1}" if number > 1 else tip
        parts += _import_entry(number, parent, files, message, _signature(writer, when))
    # The marks are asked for at the end, so that git's answers cannot fill the pipe while we still write.
    parts += [f"get-mark :{number}\n".encode() for number in range(1, len(batch) + 1)]
    parts.append(b"done\n")
    done = repo.git(["fast-import", "--quiet", "--force", "--date-format=raw"], input=b"".join(parts), timeout_s=600)
    oids = [Oid(line) for line in done.stdout.decode("ascii").split()]
    swap_ref(repo, RUNS + writer, oids[-1], tip)
    swap_ref(repo, IMPORT, None, oids[-1])
    return oids


def _import_entry(
    number: int, parent: str | None, files: Mapping[str, bytes], message: str, person: bytes
) -> Iterator[bytes]:
    text = message.rstrip("\n").encode("utf-8", "replace") + b"\n"
    if parent is None:
        # Without this a ref left over from a batch that was killed would become the first commit's parent.
        yield b"reset %s\n" % IMPORT.encode()
    yield b"commit %s\nmark :%d\ncommitter %s\ndata %d\n%s" % (IMPORT.encode(), number, person, len(text), text)
    if parent is not None:
        yield f"from {parent}\n".encode()
    yield b"deleteall\n"
    for path, data in files.items():
        fault = path_fault(path)
        if fault:
            raise PathError(f"path {path[:120]!a}: {fault}")
        quoted = path.replace('"', '\\"').encode()
        yield b'M 100644 inline "%s"\ndata %d\n%s\n' % (quoted, len(data), data)


def keep(repo: Repo, commit: Oid) -> None:
    """Saves a commit that a record names from gc, by a ref that is never pushed."""
    import pygit2

    name = KEEP + commit
    if read_ref(repo, name) is None:
        try:
            # The name says the value, so two that create it at once agree.
            repo.pygit2().create_reference_direct(name, pygit2.Oid(hex=commit), False)
        except pygit2.AlreadyExistsError:
            return
        except (pygit2.GitError, OSError):
            swap_ref(repo, name, commit, read_ref(repo, name))


def tips(repo: Repo) -> dict[str, Oid]:
    """Returns every chain's ref and tip: our own, tracking copies, and those that lie among branches."""
    found = list_refs(repo, RUNS, REMOTES, f"{HEADS}runs/", f"refs/remotes/*/{HEADS[11:]}runs/*")
    return {name: oid for name, oid in found.items() if "/runs/" in name}


def walk(repo: Repo, tip: Oid, *, ref: str, stop: Oid | None = None) -> Iterator[Entry]:
    """Yields a chain's entries, newest first, down to `stop` (which is left out) or the first.

    Raises:
        DataError: an object is missing or damaged, or a commit is not an entry of ours (slug `not-an-entry`).
    """
    at: Oid | None = tip
    while at is not None and at != stop:
        entry = read_entry(repo, at, ref=ref)
        yield entry
        at = entry.parent


def read_entry(repo: Repo, oid: Oid, *, ref: str) -> Entry:
    """Returns one entry of a chain."""
    header = trees.read_typed(repo, oid, trees.COMMIT).partition(b"\n\n")[0].split(b"\n")
    parents = [line[7:].decode("ascii", "replace") for line in header if line.startswith(b"parent ")]
    if not header[0].startswith(b"tree ") or len(parents) > 1:
        raise _not_an_entry(oid, ref)
    tree = Oid(header[0][5:].decode("ascii", "replace"))
    names = trees.read_tree(repo, tree)
    kind = next((kind for name, kind in _KINDS if name in names), None)
    if kind is None:
        raise _not_an_entry(oid, ref)
    return Entry(oid, Oid(parents[0]) if parents else None, tree, ref, kind)


def _not_an_entry(oid: Oid, ref: str) -> DataError:
    error = DataError(f"commit {oid[:12]} on {ref} is not an entry of a run chain", hint="who wrote to this ref?")
    error.slug = "not-an-entry"
    return error


def read_file(repo: Repo, entry: Entry, path: str) -> bytes | None:
    """Returns the bytes of a file of an entry, or None."""
    found = trees.entry_at(repo, entry.tree, path)
    return trees.read_blob(repo, found.oid) if found and found.is_file else None
