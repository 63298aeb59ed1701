"""Opens and lists runs; never writes a record. No libgit2 and no pydantic until a manifest is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from timelab.errors import NotFound, StoreError, UsageError
from timelab.names import Oid, RunId
from timelab.store import feed
from timelab.store.index import Index, open_index
from timelab.store.layout import RUN_FILE, RUN_FOLDER, run_folder
from timelab.store.rows import RunRow

if TYPE_CHECKING:
    from timelab.git.repo import Repo
    from timelab.manifest import Manifest

_MIN_PREFIX = 4
_PIECE = 500
_SHOWN = 5


@dataclass(frozen=True)
class StoredRun:
    """Is a run as it is stored: its entry on a chain, its exact bytes, and where its folder should be."""

    run_id: RunId
    ref: str
    entry: Oid
    manifest_bytes: bytes = field(repr=False)
    folder: Path | None

    def manifest(self) -> Manifest:
        """Returns the manifest; raises `ManifestError` when the bytes are not one."""
        from timelab.manifest import read_manifest

        return read_manifest(self.manifest_bytes)


def stored(repo: Repo, rows: Sequence[RunRow]) -> Iterator[StoredRun]:
    """Yields the runs of rows, in their order; raises `StoreError` when a chain has lost one."""
    for start in range(0, len(rows), _PIECE):
        piece = rows[start : start + _PIECE]
        for row, data in zip(piece, feed.read_blobs(repo, [f"{row.entry}:{RUN_FILE}" for row in piece]), strict=True):
            if data is None:
                raise StoreError(f"run {row.run_id[:8]} cannot be read from {row.ref}", hint="timelab verify")
            yield StoredRun(row.run_id, row.ref, Oid(row.entry), data, run_folder(repo.root, row.artifacts_path))


def runs(repo: Repo) -> Iterator[StoredRun]:
    """Yields every run of every chain, newest first."""
    with open_index(repo) as index:
        rows = index.select()
    yield from stored(repo, rows)


def runs_of_commit(repo: Repo, oid: str) -> list[StoredRun]:
    """Returns the runs of a commit, carried ones too, newest first."""
    with open_index(repo) as index:
        rows = index.select(commit=oid)
    return list(stored(repo, rows))


def runs_with_file(repo: Repo, sha256: str) -> list[StoredRun]:
    """Returns the runs that hold a file with this digest, be it input or result, newest first."""
    with open_index(repo) as index:
        rows = index.with_artifact(sha256)
    wanted = f'"sha256":"{sha256}"'.encode()
    return [run for run in stored(repo, rows) if wanted in run.manifest_bytes]


def artifact_bytes(repo: Repo, run: StoredRun, path: str) -> bytes | None:
    """Returns the bytes of a file of a run (`output/…`) as the chain holds them, or None."""
    if "\n" in path:
        return None
    return feed.read_blobs(repo, [f"{run.entry}:{path}"])[0]


def find(repo: Repo, name: str) -> StoredRun:
    """Returns the one run that a name stands for.

    Raises:
        NotFound: there is none.
        UsageError: there are several; the hint lists them.
    """
    found = find_all(repo, name)
    if len({run.manifest().spec.path for run in found}) > 1:
        listed = ", ".join(f"{run.run_id[:12]} ({run.manifest().spec.path})" for run in found[:_SHOWN])
        raise UsageError(f"{name} has {len(found)} runs: name one", hint=listed)
    return found[0]


def find_all(repo: Repo, name: str) -> list[StoredRun]:
    """Returns the runs that a name stands for, newest first; never none.

    A name is `last`, the unique beginning of a run id, a run folder, a spec's path (its newest run), a commit (all its
    runs), or `commit:` and a commit.

    Raises:
        NotFound: there is none.
        UsageError: the beginning of more than one run id; the hint lists them.
    """
    with open_index(repo) as index:
        rows = _find_rows(repo, index, name)
    return list(stored(repo, rows))


def _find_rows(repo: Repo, index: Index, name: str) -> list[RunRow]:
    if name in ("last", "latest"):
        return index.select(limit=1) or _nothing(name, "no runs here yet: commit a spec, or timelab run FILE")
    if name.startswith("commit:"):
        return _of_commit(repo, index, name.removeprefix("commit:"))
    folder = RUN_FOLDER.fullmatch(name.rstrip("/"))
    prefix = folder["id"] if folder else name.lower()
    if re.fullmatch(r"[0-9a-f]{1,64}", prefix):
        rows = _by_prefix(index, prefix)
        if rows:
            return rows
    rows = index.select(spec_path=name)
    # Who names a spec means its own runs; a replay is found by its id.
    own = [row for row in rows if row.replay_of is None]
    return (own or rows)[:1] or _of_commit(repo, index, name)


def _by_prefix(index: Index, prefix: str) -> list[RunRow]:
    if len(prefix) < _MIN_PREFIX:
        return []
    rows = index.by_prefix(prefix)
    if len(rows) > 1:
        listed = ", ".join(f"{row.run_id[:12]} ({row.spec_path})" for row in rows[:_SHOWN])
        raise UsageError(f"{prefix} is the beginning of several run ids", hint=listed)
    return rows


def _of_commit(repo: Repo, index: Index, name: str) -> list[RunRow]:
    from timelab.git.repo import resolve

    try:
        oid = resolve(repo, name)
    except NotFound:
        return _nothing(name, f"a run id needs at least {_MIN_PREFIX} digits; timelab log lists the runs")
    rows = index.select(commit=oid)
    return rows or _nothing(name, f"commit {oid[:12]} has no runs; timelab log lists the runs")


def _nothing(name: str, hint: str) -> list[RunRow]:
    raise NotFound(f"no such run: {ascii(name)[1:-1][:120]}", hint=hint)
