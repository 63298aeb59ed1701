"""Every version of one spec: followed over `git mv`, with its runs and what changed from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from timelab.git import trees
from timelab.git.repo import Repo, commit_info
from timelab.names import Oid
from timelab.spec.source import parse
from timelab.store.index import RunRow, open_index

_SHOWN_CHARS = 60


@dataclass(frozen=True)
class SpecVersion:
    """Is one version of a spec: the commit that brought it, its runs (newest first), and what changed in it.

    `commit` is None for a version that only a dirty run knows. `changes` are lines such as `params.seed: 1 → 2`.
    """

    path: str
    blob: str
    commit: str | None
    committed_at: str | None
    subject: str | None
    changes: tuple[str, ...]
    runs: tuple[RunRow, ...]


def spec_versions(repo: Repo, path: str) -> list[SpecVersion]:
    """Returns the versions of the spec at `path`, newest first, each with its runs."""
    seen = list(_from_history(repo, path))
    paths = {path, *(old for _, old, _ in seen)}
    with open_index(repo) as index:
        rows = [row for name in sorted(paths) for row in index.select(spec_path=name)]
    by_blob: dict[str, list[RunRow]] = {}
    for row in rows:
        by_blob.setdefault(row.spec_blob, []).append(row)
    versions: list[SpecVersion] = []
    known = {blob for _, _, blob in seen}
    for blob, runs in by_blob.items():
        if blob not in known:
            versions.append(SpecVersion(runs[0].spec_path, blob, None, None, None, (), _newest(runs)))
    for number, (commit, name, blob) in enumerate(seen):
        older = seen[number + 1][2] if number + 1 < len(seen) else None
        if blob == older:
            changes: tuple[str, ...] = (f"moved from {seen[number + 1][1]}",) if seen[number + 1][1] != name else ()
        else:
            changes = _changes(repo, older, blob, name) if older else ("first version",)
        info = commit_info(repo, commit)
        runs = [] if blob == older else by_blob.get(blob, [])
        stamp = info.committed_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        versions.append(SpecVersion(name, blob, commit, stamp, info.subject, changes, _newest(runs)))
    return versions


def _newest(runs: list[RunRow]) -> tuple[RunRow, ...]:
    return tuple(sorted(runs, key=lambda row: (row.timestamp_start, row.run_id), reverse=True))


def _from_history(repo: Repo, path: str) -> Iterator[tuple[Oid, str, str]]:
    """Yields (commit, path there, blob), newest first, as `git log --follow` sees it."""
    args = ["log", "--follow", "--format=%x01%H", "--raw", "--no-abbrev", "-z", "-M", "--diff-filter=AMR", "--", path]
    done = repo.git(args, check=False)
    for block in done.stdout.split(b"\x01")[1:]:
        fields = block.replace(b"\n", b"\0").split(b"\0")
        commit = Oid(fields[0].decode("ascii"))
        entries = [field for field in fields[1:] if field]
        for at, entry in enumerate(entries):
            if entry.startswith(b":"):
                blob = entry.split(b" ")[3].decode("ascii")
                is_move = entry.split(b" ")[4][:1] in (b"R", b"C")
                yield commit, trees.decode(entries[at + (2 if is_move else 1)]), blob


def _changes(repo: Repo, old: str, new: str, name: str) -> tuple[str, ...]:
    before, after = (_flat(repo, blob, name) for blob in (old, new))
    if before is None or after is None:
        return ("changed (one of the two cannot be read as a spec)",)
    lines = []
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            lines.append(f"{key}: {_shown(before.get(key))} → {_shown(after.get(key))}")
    return tuple(lines) or ("only comments or layout",)


def _flat(repo: Repo, blob: str, name: str) -> dict[str, Any] | None:
    from timelab.errors import TimelabError
    from timelab.spec.document import SourceFault

    try:
        value = parse(trees.read_blob(repo, blob), name).value
    except (SourceFault, TimelabError):
        return None
    return dict(_leaves(value, "")) if isinstance(value, dict) else None


def _leaves(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = " ".join(str(value).split()) if not isinstance(value, str) else repr(" ".join(value.split()))
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
