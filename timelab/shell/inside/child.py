"""The last steps of the process that becomes the task: limits, identity, walls, exec."""

from __future__ import annotations

import os
import resource

from . import attributes, filters, frames, kernel, landlock
from .kernel import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config import Config, LimitValues

LAB_ID = 1000
"""The task's user and group id inside: one number for every user, so that no result depends on it."""

_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_STACK_BYTES, _OPEN_FILES = 8 << 20, 4096


def start(config: Config, report_fd: int) -> int:
    """Forks the task and returns its process id; a task that cannot start says so in a frame and ends with 127."""
    supervisor = os.getpid()
    ours, theirs = attributes.make_pair() if _shares_user(config) else (None, None)
    pid = os.fork()
    if pid:
        if ours is not None and theirs is not None:
            theirs.close()
            names = {number: name for name, number in filters.call_numbers(os.uname().machine).items()}
            attributes.serve(ours, names, (config["output"], config["tmp"]))
        return pid
    stage = frames.SETUP_FAILED
    try:
        _become(config, supervisor, theirs)
        stage = frames.START_FAILED
        _execute(config)
    except OSError as error:
        frames.send(report_fd, stage, str(error).encode(errors="replace"))
    finally:
        os._exit(127)


def _shares_user(config: Config) -> bool:
    """Says whether nothing but Landlock stands between the task and the files of the user whose id it has."""
    return config["walls"] == "landlock" and config["task_uid"] < 0 and filters.has_numbers()


def _become(config: Config, supervisor: int, end: attributes.End | None) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    os.setsid()
    os.umask(0o022)
    os.chdir(config["cwd"])
    home = config["home"]
    if not os.path.isdir(home):
        os.mkdir(home, 0o700)
    walls = config["walls"]
    keep = _drop_user(config["task_uid"], walls, home)
    _set_limits(config)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities(keep)
    allow_net = config["allow_net"]
    if walls == "landlock":
        landlock.restrict(config["rules"], allow_net)
    elif allow_net:
        landlock.scope()  # the host's abstract UNIX sockets live in its network namespace
    if walls != "none" and filters.has_numbers():
        _load_filter(config, supervisor, end)
    _restore_signals()


def _load_filter(config: Config, supervisor: int, end: attributes.End | None) -> None:
    walls, allow_net = config["walls"], config["allow_net"]
    if end is None:
        filters.load_program(_filter(walls, allow_net, supervisor))
        return
    try:
        listener = filters.load_program(_filter(walls, allow_net, supervisor, filters.ASKED), listens=True)
    except OSError:
        # EBUSY: who made our container listens already, and the kernel has one listener only.
        filters.load_program(_filter(walls, allow_net, supervisor, filters.REFUSED))
    else:
        attributes.hand_over(end, listener)


def _filter(walls: str, allow_net: bool, supervisor: int, changes: int | None = None) -> bytes:
    inet = (filters.AF_INET, filters.AF_INET6, filters.AF_NETLINK)
    if walls == "namespaces":
        return filters.make_program(os.uname().machine, families=(filters.AF_UNIX, *inet), spared=None)
    # Landlock does not govern connect(2) to a path, so without a mount namespace UNIX sockets would reach every agent
    # and daemon of the user's.
    families = inet if allow_net else ()
    parent = _parent_of(supervisor)
    spared = (supervisor, -supervisor, parent, -parent, -1)
    return filters.make_program(os.uname().machine, families=families, spared=spared, changes=changes)


def _parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as stream:
        return int(stream.read().rpartition(b")")[2].split()[1])


def _drop_user(uid: int, walls: str, home: str) -> int:
    """Becomes `uid` if that is not -1 (we are root); returns the capabilities to keep, as bits."""
    if uid < 0:
        return 0
    os.chown(home, uid, uid)
    os.setgroups([])
    keep = 0
    if walls != "namespaces":
        # The host's paths may lie below a 0700 home; Landlock still says which of them may be read.
        kernel.prctl(8, 1)  # PR_SET_KEEPCAPS
        keep = 1 << _CAP_DAC_READ_SEARCH
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    if walls != "namespaces":
        return keep
    try:
        # A user namespace of its own: id 1000 as everywhere else, and a process count of its own.
        kernel.unshare(kernel.NEWUSER)
    except OSError:
        return 0
    map_ids(LAB_ID, uid, uid)
    return 0


def map_ids(inside: int, uid: int, gid: int) -> None:
    """Names our one id `inside` in the user namespace that we just made (user_namespaces(7))."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{inside} {uid} 1"), ("gid_map", f"{inside} {gid} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def _set_limits(config: Config) -> None:
    limits: LimitValues = config["limits"]
    wanted = (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, limits["cpu_s"], limits["cpu_s"] + 5),
        (resource.RLIMIT_DATA, limits["memory_bytes"], limits["memory_bytes"]),
        # Past the size of the room: there a writer is told ENOSPC, which programs know better than a signal.
        (resource.RLIMIT_FSIZE, limits["room_bytes"], limits["room_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"], limits["processes"]),
        (resource.RLIMIT_NOFILE, _OPEN_FILES, _OPEN_FILES),
        (resource.RLIMIT_STACK, _STACK_BYTES, resource.RLIM_INFINITY),
    )
    for what, soft, hard in wanted:
        highest = resource.getrlimit(what)[1]
        if highest != resource.RLIM_INFINITY:
            hard = highest if hard == resource.RLIM_INFINITY else min(hard, highest)
            soft = min(soft, hard)
        resource.setrlimit(what, (soft, hard))


def _restore_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _execute(config: Config) -> None:
    argv, env = config["argv"], config["env"]
    if "/" in argv[0]:
        os.execve(argv[0], argv, env)
    failure: OSError = FileNotFoundError(2, "not found on PATH", argv[0])
    for folder in env.get("PATH", "").split(":"):
        try:
            os.execve(f"{folder}/{argv[0]}", argv, env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            failure = error
    raise failure
