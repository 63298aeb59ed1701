"""Runs a command where it can reach neither the network nor any file but its own (design 4).

Backends, best first: our own namespaces; bubblewrap, for hosts that let it make namespaces and not us (set-user-id,
or an AppArmor profile as on Ubuntu); Landlock with a seccomp filter, for hosts that let nobody. Own namespaces come
before bubblewrap because they are faster, bound the number of files, and need not show timelab's interpreter.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from enum import StrEnum
from pathlib import Path

from timelab.errors import SandboxError
from timelab.shell.interpreter import default_python, pieces_of
from timelab.shell.launch import SetupFailed, launch
from timelab.shell.task import Limits, Outcome, Overflow, Rejected, Task

__all__ = ["Backend", "Limits", "Outcome", "Overflow", "Rejected", "Task", "probe", "run_task"]

_log = logging.getLogger(__name__)


class Backend(StrEnum):
    """Is a way to hold a task, best first."""

    NAMESPACES = "namespaces"
    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"


_chosen: list[Backend] = []
_probed: list[tuple[Backend, ...]] = []


def run_task(
    task: Task, backend: Backend | None = None, best_effort: bool = False, *, python: Path | None = None
) -> Outcome:
    """Runs a task and brings its files.

    Args:
        task: what to run; `task.output` must be empty.
        backend: None takes the best that works here, found by trying once in each process.
        best_effort: where none works, run without walls and say so in the record; only the user may ask for that.
        python: the interpreter that builds the walls, for tests; ours by default.

    Raises:
        SandboxError: nothing here can enforce the walls. The task has not run.
        KeyboardInterrupt: passed on after the task was killed.
    """
    python = python or default_python()
    reasons = []
    for candidate in [backend] if backend else dict.fromkeys([*_chosen, *_candidates()]):
        try:
            outcome = launch(task, candidate, python)
        except SetupFailed as error:
            _log.info("sandbox %s: %s", candidate, error)
            reasons.append(f"{candidate.value}: {error}")
            continue
        if backend is None:
            _chosen[:] = [candidate]
        return outcome
    if best_effort:
        try:
            return launch(task, "none", python)
        except SetupFailed as error:
            reasons.append(f"none: {error}")
    raise SandboxError(
        "nothing here can hold a task: " + ("; ".join(reasons) or f"no sandbox for {sys.platform}"),
        hint="install bubblewrap, allow user namespaces, or use Linux 6.2 or later with Landlock; "
        'to run without walls, set sandbox = "best-effort" in your own configuration',
    )


def _candidates() -> list[Backend]:
    return list(Backend) if sys.platform == "linux" else []


def probe() -> tuple[Backend, ...]:
    """Returns the backends that pass a test here, best first; each is really tried, once in each process.

    The test: a file of ours and a loopback port of ours are out of reach, and a file written to the output arrives.
    """
    if not _probed:
        _probed.append(tuple(backend for backend in _candidates() if explain(backend) is None))
    return _probed[0]


_TEST = """
import os, socket, sys
try:
    open(sys.argv[1]).close()
    sys.exit("a file of the host can be read")
except OSError:
    pass
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2).close()
    sys.exit("a port of the host can be reached")
except OSError:
    pass
with open(os.environ["TIMELAB_OUTPUT"] + "/probe", "w") as stream:
    stream.write("arrived")
"""


def explain(backend: Backend) -> str | None:
    """Returns why a backend does not work here, or None when it does."""
    python = default_python()
    with tempfile.TemporaryDirectory(prefix="timelab-probe-") as name, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        base = Path(name)
        (base / "canary").write_text("host")
        for folder in ("input", "output", "logs"):
            (base / folder).mkdir()
        port = str(listener.getsockname()[1])
        task = Task(
            argv=(str(python), "-I", "-S", "-c", _TEST, str(base / "canary"), port),
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            source=None,
            input=base / "input",
            output=base / "output",
            stdout=base / "logs/stdout",
            stderr=base / "logs/stderr",
            read_only=pieces_of(python),
            timeout_s=20.0,
        )
        try:
            outcome = launch(task, backend, python)
        except SetupFailed as error:
            return str(error)
        if outcome.exit_code == 0 and (base / "output/probe").is_file():
            return None
        said = (base / "logs/stderr").read_text(errors="replace").strip().splitlines()
        return said[-1] if said else f"the test ended with {outcome.exit_code}"
