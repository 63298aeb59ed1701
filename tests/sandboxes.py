"""Runs tasks in the real sandbox for tests, as this user or, through a child that drops root, as an ordinary one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from timelab.errors import SandboxError
from timelab.shell import sandbox
from timelab.shell.interpreter import default_python, pieces_of
from timelab.shell.sandbox import Backend, Limits, Task

ORDINARY_UID = 54_321
_ROOT = Path(__file__).parents[1]
_NEEDS = {
    Backend.NAMESPACES: "needs user namespaces",
    Backend.BUBBLEWRAP: "needs bubblewrap",
    Backend.LANDLOCK: "needs Landlock",
}


@dataclass(frozen=True)
class Ended:
    """Is what a test sees of a task: its outcome as plain values, what it said, and the files that arrived."""

    exit_code: int | None
    signal: int | None
    timed_out: bool
    overflow: str | None
    left_over: int
    rejected: list[list[str]]
    log_cut: bool
    lost: bool
    start_error: str | None
    record: dict[str, Any]
    usage: dict[str, Any]
    stdout: str = ""
    stderr: str = ""
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """Is one backend as one kind of user."""

    backend: Backend
    ordinary: bool

    @property
    def python(self) -> Path:
        """Returns an interpreter that this user may start."""
        return _python(self.ordinary)

    def run(self, code: str, *args: str, files: Mapping[str, bytes] | None = None, **changes: Any) -> Ended:
        """Runs Python code inside; `changes` are fields of `Task` and `Limits`, `files` the commit's tree."""
        return self.run_argv([str(self.python), "-I", "-S", "-c", code, *args], files=files, **changes)

    def run_argv(self, argv: list[str], files: Mapping[str, bytes] | None = None, **changes: Any) -> Ended:
        """Runs any command inside."""
        with self.room() as room:
            self.prepare(room, argv, files or {}, changes)
            driver = [sys.executable, "-m", "tests.sandboxes", str(room)]
            if not self.ordinary:
                _drive(room)
            else:
                subprocess.run(driver, cwd=_ROOT, check=True, timeout=120)
            return _read(room)

    @contextmanager
    def room(self) -> Iterator[Path]:
        """Gives a folder that the task's user owns."""
        room = Path(tempfile.mkdtemp(prefix="timelab-test-"))
        try:
            yield room
        finally:
            shutil.rmtree(room)

    def prepare(self, room: Path, argv: list[str], files: Mapping[str, bytes], changes: dict[str, Any]) -> None:
        """Lays out the folders and the order of a task."""
        for name in ("source", "input", "output", "logs"):
            (room / name).mkdir()
        for name, data in files.items():
            path = room / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755)
        (room / "input/given.txt").write_text("given")
        order = {"argv": argv, "backend": self.backend.value, "ordinary": self.ordinary, "changes": changes}
        (room / "order.json").write_text(json.dumps(order))
        if self.ordinary and os.geteuid() == 0:
            for path in [room, *room.rglob("*")]:
                os.chown(path, ORDINARY_UID, ORDINARY_UID)


CELLS = [Cell(backend, ordinary) for backend in Backend for ordinary in (False, True)]


def cell_id(cell: Cell) -> str:
    return f"{cell.backend.value}-{'ordinary' if cell.ordinary else 'own'}"


def require(cell: Cell) -> None:
    """Skips the test where this machine lacks what the cell needs."""
    if cell.ordinary and os.geteuid() != 0:
        pytest.skip("needs root to become an ordinary user; the own user is one")
    if cell.ordinary and _python(True) == Path("/nonexistent"):
        pytest.skip("needs an interpreter that every user may start")
    why = _explain(cell)
    if why is not None:
        pytest.skip(f"{_NEEDS[cell.backend]}: {why}")


@cache
def _explain(cell: Cell) -> str | None:
    if not cell.ordinary:
        return sandbox.explain(cell.backend)
    try:
        return None if cell.run("print('here')").stdout == "here\n" else "the task does not run"
    except subprocess.CalledProcessError:
        return "the ordinary user cannot use it here"


@cache
def _python(ordinary: bool) -> Path:
    if not ordinary:
        return default_python()
    for path in (default_python(), Path("/usr/bin/python3").resolve()):
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        try:
            done = subprocess.run([path, "-I", "-S", "-c", check], user=ORDINARY_UID, group=ORDINARY_UID, check=False)
        except PermissionError:
            continue
        if done.returncode == 0:
            return path
    return Path("/nonexistent")


def _drive(room: Path) -> None:
    order = json.loads((room / "order.json").read_text())
    changes = dict(order["changes"])
    limits = Limits(**{name: changes.pop(name) for name in list(changes) if name in Limits.__dataclass_fields__})
    python = _python(order["ordinary"])
    if order["ordinary"] and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(ORDINARY_UID)
        os.setuid(ORDINARY_UID)
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", **changes.pop("env", {})}
    task = Task(
        argv=tuple(order["argv"]),
        env=env,
        source=room / "source",
        input=room / "input",
        output=room / "output",
        stdout=room / "logs/stdout",
        stderr=room / "logs/stderr",
        read_only=pieces_of(python),
        limits=limits,
        **{"timeout_s": 60.0, **changes},
    )
    outcome = sandbox.run_task(task, Backend(order["backend"]), python=python)
    values = {name: getattr(outcome, name) for name in Ended.__dataclass_fields__ if hasattr(outcome, name)}
    values["rejected"] = [[item.kind, os.fsencode(item.path).decode("latin-1")] for item in outcome.rejected]
    values["record"], values["usage"] = outcome.record.model_dump(), outcome.usage.model_dump()
    (room / "ended.json").write_text(json.dumps(values))


def _read(room: Path) -> Ended:
    values = json.loads((room / "ended.json").read_text())
    found = {
        path.relative_to(room / "output").as_posix(): (path.stat().st_mode & 0o7777, path.read_bytes())
        for path in sorted((room / "output").rglob("*"))
        if path.is_file()
    }
    logs = [(room / "logs" / name).read_bytes().decode(errors="replace") for name in ("stdout", "stderr")]
    return Ended(**values, stdout=logs[0], stderr=logs[1], files=found)


def processes_with(marker: str) -> list[int]:
    """Returns the processes that carry `marker` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_until_gone(marker: str, timeout_s: float = 20.0) -> list[int]:
    """Polls until no process carries `marker`; returns those that still do."""
    deadline = time.monotonic() + timeout_s
    while (left := processes_with(marker)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


if __name__ == "__main__":
    try:
        _drive(Path(sys.argv[1]))
    except SandboxError as error:
        sys.exit(str(error))
