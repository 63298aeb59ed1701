"""Plausible values for tests: a manifest that is true to itself, and the files of its run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from timelab.canonical import make_run_id, sha256_bytes, sha256_json, sha256_named
from timelab.clock import parse_timestamp, timestamp
from timelab.git import trees
from timelab.git.chain import writer_id
from timelab.git.notes import read_note, targets
from timelab.git.repo import Repo, discover
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
from timelab.store.folders import read_files
from timelab.store.index import open_index
from timelab.store.reader import StoredRun
from timelab.store.writer import commit

START = datetime(2026, 11, 20, 10, 23, 0, 123456, tzinfo=UTC)
SOME_OID = Oid("1" * 40)
FINGERPRINT = sha256_bytes(b"fingerprint")


def make_files(number: int = 0, *, spec: bytes | None = None) -> dict[str, bytes]:
    """Returns the files of a run folder, without run.json."""
    return {
        "input/spec.yaml": spec
        if spec is not None
        else f"timelab: 1\nkind: command\nargv: [echo, '{number}']\n".encode(),
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


@dataclass(frozen=True)
class Lab:
    """Is a repository with a committed spec, and what its runs are made from."""

    repo: Repo
    git_sha: Oid
    spec_blob: Oid
    spec_path: str = "specs/echo.yaml"

    @property
    def root(self) -> Path:
        """Returns the work tree."""
        assert self.repo.root is not None
        return self.repo.root

    def make(self, number: int, **changes: Any) -> tuple[Manifest, dict[str, bytes]]:
        """Returns the manifest and the files of the run that starts `number` seconds after START."""
        files = changes.pop("files", None) or make_files(number)
        fields = {
            "git_sha": self.git_sha,
            "spec_blob": self.spec_blob,
            "spec_path": self.spec_path,
            "start": START + timedelta(seconds=number),
            "writer": writer_id(self.repo),
        }
        return make_manifest(files=files, **{**fields, **changes}), files

    def stage(self, number: int, **changes: Any) -> tuple[Manifest, Path]:
        """Returns a manifest and its filled staging folder."""
        manifest, files = self.make(number, **changes)
        return manifest, fill(self.repo.timelab_dir / "staging" / manifest.run_id, files)

    def record(self, number: int, **changes: Any) -> StoredRun:
        """Records a run."""
        return commit(self.repo, *self.stage(number, **changes))

    def git(self, *args: str, check: bool = True) -> str:
        """Runs git in the repository and returns its output without the last newline."""
        done = subprocess.run(["git", *args], cwd=self.repo.root or self.repo.git_dir, capture_output=True, check=check)
        return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")

    def commit_file(self, path: str, data: str = "x\n") -> Oid:
        """Commits a file and returns the commit."""
        fill(self.root, {path: data.encode()})
        self.git("add", "-f", "--", path)
        self.git("commit", "-q", "-m", f"add {path}")
        return Oid(self.git("rev-parse", "HEAD"))


def make_lab(root: Path) -> Lab:
    """Commits a spec in the repository at `root`, which has one commit, and returns the lab."""
    fill(root, {"specs/echo.yaml": b"timelab: 1\nkind: command\nargv: [echo, '0']\n"})
    for args in (["add", "-A"], ["commit", "-q", "-m", "a spec"]):
        subprocess.run(["git", *args], cwd=root, check=True)
    repo = discover(root)
    blob = subprocess.run(
        ["git", "rev-parse", "HEAD", "HEAD:specs/echo.yaml"], cwd=root, capture_output=True, check=True
    )
    sha, spec = blob.stdout.decode().split()
    return Lab(repo, Oid(sha), Oid(spec))


def projections(lab: Lab) -> dict[str, object]:
    """Returns everything that is derived from the chains, in a form that compares."""
    derived = {
        path.relative_to(lab.root).as_posix(): path.read_bytes()
        for pattern in ("*/*/*/runs.csv", "*/*/*/README.md")
        for path in lab.root.glob(pattern)
    }
    latest = lab.root / "latest"
    with open_index(lab.repo) as index:
        rows = [asdict(row) for row in index.select()]
        carries = sorted(asdict(row).items() for row in index.carries())
        others = {kind: index.entries(kind) for kind in ("run", "carry", "tombstone", "broken")}
    return {
        "files": derived,
        "latest": str(latest.readlink()) if latest.is_symlink() else None,
        "rows": rows,
        "carries": carries,
        "entries": others,
        "notes": {target: read_note(lab.repo, target) for target in targets(lab.repo)},
    }


def is_equal(repo: Repo, tree: Oid, folder: Path) -> bool:
    """Says whether a folder holds exactly the files of a tree: names, bytes and the executable bit."""
    if folder.is_symlink() or not folder.is_dir() or any(path.is_symlink() for path in folder.rglob("*")):
        return False
    wanted = {path: (entry.mode, entry.oid) for path, entry in trees.list_tree(repo, tree).items()}
    found = {
        path: (trees.EXECUTABLE if executable else trees.FILE, trees.blob_oid(data))
        for path, (executable, data) in read_files(folder).items()
    }
    return wanted == found
