"""The system calls that Python 3.11 does not offer, through ctypes. Linux only."""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # without `enum`, which costs 4 ms

__all__ = ["signal"]  # what the others take from here by name; the rest is used as `kernel.…`

# asm/unistd_64.h and asm-generic/unistd.h; what has one number everywhere (424 and above) stands in both.
_COMMON = {
    "open_tree": 428,
    "move_mount": 429,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
NUMBERS = {
    "x86_64": {**_COMMON, "pivot_root": 155, "capset": 126, "seccomp": 317, "utimensat": 280},
    "aarch64": {**_COMMON, "pivot_root": 41, "capset": 91, "seccomp": 277, "utimensat": 88},
}

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
MS_SLAVE = 1 << 19
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 36, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2

_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4
_MNT_DETACH = 2
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_CAPABILITY_VERSION_3 = 0x20080522
LAST_CAPABILITY = 63

_loaded: list[ctypes.CDLL] = []


def libc() -> ctypes.CDLL:
    """Returns the C library, loaded once."""
    if not _loaded:
        library = ctypes.CDLL(None, use_errno=True)
        library.syscall.restype = ctypes.c_long
        _loaded.append(library)
    return _loaded[0]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def system_call(name: str, *arguments: int | bytes | None) -> int:
    """Makes the call `name` of `NUMBERS`; integers go as longs, bytes as pointers.

    Raises:
        OSError: the kernel said no, or does not know the call (ENOSYS), or the machine is not in the table.
    """
    numbers = NUMBERS.get(os.uname().machine)
    if numbers is None:
        raise OSError(f"no system call numbers for {os.uname().machine}")
    sent = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return _check(libc().syscall(ctypes.c_long(numbers[name]), *sent), name)


def prctl(option: int, *arguments: int) -> None:
    """Calls prctl(2)."""
    rest = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    _check(libc().prctl(ctypes.c_int(option), *rest), "prctl")


def unshare(flags: int) -> None:
    """Calls unshare(2) (`os.unshare` came with Python 3.12)."""
    _check(libc().unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Calls mount(2)."""
    encoded = [None if a is None else os.fsencode(a) for a in (source, target, kind, data)]
    result = libc().mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _check(result, f"mount {kind or ''} on {target}")


def clone_mount(path: str) -> int:
    """Returns a descriptor of a detached, read-only copy of the mounts at `path` (kernel 5.12)."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    return system_call("open_tree", _AT_FDCWD, os.fsencode(path), flags)


def protect_mount(fd: int) -> None:
    """Makes a detached copy read-only with all mounts below it."""
    attributes = struct.pack("=QQQQ", ATTR_RDONLY | ATTR_NOSUID, 0, 0, 0)
    system_call("mount_setattr", fd, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, attributes, len(attributes))


def attach_mount(fd: int, target: str) -> None:
    """Puts a detached copy on `target`."""
    system_call("move_mount", fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)


def change_root(new_root: str) -> None:
    """Makes `new_root` the root and lets go of the old one (pivot_root(2), section NOTES: `pivot_root(".", ".")`)."""
    os.chdir(new_root)
    system_call("pivot_root", b".", b".")
    _check(libc().umount2(b".", ctypes.c_int(_MNT_DETACH)), "umount2")
    os.chdir("/")


def raise_loopback() -> None:
    """Sets `lo` up: a fresh network namespace has it down, and many tests talk to themselves."""
    fd = _check(libc().socket(2, 2 | os.O_CLOEXEC, 0), "socket")
    try:
        request = struct.pack("16sH14x", b"lo", _IFF_UP)
        _check(libc().ioctl(fd, ctypes.c_ulong(_SIOCSIFFLAGS), request), "ioctl lo")
    finally:
        os.close(fd)


def set_hostname(name: str) -> None:
    """Names the machine, so that no result depends on its real name."""
    encoded = name.encode()
    _check(libc().sethostname(encoded, len(encoded)), "sethostname")


def drop_capabilities(keep: int = 0) -> None:
    """Gives up all capabilities but the set of bits `keep`, and the bounding set as far as we may."""
    for number in range(LAST_CAPABILITY + 1):
        if keep >> number & 1:
            continue
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:  # EPERM without CAP_SETPCAP, EINVAL past the kernel's last one
            break
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    system_call("capset", header, struct.pack("=6I", low, low, low, high, high, high))
    for number in range(LAST_CAPABILITY + 1):
        if keep >> number & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
