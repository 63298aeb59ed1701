"""The files of a commit in a scratch place, byte for byte: no filter, no hook, no index has a say in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from timelab.errors import DataError, GitError
from timelab.git import trees
from timelab.git.repo import Repo
from timelab.names import Oid

_FOLDER_MODE = 0o755


def export(repo: Repo, tree: Oid, target: Path) -> tuple[str, ...]:
    """Writes the files of a tree below `target`, with modes 0644 and 0755 whatever the umask.

    Links are made only if they stay inside; submodules are left out.

    Returns:
        The paths that were left out.

    Raises:
        DataError: a name that would leave `target` or enter `.git`, which no honest tree holds.
        GitError: the file system refuses.
    """
    left_out: list[str] = []
    links: list[tuple[bytes, bytes]] = []
    base = os.fsencode(target)
    target.mkdir(parents=True, exist_ok=True)
    made: set[bytes] = set()
    try:
        for path, entry in trees.walk_tree(repo, tree):
            folder = _checked_folder(path)
            if entry.mode == trees.SUBMODULE:
                left_out.append(trees.decode(path))
                continue
            data = trees.read_blob(repo, entry.oid)
            if entry.mode == trees.LINK:
                links.append((path, data))
                continue
            _make_folders(base, folder, made)
            _write_file(base + b"/" + path, data, 0o755 if entry.mode & stat.S_IXUSR else 0o644)
        # Links come last: no file is ever written through one.
        for path, goal in links:
            if stays_inside(path, goal):
                _make_folders(base, path.rpartition(b"/")[0], made)
                os.symlink(goal, base + b"/" + path)  # noqa: PTH211 — names may be any bytes
            else:
                left_out.append(trees.decode(path))
    except OSError as error:
        raise GitError(f"cannot export the commit's files: {error.strerror}") from error
    return tuple(sorted(left_out))


def _checked_folder(path: bytes) -> bytes:
    for part in path.split(b"/"):
        if part in (b"", b".", b"..") or part.lower().rstrip(b" .") in (b".git", b"git~1"):
            raise DataError(f"a tree holds the path {trees.decode(path)[:120]!a}, which git itself would refuse")
    return path.rpartition(b"/")[0]


def stays_inside(path: bytes, goal: bytes) -> bool:
    """Says whether a link at `path` of a tree that points to `goal` stays in that tree.

    Only leading `..` count as safe: after a name, `..` goes wherever that name, if it is a link itself, leads.
    """
    if not goal or goal.startswith(b"/") or b"\0" in goal:
        return False
    parts = [part for part in goal.split(b"/") if part not in (b"", b".")]
    up = next((number for number, part in enumerate(parts) if part != b".."), len(parts))
    named = parts[up:]
    return up <= path.count(b"/") and b".." not in named and b".git" not in [part.lower() for part in named]


def _make_folders(base: bytes, folder: bytes, made: set[bytes]) -> None:
    if not folder or folder in made:
        return
    _make_folders(base, folder.rpartition(b"/")[0], made)
    path = base + b"/" + folder
    try:
        os.mkdir(path, _FOLDER_MODE)  # noqa: PTH102
    except FileExistsError:
        if os.path.islink(path):  # noqa: PTH114
            raise
    else:
        os.chmod(path, _FOLDER_MODE)  # noqa: PTH101
    made.add(folder)


def _write_file(path: bytes, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Removes a folder even where a task took the permissions away; what cannot be removed is left."""
    for folder, _, _ in os.walk(path, onerror=None):
        # Top down: a folder becomes readable just before it is listed.
        with contextlib.suppress(OSError):
            for item in (Path(folder), *(child for child in Path(folder).iterdir() if _is_real_folder(child))):
                item.chmod(stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=True)


def _is_real_folder(path: Path) -> bool:
    """Says whether this is a folder and not a link to one."""
    return path.is_dir() and not path.is_symlink()
