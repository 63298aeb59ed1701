"""Plausible values for tests: a manifest that is true to itself, and the files of its run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from timelab.canonical import make_run_id, sha256_bytes, sha256_json, sha256_named
from timelab.clock import parse_timestamp, timestamp
from timelab.manifest import (
    Artifact,
    Determinism,
    Environment,
    Failure,
    Input,
    Manifest,
    ModelRecord,
    SandboxRecord,
    ShellRecord,
    SpecRecord,
    Status,
    TaskRecord,
    Usage,
    make_run_key,
)
from timelab.names import Oid, RepoPath, RunName, WriterId

START = datetime(2026, 11, 20, 10, 23, 0, 123456, tzinfo=UTC)
SOME_OID = Oid("1" * 40)
FINGERPRINT = sha256_bytes(b"fingerprint")


def make_files(number: int = 0, *, spec: bytes | None = None) -> dict[str, bytes]:
    """Returns the files of a run folder, without run.json."""
    return {
        "input/spec.yaml": spec if spec is not None else f"timelab: 1\nkind: command\nargv: [echo, '{number}']\n".encode(),
        "logs/stdout.txt": f"run {number}\n".encode(),
        "output/answer.json": json.dumps({"answer": number}).encode(),
    }


def make_manifest(
    *,
    files: Mapping[str, bytes] | None = None,
    start: datetime | str = START,
    git_sha: str | None = SOME_OID,
    spec_path: str = "specs/echo.yaml",
    spec_blob: str = "2" * 40,
    name: str = "echo",
    kind: str = "command",
    status: Status = Status.OK,
    model: str | None = None,
    writer: str = "writer-1",
    **changes: Any,
) -> Manifest:
    """Returns a manifest whose ids, digests and artifacts agree with `files`; `changes` replace any field as given."""
    files = make_files() if files is None else files
    stamp = start if isinstance(start, str) else timestamp(start)
    spec_name = next(path for path in files if path.startswith("input/spec."))
    spec_sha256 = sha256_bytes(files[spec_name])
    inputs = tuple(
        Input(path=RepoPath(path.removeprefix("input/files/")), sha256=sha256_bytes(data), size_bytes=len(data))
        for path, data in sorted(files.items())
        if path.startswith("input/files/")
    )
    sha = Oid(git_sha) if git_sha is not None else None
    record = ModelRecord(name=model, hash=None, params={"seed": 7}, requested=model, degraded=False) if model else None
    task_sha256 = sha256_json({"kind": kind, "spec": spec_sha256})
    fields: dict[str, Any] = {
        "schema_version": 1,
        "run_id": make_run_id(spec_sha256, sha, None, stamp),
        "run_key": make_run_key(
            task_sha256=task_sha256,
            inputs=inputs,
            code_tree=None,
            fingerprint=FINGERPRINT,
            model_hash=None,
            params=record.params if record else None,
        ),
        "name": RunName(name),
        "status": status,
        "timestamp_start": stamp,
        "timestamp_end": stamp,
        "cmd": ("echo", "hello"),
        "exit_code": 0 if status is Status.OK else 1,
        "git_sha": sha,
        "git_describe": None,
        "git_tree": None,
        "code_tree": None,
        "dirty": False,
        "flake_lock_sha256": None,
        "flake_metadata": None,
        "spec": SpecRecord(
            path=RepoPath(spec_path),
            blob=Oid(spec_blob),
            sha256=spec_sha256,
            closure_sha256=sha256_named([(spec_path, spec_sha256)]),
        ),
        "task": TaskRecord(
            kind=kind,
            spec_path=RepoPath(spec_path),
            inputs_hash=sha256_named([("spec", spec_sha256), *((f"inputs/{i.path}", i.sha256) for i in inputs)]),
            sha256=task_sha256,
        ),
        "env": Environment(system="x86_64-linux", apps=("timelab@0.1.0",), tools={"python": "3.11.7"}),
        "shell": ShellRecord(kind="host", profile="default", pinned=False, lock_sha256=None, fingerprint=FINGERPRINT),
        "sandbox": SandboxRecord(kind="not-needed", network="none", enforced=True, as_root=False),
        "inputs": inputs,
        "model": record,
        "providers": (),
        "usage": Usage(wall_ms=12),
        "determinism": Determinism(level="same-text", seed_drawn=False, reasons=()),
        "artifacts": artifacts_of(files),
        "replay_of": None,
        "reused_from": None,
        "parent_run": None,
        "error": None if status is Status.OK else Failure(slug="task", message="it ended badly"),
        "writer": WriterId(writer),
        "timelab_version": "0.1.0",
    }
    return Manifest(**{**fields, **changes})


def artifacts_of(files: Mapping[str, bytes]) -> tuple[Artifact, ...]:
    """Returns the artifact list of a run folder's files."""
    return tuple(
        Artifact(path=RepoPath(path), sha256=sha256_bytes(data), size_bytes=len(data), media_type="text/plain")
        for path, data in sorted(files.items())
    )


def fill(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files below a folder and returns it."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def start_of(manifest: Manifest) -> datetime:
    """Returns when the run started."""
    return parse_timestamp(manifest.timestamp_start)

