"""Makes everything that is derived from the chains again: index, notes, runs.csv, README, `latest`."""

from __future__ import annotations

from timelab.git import notes, refs
from timelab.git.repo import Repo
from timelab.git.tracked import tracked_paths
from timelab.names import Oid
from timelab.store import day, feed, folders
from timelab.store.completion import note_lines, project_days
from timelab.store.database import drop_index
from timelab.store.index import Index, open_index
from timelab.store.layout import DAY_README, RUN_FILE
from timelab.store.orphans import orphan_lines
from timelab.store.restore import restore_folders as restore_folders

_PIECE = 2_000


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
