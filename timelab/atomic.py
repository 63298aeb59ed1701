"""Files that are whole or absent, the advisory lock, and how to tell whether a process still lives."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timelab.errors import StoreError

_FIRST_WAIT_S = 0.001
_LONGEST_WAIT_S = 0.02


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Writes a file so that a reader, or a power cut, meets the old bytes or the new ones and nothing between (B4).

    `mode` is subject to the umask. A symlink at `path` is replaced, not followed.
    """
    temporary = path.with_name(f".{path.name[:200]}.{os.urandom(6).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable; file systems that cannot are left alone."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def file_lock(path: Path, *, timeout_s: float = 60.0, is_kept: bool = True) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is made if need be and, unless `is_kept`, removed at the end.

    Not reentrant. The kernel drops the lock when its holder dies, so there is nothing stale to clean up.

    Raises:
        StoreError: somebody else held it for `timeout_s`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open_locked(path, timeout_s)
    try:
        yield
    finally:
        if not is_kept:
            # Before the lock goes: who waited for this file then finds that the name means none, or another.
            with contextlib.suppress(OSError):
                path.unlink()
        os.close(descriptor)


def _open_locked(path: Path, timeout_s: float) -> int:
    deadline = time.monotonic() + timeout_s
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _acquire(descriptor, path, deadline, timeout_s)
            if _is_named(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _acquire(descriptor: int, path: Path, deadline: float, timeout_s: float) -> None:
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"the lock {path.name} was held by another process for {timeout_s:g} s",
                    hint="is a timelab hanging? `timelab status` lists what runs",
                ) from None
        # Random, so that many waiters do not wake in step.
        time.sleep(wait_s * random.uniform(0.5, 1.5))
        wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)


def process_start(pid: int) -> str | None:
    """Returns a token that changes when `pid` comes to mean another process, or None when nobody has it.

    A zombie counts as dead. Source: field 22 of /proc/<pid>/stat, proc(5), with the boot it counts from.
    """
    if pid <= 0:
        return None
    if sys.platform.startswith("linux"):
        return _start_from_proc(pid)
    return _start_from_ps(pid)


def _start_from_proc(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name, field 2, is in brackets and may itself hold brackets and blanks.
    fields = stat.rpartition(b")")[2].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    return f"{boot}-{fields[19].decode()}"


def _start_from_ps(pid: int) -> str | None:
    from timelab.errors import RunError
    from timelab.process import base_env, run

    try:
        done = run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], cwd=None, env=base_env({"LC_ALL": "C"}), timeout_s=10)
    except RunError:
        return None
    state, _, started = done.stdout.decode(errors="replace").strip().partition(" ")
    return started.strip() if done.code == 0 and started and not state.startswith("Z") else None
