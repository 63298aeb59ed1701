"""Knows the task's processes: finds, counts and ends them, and looks whether they outgrew a limit."""

from __future__ import annotations

import os
import time

from .kernel import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import Config

_END_S = 10.0


class Herd:
    """Is every process of the task: all others of our process namespace, or all our descendants."""

    def __init__(self, *, own_pids: bool) -> None:
        self._own_pids = own_pids
        self.statuses: dict[int, int] = {}
        """The wait status of each of our children that ended."""

    def reap(self) -> bool:
        """Collects what has ended, without waiting; says whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            self.statuses[pid] = status

    def alive(self) -> list[int]:
        """Returns the ids of the processes that have not ended."""
        parents = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat", "rb") as stream:
                        state, parent = stream.read().rpartition(b")")[2].split()[:2]
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if state not in (b"Z", b"X"):
                    parents[int(name)] = int(parent)
        me = os.getpid()
        if self._own_pids:
            return [pid for pid in parents if pid != me]
        # A zombie has handed its children to us, so the chain of living parents is unbroken.
        mine = {me}
        while more := {pid for pid, parent in parents.items() if parent in mine and pid not in mine}:
            mine |= more
        return sorted(mine - {me})

    def end(self) -> None:
        """Kills every process and waits until none is left, at most ten seconds."""
        deadline = time.monotonic() + _END_S
        while time.monotonic() < deadline:
            if self._own_pids:
                _kill(-1, signal.SIGKILL)
            else:
                # Stopped first: a fork bomb makes new ones faster than a list of them can be killed.
                herd = self.alive()
                for number in (signal.SIGSTOP, signal.SIGKILL):
                    for pid in herd:
                        _kill(pid, number)
            if not self.reap():
                return
            signal.sigtimedwait((signal.SIGCHLD,), 0.01)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def find_overflow(config: Config, herd: Herd) -> str:
    """Returns which limit the living task is past: `memory`, `output`, `files`, `tmp`, or nothing."""
    limits = config["limits"]
    bound = limits["memory_bytes"]
    pids = herd.alive()
    if sum(_resident(pid) for pid in pids) > bound and sum(_proportional(pid) for pid in pids) > bound:
        return "memory"
    if config["rooms_are_folders"]:
        for key, folder, most in _rooms(config):
            size, entries = _measure(os.fsencode(folder), limits["files"])
            if size > most:
                return key
            if entries > limits["files"]:
                return "files"
    elif _inodes(config["output"]) > limits["files"] or _inodes(config["tmp"]) > limits["files"]:
        return "files"
    return ""


def reached_limit(config: Config, status: int) -> str:
    """Returns which limit the ended task had reached, or nothing; call when no process is left."""
    limits = config["limits"]
    if not config["rooms_are_folders"]:
        for key, folder, most in _rooms(config):
            room = os.statvfs(folder)
            if (room.f_blocks - room.f_bfree) * room.f_frsize > most:
                return key
            if room.f_files - room.f_ffree > limits["files"]:
                return "files"
    code = os.waitstatus_to_exitcode(status)
    if -code == signal.SIGXFSZ or code == 128 + signal.SIGXFSZ:
        return "output"
    if -code == signal.SIGXCPU or code == 128 + signal.SIGXCPU:
        return "cpu"
    return ""


def _rooms(config: Config) -> tuple[tuple[str, str, int], ...]:
    limits = config["limits"]
    return ("output", config["output"], limits["output_bytes"]), ("tmp", config["tmp"], limits["tmp_bytes"])


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    """Returns the memory of a process with shared pages divided among their users: forked workers count once."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as stream:
            for line in stream:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return _resident(pid)
    return 0


def _inodes(folder: str) -> int:
    room = os.statvfs(folder)
    return room.f_files - room.f_ffree


def _measure(folder: bytes, most: int) -> tuple[int, int]:
    """Returns bytes and entries below a folder that others may be changing; stops counting past `most` entries."""
    size = entries = 0
    pending = [folder]
    while pending and entries <= most:
        try:
            with os.scandir(pending.pop()) as found:
                for entry in found:
                    entries += 1
                    state = entry.stat(follow_symlinks=False)
                    size += state.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return size, entries
