"""What follows from an entry of the chain: folder, note lines, keep ref, index row, runs.csv, README, latest.

Every step may be done again: that is how a crash between two of them is healed.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timelab.errors import DataError, GitError, StoreError, is_no_room
from timelab.git import chain, notes
from timelab.git.repo import Repo
from timelab.git.tracked import tracked_paths
from timelab.git.worktree import export, remove_tree
from timelab.names import Oid
from timelab.store import csvlog, day, folders
from timelab.store.index import Index
from timelab.store.journal import Intent
from timelab.store.layout import DAY_README, LATEST, RUNS_CSV, day_of
from timelab.store.rows import ParsedRun, RunRow

logger = logging.getLogger(__name__)

Reached = Callable[[str], None]
"""Is told the name of each step when it is done; the crash tests stop there."""


def no_stop(step: str) -> None:
    """Goes on."""


@dataclass(frozen=True)
class Recorded:
    """Is a run that stands in the chain: its entry, its bytes, and the work tree where its folder belongs."""

    run: ParsedRun
    tree: Oid
    run_json: bytes
    work: Repo
    staging: Path | None = None

    @property
    def row(self) -> RunRow:
        """Returns the run's row."""
        return self.run.row


def work_of(repo: Repo, intent: Intent) -> Repo:
    """Returns the work tree in which a change was asked for."""
    root = None if intent.root is None else Path(intent.root)
    return Repo(Path(intent.git_dir), repo.common_dir, root, repo.object_format)


def note_lines(row: RunRow, run_json: bytes) -> list[tuple[Oid, bytes]]:
    """Returns where a run's line is noted: on its commit, and on its spec's blob."""
    targets = [row.spec_blob] if row.git_sha is None else [row.git_sha, row.spec_blob]
    return [(Oid(target), run_json) for target in targets]


def write_out(repo: Repo, records: Sequence[Recorded], reached: Reached = no_stop) -> None:
    """Gives runs their folders, note lines and keep refs, in that order. The caller holds the store lock."""
    for record in records:
        place_folder(repo, record)
        reached("folder")
    notes.add_lines(repo, [pair for record in records for pair in note_lines(record.row, record.run_json)])
    reached("notes")
    for git_sha in sorted({record.row.git_sha for record in records if record.row.git_sha is not None}):
        try:
            chain.keep(repo, Oid(git_sha))
        except GitError as error:
            # A shallow or partial clone may record a run of a commit that it does not hold.
            logger.warning("cannot keep commit %s: %s", git_sha[:12], error.message)
    reached("keep")


def place_folder(repo: Repo, record: Recorded) -> bool:
    """Puts a run's folder into the work tree; what stands in its way is said and left, for the chain holds the run."""
    root, placed = record.work.root, False
    try:
        if root is not None and root.is_dir():
            placed = folders.place(
                root,
                record.row.artifacts_path,
                staging=record.staging,
                export=lambda target: _export(repo, record.tree, target),
                run_json=record.run_json,
            )
    except (OSError, StoreError, GitError, DataError) as error:
        _raise_if_no_room(error)
        logger.warning("no folder for run %s: %s", record.row.run_id[:8], error)
    if record.staging is not None and record.staging.exists():
        remove_tree(record.staging)
    return placed


def _raise_if_no_room(error: Exception) -> None:
    """Keeps the intent alive while the disk is full: whoever comes when there is room again does the rest."""
    if is_no_room(error):
        raise StoreError(str(error)) from error


def _export(repo: Repo, tree: Oid, target: Path) -> None:
    left_out = export(repo, tree, target)
    if left_out:
        shutil.rmtree(target, ignore_errors=True)
        raise StoreError(f"the record holds what is no file: {ascii(left_out[0])[:120]}")


def project(repo: Repo, index: Index, rows: Iterable[tuple[Repo, RunRow]], reached: Reached = no_stop) -> None:
    """Brings runs.csv, README and `latest` up to date with rows that are new in the index.

    A projection that cannot be written is said, and does not take the record down.
    """
    groups: dict[Repo, dict[str, list[RunRow]]] = {}
    for work, row in rows:
        groups.setdefault(work, {}).setdefault(day_of(row.timestamp_start), []).append(row)
    try:
        # All of it first: of two work trees that are served at once each lacks the rows of the other.
        _drop_stale(index, groups)
    except sqlite3.Error as error:
        _raise_if_no_room(error)
        logger.warning("runs.csv of other work trees may lack rows until `timelab reindex`: %s", error)
    for work, days in groups.items():
        try:
            project_days(repo, index, work, days, reached)
        except (OSError, sqlite3.Error, GitError) as error:
            _raise_if_no_room(error)
            logger.warning("runs.csv, README or latest could not be written: %s", error)


def _drop_stale(index: Index, groups: Mapping[Repo, Iterable[str]]) -> None:
    for work, days in groups.items():
        for date in days:
            index.drop_csv_sizes(date, but=str(work.root))


def project_days(
    repo: Repo, index: Index, work: Repo, days: dict[str, list[RunRow]], reached: Reached = no_stop
) -> None:
    """Writes the derived files of the given days of one work tree, unless git tracks them."""
    root = work.root
    if root is None or not root.is_dir():
        return
    names = [f"{date}/{name}" for date in days for name in (RUNS_CSV, DAY_README)]
    tracked = tracked_paths(work, [LATEST, *names])
    if len(tracked) <= len(names):
        day.exclude_derived(repo)
    for date, rows in days.items():
        if not folders.is_inside(root, date):
            continue
        if f"{date}/{RUNS_CSV}" not in tracked:
            csvlog.update(index, root, date, rows, room=repo.timelab_dir)
        reached("csv")
        if f"{date}/{DAY_README}" not in tracked:
            day.update_readme(index, root, date, room=repo.timelab_dir)
        reached("readme")
    if LATEST not in tracked:
        day.point_latest(index, root, room=repo.timelab_dir)
    reached("latest")
