"""Writes run folders back from the chains: what is missing or differs, and nothing else."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from timelab.errors import DataError, GitError, StoreError
from timelab.git import chain, refs, trees
from timelab.git.repo import Repo
from timelab.git.tracked import tracked_below
from timelab.git.worktree import export, remove_tree
from timelab.names import Oid
from timelab.store import folders
from timelab.store.completion import project_days
from timelab.store.index import open_index
from timelab.store.layout import quarantine_folder, scratch_folder

RESTORED = "restore-"
"""Begins the names of folders in the scratch place that are there only while the store lock is held."""


@dataclass(frozen=True)
class Restored:
    """Says what `restore_folders` did: folders written to, where what differed was moved, and what it could not."""

    folders: tuple[str, ...] = ()
    moved: tuple[Path, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass
class _Work:
    repo: Repo
    root: Path
    written: list[str] = field(default_factory=list)
    moved: list[Path] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def restore_folders(repo: Repo) -> Restored:
    """Writes what run folders lack back from the chain, byte for byte.

    A file that differs is moved to the quarantine first, unless git tracks it: then it is the user's, and stays. What
    somebody put beside the record's files stays where it is.
    """
    root = repo.root
    if root is None:
        return Restored()
    work = _Work(repo, root)
    with refs.store_lock(repo), open_index(repo) as index:
        for row in index.select():
            try:
                entry = chain.read_entry(repo, Oid(row.entry), ref=row.ref)
                _restore(work, row.artifacts_path, entry.tree)
            except (DataError, GitError, StoreError, OSError) as error:
                work.refused.append(f"{row.artifacts_path}: {error}")
        if work.written:
            project_days(repo, index, repo, {date.replace("-", "/"): [] for date in index.days()})
    return Restored(tuple(work.written), tuple(work.moved), tuple(work.refused))


def _restore(work: _Work, place: str, tree: Oid) -> None:
    target = work.root / place
    if folders.has_link(work.root, place) or not target.is_dir():
        if os.path.lexists(target) and not folders.has_link(work.root, place.rpartition("/")[0]):
            _move_away(work, place, "")
        folders.place(work.root, place, staging=None, export=lambda to: _export(work.repo, tree, to), run_json=b"")
        work.written.append(place)
        return
    lacking = _lacking(work.repo, tree, target)
    if not lacking:
        return
    room = scratch_folder(work.repo)
    room.mkdir(parents=True, exist_ok=True)
    copy = Path(tempfile.mkdtemp(prefix=RESTORED, dir=room))
    try:
        _export(work.repo, tree, copy)
        done = [_write_back(work, place, path, copy / path) for path in lacking]
        if any(done):
            work.written.append(place)
    finally:
        remove_tree(copy)


def _export(repo: Repo, tree: Oid, target: Path) -> None:
    left_out = export(repo, tree, target)
    if left_out:
        raise StoreError(f"the record holds what is no file: {ascii(left_out[0])[:120]}")


def _lacking(repo: Repo, tree: Oid, folder: Path) -> list[str]:
    """Returns the files of a tree that a folder lacks: missing, with other bytes or another executable bit."""
    found = {
        path: (trees.EXECUTABLE if executable else trees.FILE, trees.blob_oid(data))
        for path, (executable, data) in folders.read_files(folder).items()
    }
    wanted = trees.list_tree(repo, tree)
    return sorted(path for path, entry in wanted.items() if found.get(path) != (entry.mode, entry.oid))


def _write_back(work: _Work, place: str, path: str, source: Path) -> bool:
    """Writes one file; False when what stands in its way is tracked, and so is left."""
    target = work.root / place / path
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        at = work.root / place / "/".join(parts[:end])
        in_the_way = os.path.lexists(at) and (end == len(parts) or at.is_symlink() or not at.is_dir())
        if in_the_way and not _move_away(work, place, "/".join(parts[:end])):
            return False
    target.parent.mkdir(parents=True, exist_ok=True)
    folders.replace_file(target, source.read_bytes(), room=work.repo.timelab_dir)
    target.chmod(source.stat().st_mode & 0o777)
    return True


def _move_away(work: _Work, place: str, path: str) -> bool:
    """Moves what stands in the way to the quarantine; what git tracks is the user's and stays, which is said."""
    at = f"{place}/{path}".rstrip("/")
    if tracked_below(work.repo, at):
        work.refused.append(f"{at}: differs from the chain, and git tracks it")
        return False
    name = place.rpartition("/")[2]
    room = quarantine_folder(work.repo) / name / path.rpartition("/")[0] if path else quarantine_folder(work.repo)
    work.moved.append(folders.move_away(work.root / at, room))
    return True
