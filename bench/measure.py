"""The stop-watch: medians of wall-clock and CPU time, with the things that are compared taken in turns.

CPU is what `wait4` says of the child and everything it waited for, so a busy machine disturbs it little. Taking turns
(a, b, a, b, …) instead of (a, a, …, b, b, …) lets a slow minute fall on all alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """Is one command to be timed; `prepare` is done before each turn and not timed. `ok` are its good exit codes."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    prepare: Callable[[], None] | None = None
    ok: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Timing:
    """Is what n turns took."""

    wall_ms: float
    cpu_ms: float
    best_ms: float
    n: int


class Failed(Exception):
    """Says that a measured command did not do its work: then there is nothing to measure."""


def once(case: Case) -> tuple[float, float]:
    """Runs a command once and returns its wall-clock and CPU time in seconds."""
    start = time.perf_counter()
    with subprocess.Popen(
        list(case.argv),
        cwd=case.cwd,
        env=dict(case.env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in case.ok:
        tail = said.decode("utf-8", "replace").strip()[-600:]
        raise Failed(f"{' '.join(case.argv)}: exit {child.returncode}: {tail}")
    return wall_s, usage.ru_utime + usage.ru_stime


def in_turns(cases: Mapping[str, Case], *, n: int, warm: int = 1) -> dict[str, Timing]:
    """Times several commands in turns; the first `warm` rounds do not count."""
    walls: dict[str, list[float]] = {name: [] for name in cases}
    cpus: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(n + warm):
        for name, case in cases.items():
            if case.prepare:
                case.prepare()
            wall_s, cpu_s = once(case)
            if turn >= warm:
                walls[name].append(wall_s * 1000)
                cpus[name].append(cpu_s * 1000)
    return {
        name: Timing(statistics.median(walls[name]), statistics.median(cpus[name]), min(walls[name]), n)
        for name in cases
    }


def clean_env(home: Path, path: Sequence[Path] = ()) -> dict[str, str]:
    """Returns an environment with its own home and git configuration; git's own upkeep must not fall into a turn."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / ".gitconfig"
    if not config.exists():
        config.write_text(
            "[user]\n\tname = Bench\n\temail = bench@example.invalid\n[init]\n\tdefaultBranch = main\n"
            "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[advice]\n\tdetachedHead = false\n"
        )
    return {
        "PATH": os.pathsep.join([*map(str, path), os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "TERM": "dumb",
        "NO_COLOR": "1",
        **{name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR") if name in os.environ},
    }


def sh(argv: Sequence[str], cwd: Path, env: Mapping[str, str], *, data: bytes | None = None) -> bytes:
    """Does a step of the preparation, untimed."""
    done = subprocess.run(list(argv), cwd=cwd, env=dict(env), input=data, capture_output=True, check=False)
    if done.returncode:
        tail = done.stderr.decode("utf-8", "replace").strip()[-600:]
        raise Failed(f"{' '.join(argv)}: exit {done.returncode}: {tail}")
    return done.stdout


def repository(path: Path, env: Mapping[str, str], *, files: int = 10) -> Path:
    """Makes a git repository with one commit of so many small files."""
    path.mkdir(parents=True)
    for number in range(files):
        file = path / f"d{number % 50}" / f"f{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{number}\n" * 20)
    sh(["git", "init", "-q"], path, env)
    sh(["git", "add", "-A"], path, env)
    sh(["git", "commit", "-q", "-m", "base"], path, env)
    return path
