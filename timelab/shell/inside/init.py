"""The first process of the sandbox: builds the walls, starts the task, ends it, reports.

With own namespaces and with bubblewrap it is process 1 of its namespace, which no task can signal and whose end is
the end of every process in it. Without them it is the subreaper of the task's descendants.
"""

from __future__ import annotations

import marshal
import os
import resource
import time

from . import child, collect, frames, kernel, root, watch
from .kernel import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import Config

_GRACE_S = 0.5  # helpers such as multiprocessing's resource tracker end a moment after the command
_LOOK_S = 0.25


def main(config_fd: int, report_fd: int) -> None:
    """Runs the task that the configuration describes and reports over `report_fd`; does not return."""
    os.set_inheritable(report_fd, False)
    os.umask(0o022)  # the user's own would shut the new root's folders to the task
    with open(config_fd, "rb") as stream:
        config: Config = marshal.load(stream)  # from our own parent; json would cost a fifth of the time budget
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL if config["walls"] == "namespaces" else signal.SIGTERM)
        if config["backend"] == "namespaces":
            _enter_namespaces(config, report_fd)
        elif config["backend"] == "bubblewrap":
            _own_rooms(config)
        else:
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        # Not every wall gives us more rights than the task: it must not attach to us and take the report over.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        frames.send(report_fd, frames.BEGUN)
        _supervise(config, report_fd)
    except OSError as error:
        frames.send(report_fd, frames.SETUP_FAILED, str(error).encode(errors="replace"))
    finally:
        os._exit(0)


def _enter_namespaces(config: Config, report_fd: int) -> None:
    uid, gid, task_uid = os.geteuid(), os.getegid(), config["task_uid"]
    flags = kernel.NEWNS | kernel.NEWPID | kernel.NEWIPC | kernel.NEWUTS
    flags |= 0 if config["allow_net"] else kernel.NEWNET
    flags |= kernel.NEWUSER if task_uid < 0 else 0
    kernel.unshare(flags)
    if task_uid < 0:
        child.map_ids(child.LAB_ID, uid, gid)
    pid = os.fork()
    if pid:
        os.close(report_fd)
        os.waitpid(pid, 0)
        os._exit(0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if not config["allow_net"]:
        kernel.raise_loopback()
    kernel.set_hostname("lab")
    owner = child.LAB_ID if task_uid < 0 else task_uid
    root.build(config["view"], owner, owner)


def _own_rooms(config: Config) -> None:
    if config["task_uid"] >= 0:
        for target, _size, _inodes in config["view"]["rooms"]:
            os.chown(target, config["task_uid"], config["task_uid"])


def _supervise(config: Config, report_fd: int) -> None:
    begin = time.monotonic()
    pid = child.start(config, report_fd)
    herd = watch.Herd(own_pids=config["walls"] == "namespaces")
    status, reason = _wait(pid, herd, config, begin)
    wall_ms = int((time.monotonic() - begin) * 1000)
    left_over = 0 if reason else _count_left_over(herd)
    herd.end()
    if status is None:
        status = herd.statuses.get(pid, 9)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    overflow = reason if reason not in ("timeout", "stopped") else ""
    overflow = overflow or watch.reached_limit(config, status)
    if overflow not in ("output", "files"):
        try:
            limits = config["limits"]
            collect.send_folder(
                config["output"], report_fd, max_bytes=limits["output_bytes"], max_files=limits["files"]
            )
        except collect.Full as full:
            overflow = str(full)
    values = {
        "status": status,
        "timed_out": int(reason == "timeout"),
        "left_over": left_over,
        "overflow": frames.OVERFLOWS.index(overflow),
        "wall_ms": wall_ms,
        "cpu_ms": int((usage.ru_utime + usage.ru_stime) * 1000),
        "max_rss_bytes": usage.ru_maxrss * 1024,
    }
    frames.send(report_fd, frames.RESULT, " ".join(f"{key}={value}" for key, value in values.items()).encode())


def _wait(pid: int, herd: watch.Herd, config: Config, begin: float) -> tuple[int | None, str]:
    """Waits for the task; returns its wait status, or None and why it has to be ended."""
    deadline = begin + config["timeout_s"]
    next_look = begin + _LOOK_S
    while True:
        herd.reap()
        if pid in herd.statuses:
            return herd.statuses[pid], ""
        now = time.monotonic()
        if now >= deadline:
            return None, "timeout"
        if now >= next_look:
            next_look = now + _LOOK_S
            if full := watch.find_overflow(config, herd):
                return None, full
        pause = max(0.0, min(deadline, next_look) - now)
        seen = signal.sigtimedwait((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP), pause)
        if seen is not None and seen.si_signo != signal.SIGCHLD:
            return None, "stopped"


def _count_left_over(herd: watch.Herd) -> int:
    """Returns how many processes are alive a moment after the command ended."""
    deadline = time.monotonic() + _GRACE_S
    while True:
        herd.reap()
        count = len(herd.alive())
        if not count or time.monotonic() >= deadline:
            return count
        signal.sigtimedwait((signal.SIGCHLD,), 0.01)
