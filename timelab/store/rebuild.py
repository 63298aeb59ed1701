"""Makes everything that is derived from the chains again: index, notes, runs.csv, README, `latest`, run folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from timelab.errors import DataError, GitError, StoreError
from timelab.git import chain, notes, refs, trees
from timelab.git.repo import Repo
from timelab.git.tracked import tracked_paths
from timelab.git.worktree import export
from timelab.names import Oid
from timelab.store import day, feed, folders
from timelab.store.completion import note_lines, project_days
from timelab.store.database import drop_index
from timelab.store.index import Index, open_index
from timelab.store.layout import DAY_README, RUN_FILE, quarantine_folder
from timelab.store.orphans import orphan_lines
from timelab.store.rows import RunRow

_PIECE = 2_000


@dataclass(frozen=True)
class Restored:
    """Says what `restore_folders` did: folders written back, where differing ones were moved, and what it could not."""

    folders: tuple[str, ...] = ()
    moved: tuple[Path, ...] = ()
    refused: tuple[str, ...] = ()


def reindex(repo: Repo) -> int:
    """Drops the index and rebuilds every projection from the chains; returns the number of runs (style B5)."""
    with refs.store_lock(repo):
        drop_index(repo)
        return _rebuild(repo)


def refresh(repo: Repo) -> int:
    """Brings every projection up to date after chains came from elsewhere; returns the number of runs."""
    with refs.store_lock(repo):
        return _rebuild(repo)


def write_day(repo: Repo, date: str) -> None:
    """Makes the README of a dated folder (`YYYY/MM/DD`), with the day's runs if there are any (A78, A134)."""
    root = repo.root
    if root is None or tracked_paths(repo, [f"{date}/{DAY_README}"]) or not folders.is_inside(root, date):
        return
    with refs.store_lock(repo), open_index(repo) as index:
        day.exclude_derived(repo)
        day.update_readme(index, root, date, room=repo.timelab_dir, create=True)


def _rebuild(repo: Repo) -> int:
    with open_index(repo) as index:
        rebuild_notes(repo, index)
        if repo.root is not None:
            project_days(repo, index, repo, {date.replace("-", "/"): [] for date in index.days()})
        return index.count()


def rebuild_notes(repo: Repo, index: Index) -> None:
    """Makes the notes hold the lines of the runs in the chains, carried ones too.

    Foreign lines stay, and so do lines of runs that no chain holds: they are the last copy.
    """
    wanted: dict[Oid, list[bytes]] = {}
    lines: dict[str, bytes] = {}
    carried = index.carries()
    needed = {carry.run_id for carry in carried}
    rows = index.select()
    held: set[str] = set()
    for start in range(0, len(rows), _PIECE):
        piece = rows[start : start + _PIECE]
        for row, data in zip(piece, feed.read_blobs(repo, [f"{row.entry}:{RUN_FILE}" for row in piece]), strict=True):
            if data is None:
                continue
            held.add(row.run_id)
            for target, line in note_lines(row, data):
                wanted.setdefault(target, []).append(line)
            if row.run_id in needed:
                lines[row.run_id] = data
    for carry in carried:
        if carry.run_id in lines:
            wanted.setdefault(Oid(carry.to), []).append(lines[carry.run_id])
    for target, line in list(orphan_lines(repo, index, held, wanted)):
        wanted.setdefault(target, []).append(line)
    notes.rebuild(repo, wanted)


def restore_folders(repo: Repo) -> Restored:
    """Writes run folders that are missing back from the chain, byte for byte.

    A folder whose files differ from the chain is moved to the quarantine first; nothing is lost.
    """
    written: list[str] = []
    moved: list[Path] = []
    refused: list[str] = []
    root = repo.root
    if root is None:
        return Restored()
    with refs.store_lock(repo), open_index(repo) as index:
        for row in index.select():
            try:
                entry = chain.read_entry(repo, Oid(row.entry), ref=row.ref)
                target = root / row.artifacts_path
                if target.is_symlink() or target.exists():
                    if is_equal(repo, entry.tree, target):
                        continue
                    moved.append(folders.move_away(target, quarantine_folder(repo)))
                _restore(repo, root, row, entry.tree)
                written.append(row.artifacts_path)
            except (DataError, GitError, StoreError, OSError) as error:
                refused.append(f"{row.artifacts_path}: {error}")
        if written:
            project_days(repo, index, repo, {date.replace("-", "/"): [] for date in index.days()})
    return Restored(tuple(written), tuple(moved), tuple(refused))


def _restore(repo: Repo, root: Path, row: RunRow, tree: Oid) -> None:
    def write(target: Path) -> None:
        left_out = export(repo, tree, target)
        if left_out:
            raise StoreError(f"the record holds what is no file: {ascii(left_out[0])[:120]}")

    folders.place(root, row.artifacts_path, staging=None, export=write, run_json=b"")


def is_equal(repo: Repo, tree: Oid, folder: Path) -> bool:
    """Says whether a folder holds exactly the files of a tree: names, bytes and the executable bit."""
    if folder.is_symlink() or not folder.is_dir() or not folders.has_only_files(folder):
        return False
    wanted = {path: (entry.mode, entry.oid) for path, entry in trees.list_tree(repo, tree).items()}
    found = {
        path: (trees.EXECUTABLE if executable else trees.FILE, trees.blob_oid(data))
        for path, (executable, data) in folders.read_files(folder).items()
    }
    return wanted == found
