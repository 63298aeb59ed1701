"""As whom a task runs: an unprivileged id for root, and what the kernel already counts against it."""

from __future__ import annotations

import os
import platform
import stat
from pathlib import Path

_CHOWN, _SETGID, _SETUID = 0, 6, 7
_HIGH_IDS, _LOW_IDS = 2_000_000_000, 40_000


def choose_task_uid() -> int:
    """Returns the id that a task of ours gets when we are root and may change ids, else -1.

    It is one for each sandbox at a time, so that the kernel counts and signals them apart; process limits do not bind
    root itself (measured), and files of root must not be the task's.
    """
    if os.geteuid() != 0:
        return -1
    needed = 1 << _CHOWN | 1 << _SETGID | 1 << _SETUID
    if _effective_capabilities() & needed != needed:
        return -1
    mapped = _mapped_ids()
    for candidate in (_HIGH_IDS + os.getpid(), _LOW_IDS + os.getpid() % 20_000):
        if any(first <= candidate < first + count for first, count in mapped):
            return candidate
    return -1


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _mapped_ids() -> list[tuple[int, int]]:
    rows = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return [(int(first), int(count)) for first, _, count in rows]


def counts_globally() -> bool:
    """Says whether RLIMIT_NPROC counts past user namespaces (before Linux 5.14)."""
    release = platform.release().split(".")
    return (int(release[0]), int(release[1])) < (5, 14)


def count_own_threads() -> int:
    """Returns how many threads this user has now, all of which RLIMIT_NPROC counts."""
    total = 0
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if entry.stat().st_uid == os.geteuid():
                total += Path("/proc", entry.name, "task").stat().st_nlink - 2
        except OSError:
            continue
    return total


def open_to_others(folder: Path) -> None:
    """Lets everybody read a folder of ours and what is in it, where a strict umask had shut it."""
    needed_dir, needed_file = 0o555, 0o444
    for path, _, files in os.walk(folder):
        _add_mode(Path(path), needed_dir)
        for name in files:
            _add_mode(Path(path, name), needed_file)


def _add_mode(path: Path, needed: int) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISLNK(mode) and mode & needed != needed:
        path.chmod(stat.S_IMODE(mode) | needed)
