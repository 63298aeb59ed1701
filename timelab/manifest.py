"""The record of a run: `run.json`, one line of canonical JSON (design 2, requirements A48–A76)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from timelab.canonical import canonical_bytes, make_run_id, sha256_json, sha256_named
from timelab.clock import TIMESTAMP_PATTERN
from timelab.errors import ManifestError
from timelab.names import Digest, Oid, RepoPath, RunId, RunName, Sha256, WriterId
from timelab.names import folder_of as folder_of

SCHEMA_VERSION = 1
INPUT_FILES = "input/files/"
"""Where the files that a spec names stand in the run folder, under their own paths."""

Timestamp = Annotated[str, StringConstraints(pattern=f"^{TIMESTAMP_PATTERN}$")]
Line = Annotated[str, StringConstraints(max_length=2_000)]


class Status(StrEnum):
    """How a run stands (G3). `RUNNING` is never recorded, only staged."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    INVALID = "invalid"
    REFUSED = "refused"


class _Document(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Artifact(_Document):
    """Is a file of the run folder, by its path there (`input/…`, `output/…`, `logs/…`)."""

    path: RepoPath
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]
    media_type: str


class Input(_Document):
    """Is a file of the repository that the run was given, as it stood at the commit."""

    path: RepoPath
    sha256: Sha256
    size_bytes: Annotated[int, Field(ge=0)]


class SpecRecord(_Document):
    """Says which spec was run: its path, git blob, bytes, and everything it names."""

    path: RepoPath
    blob: Oid
    sha256: Sha256
    closure_sha256: Sha256


class TaskRecord(_Document):
    """Says what was asked: `sha256` is of the resolved task, `inputs_hash` of spec and inputs (A64, X42)."""

    kind: Line
    spec_path: RepoPath
    inputs_hash: Sha256
    sha256: Sha256


class Environment(_Document):
    """Says where it ran: Nix system string, programs with versions, tools measured inside the shell (A59–A61)."""

    system: Line
    apps: tuple[Line, ...]
    tools: dict[str, Line]


class ShellRecord(_Document):
    """Names the pinned shell: `nix`, `uv`, `host`, or `self` for kinds that execute no user code."""

    kind: Literal["nix", "uv", "host", "self"]
    profile: Line
    pinned: bool
    lock_sha256: Sha256 | None
    fingerprint: Sha256


class SandboxRecord(_Document):
    """Names what held the task: `enforced` is whether network and files were really cut off."""

    kind: Literal["bubblewrap", "namespaces", "landlock", "none", "not-needed"]
    network: Literal["none", "host"]
    enforced: bool
    as_root: bool


class ModelRecord(_Document):
    """Says which model answered, with the parameters as they were sent (A65–A67, X9).

    `hash` is the weights' digest, or null where the engine tells none; `requested` is what the spec named.
    """

    name: Line
    hash: Digest | None
    params: dict[str, Any]
    requested: Line
    degraded: bool
    details: dict[str, Line] = {}


class Attempt(_Document):
    """Is one provider that was tried, or skipped, and why (R2)."""

    provider: Line
    model: Line
    outcome: Literal["answered", "failed", "skipped"]
    reason: Line | None


class Usage(_Document):
    """Counts what the run took; null is unknown, not zero."""

    tokens_in: int | None = None
    tokens_out: int | None = None
    wall_ms: Annotated[int, Field(ge=0)]
    cpu_ms: int | None = None
    max_rss_bytes: int | None = None


class Determinism(_Document):
    """Says what a replay is held to (design 6, A15, A183), and whether its seed was drawn (A74)."""

    level: Literal["exact", "same-text", "none"]
    seed_drawn: bool
    reasons: tuple[Line, ...]


class Failure(_Document):
    """Says why a run is not `ok`: a stable slug and one line."""

    slug: Line
    message: Line


class Manifest(_Document):
    """Is the record of one run. Field order here is the order in which people read it; the bytes are canonical JSON."""

    schema_version: Literal[1]
    run_id: RunId
    run_key: Sha256
    name: RunName
    status: Status
    timestamp_start: Timestamp
    timestamp_end: Timestamp
    cmd: tuple[str, ...]
    exit_code: int | None
    git_sha: Oid | None
    git_describe: Line | None
    git_tree: Oid | None
    code_tree: Oid | None
    dirty: bool
    flake_lock_sha256: Sha256 | None
    flake_metadata: dict[str, Any] | None
    spec: SpecRecord
    task: TaskRecord
    env: Environment
    shell: ShellRecord
    sandbox: SandboxRecord
    inputs: tuple[Input, ...]
    model: ModelRecord | None
    providers: tuple[Attempt, ...]
    usage: Usage
    determinism: Determinism
    artifacts: tuple[Artifact, ...]
    replay_of: RunId | None
    reused_from: RunId | None
    parent_run: RunId | None
    error: Failure | None
    writer: WriterId
    timelab_version: Line

    def to_bytes(self) -> bytes:
        """Returns the exact bytes of run.json: canonical JSON and one LF."""
        return canonical_bytes(self.model_dump(mode="json")) + b"\n"


def read_manifest(data: bytes) -> Manifest:
    """Returns the manifest that stands in the bytes of a run.json or a note line.

    Raises:
        ManifestError: not JSON, not this schema, another `schema_version`, or not in canonical form.
    """
    body = data.removesuffix(b"\n")
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"run.json is not JSON: {ascii(str(error))[:120]}") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise ManifestError(
            f"run.json has schema_version {ascii(version)[:40]}, this timelab reads {SCHEMA_VERSION}",
            hint="install the timelab that wrote it, or a newer one",
        )
    try:
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        pointer = "/" + "/".join(str(part) for part in first["loc"])
        raise ManifestError(f"run.json: {pointer}: {ascii(first['msg'])[:160]}") from error
    if manifest.to_bytes() != body + b"\n":
        raise ManifestError("run.json is not in canonical form")
    return manifest


def recomputed_run_id(manifest: Manifest) -> RunId:
    """Returns the run id that the manifest's own fields give (A41)."""
    return make_run_id(manifest.spec.sha256, manifest.git_sha, manifest.flake_lock_sha256, manifest.timestamp_start)


def make_run_key(
    *,
    task_sha256: Sha256,
    inputs: Iterable[Input],
    code_tree: Oid | None,
    fingerprint: Sha256,
    model_hash: Digest | None,
    params: dict[str, Any] | None,
) -> Sha256:
    """Returns the key that is equal for equal work at any time and commit (A46): replay test and cache key."""
    return sha256_json(
        {
            "task": task_sha256,
            "inputs": sha256_named((item.path, item.sha256) for item in inputs),
            "code": code_tree,
            "shell": fingerprint,
            "model": model_hash,
            "params": params,
        }
    )


def recomputed_run_key(manifest: Manifest) -> Sha256:
    """Returns the run key that the manifest's own fields give."""
    return make_run_key(
        task_sha256=manifest.task.sha256,
        inputs=manifest.inputs,
        code_tree=manifest.code_tree,
        fingerprint=manifest.shell.fingerprint,
        model_hash=manifest.model.hash if manifest.model else None,
        params=manifest.model.params if manifest.model else None,
    )


def flake_metadata(lock: bytes | None) -> dict[str, Any] | None:
    """Returns what a flake.lock pins, read as JSON without Nix: per input its rev, narHash and time (A73, A128)."""
    if lock is None:
        return None
    try:
        nodes = json.loads(lock)["nodes"]
        locked = {name: node["locked"] for name, node in nodes.items() if "locked" in node}
        wanted = ("type", "owner", "repo", "rev", "narHash", "lastModified", "url", "path")
        return {
            str(name): {key: entry[key] for key in wanted if isinstance(entry.get(key), (str, int))}
            for name, entry in locked.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {"unreadable": True}
