"""A spec resolved against a commit: everything the run needs to know, and nothing it still has to look up."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from timelab.canonical import make_run_id, sha256_bytes, sha256_json, sha256_named
from timelab.clock import timestamp
from timelab.errors import SpecError
from timelab.names import Oid, RepoPath, RunId, RunName, Sha256, folder_of
from timelab.spec.model import EXECUTES_USER_CODE, CommandSpec, LlmSpec
from timelab.spec.paths import EXCLUDED_FOLDERS as EXCLUDED_FOLDERS
from timelab.spec.paths import SPEC_PATTERNS as SPEC_PATTERNS
from timelab.spec.paths import glob_matches
from timelab.spec.paths import is_spec_path as is_spec_path

if TYPE_CHECKING:
    from timelab.manifest import Input, SpecRecord, TaskRecord

DATED_FOLDER = re.compile(r"\d{4}/\d{2}/\d{2}(/|\Z)")


@dataclass(frozen=True)
class CommitState:
    """Is what a plan needs of the repository at one commit.

    `git_sha`, `git_tree` and `describe` are None before the first commit. `read` returns the bytes of a file of the
    commit (or of the work tree for a dirty spec) or None; `paths` are all file paths there, sorted.
    """

    git_sha: Oid | None
    git_tree: Oid | None
    describe: str | None
    dirty: bool
    committed_at: datetime | None
    paths: tuple[str, ...]
    read: Callable[[str], bytes | None]
    code_tree: Oid | None = None
    flake_lock: bytes | None = None


@dataclass(frozen=True)
class Closure:
    """Is a spec and every repository file that it names (design 3).

    `named` are the files beside the spec, in order of path: what is hashed, watched, trusted and given to the run.
    """

    spec_path: RepoPath
    named: tuple[RepoPath, ...]
    files: Mapping[str, bytes] = field(repr=False)
    sha256: Sha256

    @property
    def paths(self) -> tuple[RepoPath, ...]:
        """Returns the spec's path and all that it names."""
        return (self.spec_path, *self.named)


@dataclass(frozen=True)
class UnreadableSpec:
    """Stands where a spec should be that says nothing that can be run; its run is recorded as `invalid`."""

    kind: str = "unknown"
    name: None = None
    allow_net: bool = False
    env: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Is one run, decided: the executor does it, the manifest records it."""

    spec: CommandSpec | LlmSpec | UnreadableSpec
    spec_bytes: bytes = field(repr=False)
    record: SpecRecord
    task: TaskRecord
    closure: Closure
    inputs: tuple[Input, ...]
    commit: CommitState
    profile: str
    params: dict[str, Any] | None
    seed_drawn: bool
    name: RunName
    run_id: RunId
    timestamp_start: str
    flake_lock_sha256: Sha256 | None
    allow_net: bool
    replay_of: RunId | None = None

    @property
    def folder(self) -> str:
        """Returns the run folder, relative to the repository's root."""
        return folder_of(self.timestamp_start, self.name, self.run_id, self.spec.kind)

    @property
    def executes_user_code(self) -> bool:
        """Says whether the task needs the pinned shell and the sandbox."""
        return self.spec.kind in EXECUTES_USER_CODE

    @property
    def spec_file(self) -> str:
        """Returns where the spec's bytes stand in the run folder: `input/spec.<ext>` (X5)."""
        return "input/spec." + self.record.path.rpartition(".")[2].lower()


def named_files(spec: CommandSpec | LlmSpec, paths: tuple[str, ...]) -> tuple[RepoPath, ...]:
    """Returns the repository files that a spec names, in order, without the spec itself.

    Words of `argv` that are a file's exact path count too: what runs is part of what was asked, and of what is trusted.

    Raises:
        SpecError: an input pattern, prompt, cases, schema or script that is not in the commit.
    """
    known = set(paths)
    wanted: dict[str, str] = {}
    if isinstance(spec, CommandSpec):
        if spec.script is not None:
            wanted[spec.script] = "/script"
        for word in (*(spec.argv or ()), *spec.args):
            if word in known:
                wanted.setdefault(word, "/argv")
    else:
        for pointer, value in (("/prompt_file", spec.prompt_file), ("/cases", spec.cases)):
            if value is not None:
                wanted[value] = pointer
        if isinstance(spec.response_schema, str):
            wanted[spec.response_schema] = "/response_schema"
    for number, pattern in enumerate(spec.inputs):
        hits = _expand(pattern, paths, known)
        if not hits:
            raise SpecError(
                f"/inputs/{number}: no file of the commit fits {ascii(pattern)[:120]}",
                hint="paths are relative to the repository's root; is the file committed?",
            )
        for hit in hits:
            wanted.setdefault(hit, f"/inputs/{number}")
    for path, pointer in wanted.items():
        if path not in known:
            raise SpecError(f"{pointer}: no such file in the commit: {ascii(path)[:120]}", hint=f"git add {path}")
    return tuple(sorted(RepoPath(path) for path in wanted))


def _expand(pattern: str, paths: tuple[str, ...], known: set[str]) -> list[str]:
    if pattern in known:
        return [pattern]
    folder = pattern.rstrip("/") + "/"
    inside = [path for path in paths if path.startswith(folder)]
    if inside:
        return inside
    if any(sign in pattern for sign in "*?["):
        return [path for path in paths if glob_matches(pattern, path)]
    return []


def make_closure(spec: CommandSpec | LlmSpec, spec_path: RepoPath, spec_bytes: bytes, commit: CommitState) -> Closure:
    """Returns the spec's closure at a commit; its digest is over path and sha256 of each file (design 3)."""
    try:
        named = tuple(path for path in named_files(spec, commit.paths) if path != spec_path)
    except SpecError as error:
        raise SpecError(f"{spec_path}: {error.message}", hint=error.hint) from error
    files: dict[str, bytes] = {}
    for path in named:
        data = commit.read(path)
        if data is None:
            raise SpecError(f"{spec_path}: cannot read {path} at the commit", hint="is it a submodule or a link?")
        files[path] = data
    pairs = [(spec_path, sha256_bytes(spec_bytes)), *((path, sha256_bytes(data)) for path, data in files.items())]
    return Closure(spec_path=spec_path, named=named, files=files, sha256=sha256_named((str(a), b) for a, b in pairs))


def resolved_task(spec: CommandSpec | LlmSpec, params: dict[str, Any] | None) -> dict[str, Any]:
    """Returns what decides the result, without what only names it: the part of the spec that `task.sha256` covers."""
    body = spec.model_dump(mode="json", exclude={"timelab", "name", "description", "tags", "profile", "params"})
    return {**body, "params": params}


def matches_any(path: str, patterns: tuple[str, ...]) -> bool:
    """Says whether an output path fits one of a spec's output patterns (fnmatch on the whole path, or a glob)."""
    return any(glob_matches(pattern, path) or fnmatchcase(path, pattern) for pattern in patterns)


def make_plan(
    spec: CommandSpec | LlmSpec,
    spec_bytes: bytes,
    spec_path: RepoPath,
    spec_blob: Oid,
    commit: CommitState,
    *,
    profile: str,
    params: dict[str, Any] | None,
    seed_drawn: bool,
    start: datetime,
    closure: Closure | None = None,
    replay_of: RunId | None = None,
) -> Plan:
    """Returns the plan of a run that starts at `start`; pure, so that planning twice gives equal plans."""
    # Here and not at the top: `timelab check` plans nothing, and stands between a person and their commit.
    from timelab.manifest import Input, SpecRecord, TaskRecord

    closure = closure or make_closure(spec, spec_path, spec_bytes, commit)
    spec_sha256 = sha256_bytes(spec_bytes)
    inputs = tuple(
        Input(path=path, sha256=sha256_bytes(closure.files[path]), size_bytes=len(closure.files[path]))
        for path in closure.named
    )
    flake = sha256_bytes(commit.flake_lock) if commit.flake_lock is not None else None
    stamp = timestamp(start)
    return Plan(
        spec=spec,
        spec_bytes=spec_bytes,
        record=SpecRecord(path=spec_path, blob=spec_blob, sha256=spec_sha256, closure_sha256=closure.sha256),
        task=TaskRecord(
            kind=spec.kind,
            spec_path=spec_path,
            inputs_hash=sha256_named([("spec", spec_sha256), *((f"inputs/{i.path}", i.sha256) for i in inputs)]),
            sha256=sha256_json(resolved_task(spec, params)),
        ),
        closure=closure,
        inputs=inputs,
        commit=commit,
        profile=profile,
        params=params,
        seed_drawn=seed_drawn,
        name=spec.name or default_name(spec_path),
        run_id=make_run_id(spec_sha256, commit.git_sha, flake, stamp),
        timestamp_start=stamp,
        flake_lock_sha256=flake,
        allow_net=spec.allow_net,
        replay_of=replay_of,
    )


def make_invalid_plan(
    spec_bytes: bytes, spec_path: RepoPath, spec_blob: Oid, commit: CommitState, *, start: datetime
) -> Plan:
    """Returns the plan of a spec that cannot be read: there is nothing to do but to record it."""
    from timelab.manifest import SpecRecord, TaskRecord

    spec_sha256 = sha256_bytes(spec_bytes)
    stamp = timestamp(start)
    flake = sha256_bytes(commit.flake_lock) if commit.flake_lock is not None else None
    closure = Closure(spec_path=spec_path, named=(), files={}, sha256=sha256_named([(str(spec_path), spec_sha256)]))
    return Plan(
        spec=UnreadableSpec(),
        spec_bytes=spec_bytes,
        record=SpecRecord(path=spec_path, blob=spec_blob, sha256=spec_sha256, closure_sha256=closure.sha256),
        task=TaskRecord(
            kind="unknown",
            spec_path=spec_path,
            inputs_hash=sha256_named([("spec", spec_sha256)]),
            sha256=spec_sha256,
        ),
        closure=closure,
        inputs=(),
        commit=commit,
        profile="default",
        params=None,
        seed_drawn=False,
        name=default_name(spec_path),
        run_id=make_run_id(spec_sha256, commit.git_sha, flake, stamp),
        timestamp_start=stamp,
        flake_lock_sha256=flake,
        allow_net=False,
    )


def default_name(spec_path: str) -> RunName:
    """Returns the run's name when the spec has none: the file's stem, with other signs turned into `-`."""
    stem = spec_path.rpartition("/")[2].rsplit(".", 1)[0].removesuffix(".spec")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64]
    return RunName(safe or "spec")
