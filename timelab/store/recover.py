"""Finishes what is announced and tidies up after the dead."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from timelab.clock import parse_timestamp
from timelab.errors import DataError, StoreError
from timelab.git import chain, refs, trees
from timelab.git.repo import Repo
from timelab.git.worktree import remove_tree
from timelab.names import Oid, RunId
from timelab.store import corrections, feed, folders, journal, liveness
from timelab.store.completion import Reached, Recorded, no_stop, project, work_of, write_out
from timelab.store.index import Index, open_index
from timelab.store.journal import Intent
from timelab.store.layout import (
    RUN_FILE,
    RUNNING_FILE,
    journal_folder,
    quarantine_folder,
    scratch_folder,
    staging_folder,
)
from timelab.store.liveness import is_alive
from timelab.store.rebuild import refresh as refresh
from timelab.store.rebuild import reindex as reindex
from timelab.store.restore import RESTORED
from timelab.store.rows import ParsedRun, parse_run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Abandoned:
    """Is a run whose process died before it was recorded; its files were moved to `path` in the quarantine."""

    run_id: str
    spec_path: str | None
    git_sha: str | None
    path: Path


@dataclass(frozen=True)
class Report:
    """Says what `heal` did: runs whose record was finished, and runs that left no record."""

    finished: tuple[RunId, ...] = ()
    abandoned: tuple[Abandoned, ...] = ()


def announce_run(repo: Repo, staging: Path, run_id: str, reached: Reached = no_stop) -> Intent:
    """Writes a complete staging folder's files to the object database and announces the run.

    Needs no lock: writers do this at the same time, and only the rest one after another.
    """
    written = _write_objects(repo, staging)
    reached("tree")
    intent = Intent(
        name=run_id,
        op="run",
        root=None if repo.root is None else str(repo.root),
        git_dir=str(repo.git_dir),
        run_id=run_id,
        tree=written,
        staging=str(staging),
    )
    journal.announce(repo, intent)
    reached("journal")
    return intent


def _write_objects(repo: Repo, staging: Path) -> Oid:
    folders.normalise(staging)
    written = trees.write_folder(repo, staging)
    entries = trees.read_tree(repo, written)
    return trees.write_entries(repo, entries) if entries.pop(RUNNING_FILE.encode(), None) else written


def drain(repo: Repo, reached: Reached = no_stop) -> list[RunId]:
    """Finishes everything that is announced, whoever announced it. The caller holds the store lock."""
    intents = journal.announced(repo)
    if not intents:
        return []
    done: list[RunId] = []
    with open_index(repo, refresh=False) as index:
        _catch_up(repo, index)
        runs = [intent for intent in intents if intent.op == "run"]
        if runs:
            done += _finish_runs(repo, index, runs, reached)
        for intent in intents:
            if intent.op == "batch":
                done += _finish_batch(repo, index, intent, reached)
            elif intent.op == "carry":
                corrections.redo_carry(repo, index, intent, reached)
            elif intent.op == "forget":
                corrections.redo_forget(repo, index, intent, reached)
        for intent in intents:
            journal.withdraw(repo, intent)
            reached("withdraw")
    return done


def _catch_up(repo: Repo, index: Index) -> None:
    """Reads our own chain to its tip, which costs nothing when nobody crashed."""
    ref = chain.RUNS + chain.writer_id(repo)
    if index.tip(ref) != refs.read_ref(repo, ref):
        index.refresh()


def _finish_runs(repo: Repo, index: Index, intents: Sequence[Intent], reached: Reached) -> list[RunId]:
    ref = chain.RUNS + chain.writer_id(repo)
    old = tip = refs.read_ref(repo, ref)
    appended: list[ParsedRun] = []
    records: list[Recorded] = []
    for intent in intents:
        try:
            record = _recorded(repo, index, intent) or _append(repo, ref, intent)
        except (DataError, StoreError) as error:
            _set_aside(repo, intent, error)
            continue
        if record.row.ref == ref and index.get(record.row.run_id) is None:
            tip = Oid(record.row.entry)
            appended.append(record.run)
            reached("chain")
        records.append(record)
    write_out(repo, records, reached)
    if appended and tip is not None and not index.extend(ref, old, tip, appended):
        index.refresh()
    reached("index")
    project(repo, index, [(record.work, record.row) for record in records], reached)
    return [record.row.run_id for record in records]


def _recorded(repo: Repo, index: Index, intent: Intent) -> Recorded | None:
    """Returns the record of an announced run that stands in a chain already.

    Raises:
        StoreError: slug `run-exists` when that is another run under the same id; it is never overwritten.
    """
    row = index.get(intent.run_id or "")
    if row is None:
        return None
    entry = chain.read_entry(repo, Oid(row.entry), ref=row.ref)
    if entry.tree != intent.tree:
        taken = StoreError(f"run {row.run_id[:8]} is recorded already with other bytes")
        taken.slug = "run-exists"
        raise taken
    data = chain.read_file(repo, entry, RUN_FILE) or b""
    return Recorded(ParsedRun(row, ()), entry.tree, data, work_of(repo, intent), _staging_of(intent))


def _append(repo: Repo, ref: str, intent: Intent) -> Recorded:
    tree, staging = Oid(intent.tree or ""), _staging_of(intent)
    # Until the chain holds them no ref does, so that `git gc --prune=now` takes the objects of who was cut off.
    if not _has_objects(repo, tree) and (staging is None or not _writes_again(repo, staging, tree)):
        raise StoreError("its files are neither in the object database nor whole in its staging folder")
    found = trees.entry_at(repo, tree, RUN_FILE)
    data = trees.read_blob(repo, found.oid) if found else b""
    draft = parse_run(data, "", ref)
    if draft is None or draft.row.run_id != intent.run_id:
        raise StoreError(f"run.json of {intent.name[:8]} is not the record of that run")
    row = draft.row
    message = f"run: {row.spec_path} {row.status} {row.run_id[:12]}"
    oid = chain.append_tree(repo, tree, message=message, when=parse_timestamp(row.timestamp_end))
    run = parse_run(data, oid, ref)
    assert run is not None
    return Recorded(run, tree, data, work_of(repo, intent), _staging_of(intent))


def _has_objects(repo: Repo, tree: Oid) -> bool:
    held = repo.pygit2()
    try:
        return all(entry.oid in held for _, entry in trees.walk_tree(repo, tree))
    except DataError:
        return False


def _writes_again(repo: Repo, staging: Path, tree: Oid) -> bool:
    return staging.is_dir() and _write_objects(repo, staging) == tree


def _staging_of(intent: Intent) -> Path | None:
    return None if intent.staging is None else Path(intent.staging)


def _set_aside(repo: Repo, intent: Intent, error: Exception) -> None:
    logger.error("run %s cannot be recorded: %s", intent.name[:8], error)
    staging = _staging_of(intent)
    if staging is not None and staging.is_dir():
        folders.move_away(staging, quarantine_folder(repo))


def _finish_batch(repo: Repo, index: Index, intent: Intent, reached: Reached) -> list[RunId]:
    """Finishes the entries that a batch appended; none when the crash came before the chain moved."""
    ref = chain.RUNS + chain.writer_id(repo)
    tip = refs.read_ref(repo, ref)
    oids = [] if tip is None else feed.new_entries(repo, tip, intent.old) or []
    index.refresh()
    reached("index")
    records: list[Recorded] = []
    staged = intent.staged or {}
    for oid, data in zip(oids, feed.read_blobs(repo, [f"{oid}:{RUN_FILE}" for oid in oids]), strict=True):
        run = None if data is None else parse_run(data, oid, ref)
        if run is None or data is None:
            continue
        where = staged.get(run.row.run_id)
        tree = chain.read_entry(repo, Oid(oid), ref=ref).tree
        records.append(Recorded(run, tree, data, work_of(repo, intent), Path(where) if where else None))
    if records:
        write_out(repo, records, reached)
        project(repo, index, [(record.work, record.row) for record in records], reached)
    return [record.row.run_id for record in records]


def heal(repo: Repo, *, timeout_s: float = 60.0) -> Report:
    """Finishes what a crash left half done, and moves what never became a record to the quarantine.

    Costs three listings when there is nothing to do. Runs whose process lives are left alone.
    """
    if not any(_is_work(room) for room in (journal_folder(repo), staging_folder(repo), scratch_folder(repo))):
        return Report()
    with refs.store_lock(repo, timeout_s=timeout_s):
        finished = drain(repo)
        abandoned = _sweep(repo)
        finished += drain(repo)
        with liveness.nobody_makes(repo) as is_quiet:
            if is_quiet:
                journal.sweep(repo)
                _sweep_drafts(repo)
        _sweep_scratch(repo)
        folders.sweep_temporary(repo.timelab_dir)
    return Report(tuple(finished), tuple(abandoned))


def _is_work(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _sweep(repo: Repo) -> list[Abandoned]:
    """Goes through the staging folders of the dead: a whole one is announced, any other is set aside."""
    abandoned: list[Abandoned] = []
    room = staging_folder(repo)
    for path in sorted(room.iterdir()) if room.is_dir() else []:
        # In this order: the dead announce nothing more.
        if path.name.startswith(".") or is_alive(path) or journal.is_announced(repo, path.name):
            continue
        if _is_whole(path):
            announce_run(_work_tree_of(repo, path), path, path.name)
        else:
            abandoned.append(_abandon(repo, path))
    return abandoned


def _sweep_drafts(repo: Repo) -> None:
    """Removes staging folders that never got their name. The caller knows that nobody makes one."""
    room = staging_folder(repo)
    for path in room.iterdir() if room.is_dir() else []:
        if path.name.startswith("."):
            remove_tree(path)


def _sweep_scratch(repo: Repo) -> None:
    """Removes the commit's files that the dead had written out; a run's staging is there before them and longer."""
    room = scratch_folder(repo)
    for path in sorted(room.iterdir()) if room.is_dir() else []:
        is_run = re.fullmatch(RunId.pattern, path.name) and not is_alive(staging_folder(repo) / path.name)
        if is_run or path.name.startswith(RESTORED):
            remove_tree(path)


def _work_tree_of(repo: Repo, staging: Path) -> Repo:
    """Returns the work tree that a run was started in, which need not be ours."""
    owner = _read_running(staging)
    root, git_dir = owner.get("root"), owner.get("git_dir")
    if not isinstance(git_dir, str):
        return repo
    return replace(repo, git_dir=Path(git_dir), root=Path(root) if isinstance(root, str) else None)


def _read_running(staging: Path) -> dict[str, object]:
    try:
        raw = json.loads(staging.joinpath(RUNNING_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _is_whole(staging: Path) -> bool:
    """Says whether run.json, which is written last, stands there and speaks of exactly these files."""
    from timelab.canonical import sha256_file
    from timelab.manifest import read_manifest

    try:
        manifest = read_manifest(staging.joinpath(RUN_FILE).read_bytes())
        wanted = {item.path: item.sha256 for item in manifest.artifacts}
        return manifest.run_id == staging.name and all(
            sha256_file(staging / path) == digest for path, digest in wanted.items()
        )
    except (OSError, DataError):
        return False


def _abandon(repo: Repo, staging: Path) -> Abandoned:
    owner = _read_running(staging)
    spec_path, git_sha = owner.get("spec_path"), owner.get("git_sha")
    return Abandoned(
        run_id=staging.name,
        spec_path=spec_path if isinstance(spec_path, str) else None,
        git_sha=git_sha if isinstance(git_sha, str) else None,
        path=folders.move_away(staging, quarantine_folder(repo)),
    )
