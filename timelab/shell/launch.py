"""Starts the process that holds a task, feeds on its pipes, and ends it whatever happens."""

from __future__ import annotations

import contextlib
import marshal
import os
import selectors
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from timelab.manifest import SandboxRecord, Usage
from timelab.shell import bubblewrap, identity, view
from timelab.shell.inside import config as inside
from timelab.shell.interpreter import pieces_of
from timelab.shell.receive import Log, Receiver
from timelab.shell.task import Outcome, Overflow, Task

_BOOT = "import sys; sys.path.append(sys.argv[1]); from inside.init import main; main(*map(int, sys.argv[2:]))"
_HERE = Path(__file__).parent
_READ_BYTES = 1 << 20
_BACKSTOP_S = 20.0  # the process inside keeps the time; this is for when it cannot
_OVERFLOWS: tuple[Overflow | None, ...] = (None, "output", "files", "tmp", "memory", "cpu")


class SetupFailed(Exception):
    """Says why the walls could not be built; the task has not run."""


@dataclass(frozen=True)
class Place:
    """Is where and as whom a task will run."""

    backend: str
    python: Path
    task_uid: int
    output: Path
    tmp: Path


def launch(task: Task, backend: str, python: Path) -> Outcome:
    """Runs a task behind the walls of `backend`: `namespaces`, `bubblewrap`, `landlock` or `none`.

    Raises:
        SetupFailed: the walls could not be built; nothing has run, and `task.output` is empty.
        KeyboardInterrupt: passed on, after the task was killed.
    """
    backend = str.__str__(backend)  # marshal carries no subclass of str, such as an enum
    task_uid = identity.choose_task_uid()
    if task_uid >= 0:
        for folder in (task.source, task.input):
            if folder is not None:
                identity.open_to_others(folder)
    with ExitStack() as stack:
        if backend in ("landlock", "none"):
            scratch = stack.enter_context(_scratch(task.output.parent, task_uid))
            place = Place(backend, python, task_uid, scratch / "output", scratch / "tmp")
        else:
            place = Place(backend, python, task_uid, Path(view.OUTPUT), Path(view.TMP))
        return _run(task, place, stack)


@contextlib.contextmanager
def _scratch(parent: Path, owner: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".sandbox-", dir=parent))
    try:
        for name in ("output", "tmp"):
            (folder / name).mkdir(mode=0o700)
            if owner >= 0:
                os.chown(folder / name, owner, owner)
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    for path, names, _ in os.walk(folder):
        for name in names:
            inner = Path(path, name)
            if not inner.is_symlink():
                inner.chmod(stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


def _run(task: Task, place: Place, stack: ExitStack) -> Outcome:
    config = _make_config(task, place)
    logs = [Log(task.stdout, task.limits.log_bytes), Log(task.stderr, task.limits.log_bytes)]
    for log in logs:
        stack.callback(log.close)
    receiver = Receiver(task.output)
    stack.callback(receiver.close)
    reports, report_fd = os.pipe()
    config_fd = _in_memory(marshal.dumps(dict(config), 4))
    data_fds = [_in_memory(text.encode()) for _, text in config["view"]["files"]] if _is_bubblewrap(place) else []
    given = (config_fd, report_fd, *data_fds)
    try:
        argv = [str(place.python), "-I", "-S", "-c", _BOOT, str(_HERE), str(config_fd), str(report_fd)]
        child = _start(_wrap(argv, task, place, config, data_fds), given)
    except BaseException:
        os.close(reports)
        raise
    finally:
        for fd in given:
            os.close(fd)
    began = time.monotonic()
    try:
        _pump(child, reports, logs, receiver, began + task.timeout_s + _BACKSTOP_S)
    finally:
        _end(child, polite=place.backend in ("landlock", "none") and receiver.result is None)
        os.close(reports)
    for log in logs:
        log.close()
    return _judge(task, place, receiver, logs, began)


def _is_bubblewrap(place: Place) -> bool:
    return place.backend == "bubblewrap"


def _make_config(task: Task, place: Place) -> inside.Config:
    is_folder = place.backend in ("landlock", "none")
    source, given = task.source, task.input
    places = {
        "TIMELAB_SRC": str(source or place.tmp) if is_folder else view.SOURCE,
        "TIMELAB_INPUT": str(given) if is_folder else view.INPUT,
        "TIMELAB_OUTPUT": str(place.output),
        "TIMELAB_TMP": str(place.tmp),
        "HOME": f"{place.tmp}/home",
        "TMPDIR": str(place.tmp),
    }
    limits = task.limits
    base = identity.count_own_threads() if is_folder or identity.counts_globally() else 2
    extra = [*pieces_of(place.python), _HERE] if _is_bubblewrap(place) else []
    return {
        "backend": place.backend,  # type: ignore[typeddict-item]
        "walls": "namespaces" if not is_folder else place.backend,  # type: ignore[typeddict-item]
        "argv": list(task.argv),
        "env": {**task.env, **places},
        "cwd": places["TIMELAB_SRC"],
        "home": places["HOME"],
        "output": str(place.output),
        "tmp": str(place.tmp),
        "allow_net": task.allow_net,
        "timeout_s": float(task.timeout_s),
        "task_uid": place.task_uid,
        "limits": {
            "cpu_s": limits.cpu_s,
            "memory_bytes": limits.memory_bytes,
            "output_bytes": limits.output_bytes,
            "tmp_bytes": limits.tmp_bytes,
            "files": limits.max_files,
            "processes": limits.processes + (base if place.task_uid < 0 else 0),
            "room_bytes": max(limits.output_bytes, limits.tmp_bytes) + (0 if is_folder else 16_384),
        },
        "view": view.make_view(task, extra),
        "rules": view.make_rules(task, place.output, place.tmp) if place.backend == "landlock" else [],
        "rooms_are_folders": is_folder,
    }


def _in_memory(data: bytes) -> int:
    fd = os.memfd_create("timelab")
    with open(fd, "wb", closefd=False) as stream:
        stream.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _wrap(argv: list[str], task: Task, place: Place, config: inside.Config, data_fds: list[int]) -> list[str]:
    if not _is_bubblewrap(place):
        return argv
    program = bubblewrap.find_bubblewrap()
    if program is None:
        raise SetupFailed("bubblewrap is not installed")
    front = bubblewrap.make_argv(
        program, config["view"], allow_net=task.allow_net, as_root=place.task_uid >= 0, data_fds=data_fds
    )
    return [*front, "--", *argv]


def _start(argv: list[str], given: tuple[int, ...]) -> subprocess.Popen[bytes]:
    # Not through process.run: its pipes end with its one child, ours carry files until the last process is gone.
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=given,
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise SetupFailed(f"cannot start {argv[0]}: {error.strerror}") from error


def _pump(child: subprocess.Popen[bytes], reports: int, logs: list[Log], receiver: Receiver, deadline: float) -> None:
    """Reads all three pipes until the report ends; a silent sandbox is given up some time after the timeout."""
    assert child.stdout is not None and child.stderr is not None
    outlets = {child.stdout.fileno(): logs[0].feed, child.stderr.fileno(): logs[1].feed, reports: receiver.feed}
    with selectors.DefaultSelector() as selector:
        for fd in outlets:
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        while reports in {key.fd for key in selector.get_map().values()}:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                return
            for key, _ in ready:
                data = _read(key.fd)
                if data is None:
                    continue
                if not data:
                    selector.unregister(key.fd)
                    continue
                outlets[key.fd](data)
                if key.fd == reports:
                    deadline = max(deadline, time.monotonic() + _BACKSTOP_S)
    for fd in (child.stdout.fileno(), child.stderr.fileno()):
        while data := _read(fd):
            outlets[fd](data)


def _read(fd: int) -> bytes | None:
    """Returns what is there, nothing at the end, None when there is nothing now."""
    try:
        return os.read(fd, _READ_BYTES)
    except BlockingIOError:
        return None


def _end(child: subprocess.Popen[bytes], *, polite: bool) -> None:
    """Makes sure that nothing of the task is left, and collects the child.

    A process namespace ends with its first process. Without one (`polite`), the process inside is asked to end what it
    started before it goes, unless it has reported and so has done that.
    """
    if polite and child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_BACKSTOP_S)
    child.kill()
    child.wait()
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def _judge(task: Task, place: Place, receiver: Receiver, logs: list[Log], began: float) -> Outcome:
    if receiver.setup_error is not None:
        raise SetupFailed(receiver.setup_error)
    if not receiver.has_begun:
        text = task.stderr.read_bytes()[-500:].decode(errors="replace").strip()
        raise SetupFailed(text.splitlines()[-1] if text else "the sandbox ended at once")
    values = receiver.result
    is_none = place.backend == "none"
    record = SandboxRecord(
        kind=place.backend,  # type: ignore[arg-type]
        network="host" if task.allow_net or is_none else "none",
        enforced=not is_none,
        as_root=place.task_uid < 0 and os.geteuid() == 0,
    )
    log_cut = any(log.is_cut for log in logs)
    if values is None:
        receiver.forget_files()
        wall = Usage(wall_ms=int((time.monotonic() - began) * 1000))
        return Outcome(None, None, False, wall, None, 0, (), log_cut, record, receiver.start_error, lost=True)
    overflow = _OVERFLOWS[values["overflow"]]
    if overflow in ("output", "files"):
        receiver.forget_files()
    code = os.waitstatus_to_exitcode(values["status"])
    started = receiver.start_error is None
    return Outcome(
        exit_code=code if code >= 0 and started else None,
        signal=-code if code < 0 else None,
        timed_out=bool(values["timed_out"]),
        usage=Usage(wall_ms=values["wall_ms"], cpu_ms=values["cpu_ms"], max_rss_bytes=values["max_rss_bytes"]),
        overflow=overflow,
        left_over=values["left_over"],
        rejected=tuple(receiver.rejected),
        log_cut=log_cut,
        record=record,
        start_error=receiver.start_error,
    )
