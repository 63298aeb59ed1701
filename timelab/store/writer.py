"""Stages a run, collects its files, and records it: chain, folder, note, projections, in that order (layout 4)."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from timelab.atomic import process_start, write_atomic
from timelab.canonical import sha256_file
from timelab.clock import SystemClock, parse_timestamp, timestamp
from timelab.errors import DataError, NotFound, PathError, SecretFound, StoreError
from timelab.git import chain, refs
from timelab.git.repo import Repo
from timelab.manifest import INPUT_FILES, Artifact, Manifest
from timelab.names import Oid, RepoPath, RunId, path_fault
from timelab.store import corrections, folders, journal, liveness
from timelab.store.completion import Reached, no_stop
from timelab.store.index import open_index
from timelab.store.journal import Intent
from timelab.store.layout import RUN_FILE, RUNNING_FILE, STAGED_FOLDERS, run_folder, staging_folder
from timelab.store.reader import StoredRun
from timelab.store.recover import announce_run, drain

if TYPE_CHECKING:
    from timelab.plan import Plan

MEDIA_TYPES: Mapping[str, str] = {
    ".csv": "text/csv",
    ".gif": "image/gif",
    ".html": "text/html",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".py": "text/x-python",
    ".sh": "text/x-shellscript",
    ".svg": "image/svg+xml",
    ".toml": "application/toml",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
}
"""By suffix. A table of ours: Python's `mimetypes` reads the machine's, and the manifest must not depend on it."""


@dataclass(frozen=True)
class Staging:
    """Is a run folder in the making: `input/` filled, `output/` and `logs/` empty, running.json beside them."""

    path: Path
    run_id: RunId


def open_staging(repo: Repo, plan: Plan) -> Staging:
    """Makes the staging folder of a run, with its inputs, and leaves a trace of it before it starts (A40, A75).

    Raises:
        StoreError: slug `run-exists` when a run of that id is being made already.
    """
    room = staging_folder(repo)
    draft = room / f".{plan.run_id}.{secrets.token_hex(4)}"
    files = {plan.spec_file: plan.spec_bytes}
    files |= {f"{INPUT_FILES}{path}": data for path, data in plan.closure.files.items()}
    with liveness.making(repo):
        for name in STAGED_FOLDERS:
            (draft / name).mkdir(parents=True)
        _write_files(draft, files)
        (draft / RUNNING_FILE).write_text(json.dumps(_running(repo, plan)) + "\n")
        liveness.hold(draft)
        try:
            liveness.move(draft, room / plan.run_id)
        except OSError as error:
            liveness.release(draft)
            shutil.rmtree(draft, ignore_errors=True)
            raise _taken(plan.run_id) from error
    return Staging(room / plan.run_id, plan.run_id)


def _running(repo: Repo, plan: Plan) -> dict[str, object]:
    return {
        "status": "running",
        "root": None if repo.root is None else str(repo.root),
        "git_dir": str(repo.git_dir),
        "run_id": plan.run_id,
        "name": plan.name,
        "kind": plan.task.kind,
        "spec_path": plan.record.path,
        "git_sha": plan.commit.git_sha,
        "timestamp_start": plan.timestamp_start,
        "pid": os.getpid(),
        "pid_start": process_start(os.getpid()),
    }


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _taken(run_id: str) -> StoreError:
    error = StoreError(f"there is a run {run_id[:12]} already; nothing of it was changed", hint="start the run again")
    error.slug = "run-exists"
    return error


def collect(staging: Path) -> tuple[Artifact, ...]:
    """Returns the files of a staging folder, hashed, in order of path (A5, A69, A70).

    Raises:
        PathError: slug `output-name`: a name that cannot travel to every machine.
        DataError: slug `output-kind`: a link, pipe, socket or device.
    """
    found: list[Artifact] = []
    for top in STAGED_FOLDERS:
        for at, names, files in os.walk(staging / top):
            for name in (*files, *(name for name in names if Path(at, name).is_symlink())):
                found.append(_artifact(staging, Path(at, name)))
    return tuple(sorted(found, key=lambda artifact: artifact.path))


def _artifact(staging: Path, path: Path) -> Artifact:
    relative = path.relative_to(staging).as_posix()
    fault = path_fault(relative)
    if fault:
        wrong = PathError(f"file {ascii(relative)[:120]}: {fault}", hint="let the task give its outputs plain names")
        wrong.slug = "output-name"
        raise wrong
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        kind = DataError(f"{relative}: is not a regular file", hint="copy what a link points to into the output")
        kind.slug = "output-kind"
        raise kind
    return Artifact(
        path=RepoPath(relative),
        sha256=sha256_file(path),
        size_bytes=status.st_size,
        media_type=MEDIA_TYPES.get(PurePosixPath(relative).suffix.lower(), "application/octet-stream"),
    )


def commit(repo: Repo, manifest: Manifest, staging: Path, *, reached: Reached = no_stop) -> StoredRun:
    """Records a run whose files lie in `staging`, which is moved to the dated folder.

    From the moment that the run is announced in the journal it will be recorded, by us or by whoever comes next.

    Args:
        repo: its work tree gets the folder.
        manifest: becomes run.json, byte for byte.
        staging: a folder made by `open_staging`, or one like it.
        reached: is told each step when it is done; for crash tests.

    Raises:
        StoreError: slug `run-exists` when another run has this id; `staging-lost` when the folder was taken away from
            us, or the spec from it; `store` when the record could not be written.
    """
    data = manifest.to_bytes()
    try:
        _check_staging(manifest, staging)
        write_atomic(staging / RUN_FILE, data)
        reached("run.json")
        announce_run(repo, staging, manifest.run_id, reached)
        with refs.store_lock(repo):
            if journal.is_announced(repo, manifest.run_id):
                drain(repo, reached)
    finally:
        # Recorded, announced or given up: we do nothing more with the folder.
        liveness.release(staging)
    run = _stored(repo, [(manifest.run_id, data)])[0]
    if chain.read_file(repo, chain.read_entry(repo, run.entry, ref=run.ref), RUN_FILE) != data:
        raise _taken(manifest.run_id)
    return run


def _check_staging(manifest: Manifest, staging: Path) -> None:
    """Refuses what is left where somebody took a folder away: a task that goes on may make parts of it anew."""
    # A spec that holds a secret was taken out before.
    is_masked = manifest.error is not None and manifest.error.slug == SecretFound.slug
    if liveness.is_lost(staging) or not (is_masked or any(staging.glob("input/spec.*"))):
        error = StoreError(
            f"the staging folder of run {manifest.run_id[:12]} was taken away while it ran; nothing was recorded",
            hint="start the run again",
        )
        error.slug = "staging-lost"
        raise error


def commit_many(
    repo: Repo, runs: Sequence[tuple[Manifest, Path | Mapping[str, bytes]]], *, reached: Reached = no_stop
) -> list[StoredRun]:
    """Records many runs in one step: all stand in the chain afterwards, or none.

    The files of a run are a staging folder, which is moved, or bytes by path. They are kept as plain files (0644).

    Raises:
        StoreError: slug `run-exists` when one of the ids is taken; then nothing was recorded.
    """
    if not runs:
        return []
    contents = [(manifest, manifest.to_bytes(), files) for manifest, files in runs]
    wanted = [(manifest.run_id, data) for manifest, data, _ in contents]
    batch = [
        (
            {**_plain_files(files), RUN_FILE: data},
            f"run: {manifest.spec.path} {manifest.status.value} {manifest.run_id[:12]}",
            parse_timestamp(manifest.timestamp_end),
        )
        for manifest, data, files in contents
    ]
    staged = {manifest.run_id: str(files) for manifest, _, files in contents if isinstance(files, Path)}
    with refs.store_lock(repo):
        drain(repo)
        with open_index(repo) as index:
            ids = [run_id for run_id, _ in wanted]
            again = next((run_id for run_id in ids if index.get(run_id) is not None), None)
            if again is not None or len(set(ids)) < len(ids):
                raise _taken(again or ids[0])
        for _, data, files in contents:
            if isinstance(files, Path):
                (files / RUN_FILE).write_bytes(data)
        reached("run.json")
        tip = refs.read_ref(repo, chain.RUNS + chain.writer_id(repo))
        journal.announce(repo, _intent(repo, "batch", f"batch-{secrets.token_hex(8)}", old=tip, staged=staged))
        reached("journal")
        chain.append_many(repo, batch)
        reached("chain")
        drain(repo, reached)
    return _stored(repo, wanted)


def _plain_files(files: Path | Mapping[str, bytes]) -> dict[str, bytes]:
    if not isinstance(files, Path):
        return dict(files)
    found = folders.read_files(files)
    for path, (executable, _) in found.items():
        if executable:
            (files / path).chmod(0o644)
    folders.normalise(files)
    return {path: data for path, (_, data) in found.items() if path not in (RUN_FILE, RUNNING_FILE)}


def _intent(repo: Repo, op: journal.Operation, name: str, **fields: object) -> Intent:
    root = None if repo.root is None else str(repo.root)
    return Intent(name=name, op=op, root=root, git_dir=str(repo.git_dir), **fields)  # type: ignore[arg-type]


def _stored(repo: Repo, wanted: Sequence[tuple[RunId, bytes]]) -> list[StoredRun]:
    """Returns what was recorded."""
    found: list[StoredRun] = []
    with open_index(repo, refresh=False) as index:
        for number, (run_id, data) in enumerate(wanted):
            row = index.get(run_id)
            if row is None and number == 0:
                index.refresh()
                row = index.get(run_id)
            if row is None:
                raise StoreError(f"run {run_id[:12]} could not be recorded", hint="timelab doctor")
            found.append(StoredRun(run_id, row.ref, Oid(row.entry), data, run_folder(repo.root, row.artifacts_path)))
    return found


def carry(repo: Repo, old: Oid, new: Oid, *, when: datetime | None = None, reached: Reached = no_stop) -> int:
    """Carries the records of a rewritten commit to the one that took its place; returns how many stand there from it.

    Each is an entry of its own, and its line is noted on the new commit; nothing happens twice.
    """
    if old == new or not corrections.noted_runs(repo, old):
        return 0
    stamp = timestamp(when or SystemClock().now())
    with refs.store_lock(repo):
        drain(repo)
        intent = _intent(repo, "carry", f"carry-{secrets.token_hex(8)}", old=old, new=new, when=stamp)
        journal.announce(repo, intent)
        reached("journal")
        drain(repo, reached)
    with open_index(repo, refresh=False) as index:
        return sum(1 for row in index.carries(target=new) if row.carried_from == old)


def forget(repo: Repo, run: StoredRun | str, *, when: datetime | None = None, reached: Reached = no_stop) -> None:
    """Takes a run that was not pushed out of our chain, its notes and its folder; a tombstone stays.

    Files that git tracks stay. Its objects lie in the git dir until `git gc` drops them.

    Raises:
        UsageError: it is pushed, or another clone recorded it.
        NotFound: there is no such run.
    """
    run_id = run if isinstance(run, str) else run.run_id
    stamp = timestamp(when or SystemClock().now())
    with refs.store_lock(repo):
        drain(repo)
        with open_index(repo) as index:
            row = index.get(run_id)
            targets = tuple(index.targets_of(run_id))
        if row is None:
            raise NotFound(f"no such run: {run_id[:64]}")
        corrections.check_forgettable(repo, row)
        intent = _intent(repo, "forget", f"forget-{run_id}", run_id=run_id, old=row.entry, targets=targets, when=stamp)
        journal.announce(repo, intent)
        reached("journal")
        drain(repo, reached)
