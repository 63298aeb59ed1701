"""The seccomp filter of a task, as a classic BPF program (seccomp(2), linux/filter.h)."""

from __future__ import annotations

import ctypes
import os
import struct

from . import kernel

_EPERM, _ENOSYS, _EACCES, _ENOTSUP = 1, 38, 13, 95
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
_NEW_LISTENER = 8
_X32_BIT = 0x40000000
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16

# x86_64 number, aarch64 number (None: that machine has no such call).
_CALLS: dict[str, tuple[int, int | None]] = {
    "socket": (41, 198),
    "clone": (56, 220),
    "unshare": (272, 97),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "prlimit64": (302, 261),
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "fsopen": (430, 430),
    "open_tree": (428, 428),
    "open_by_handle_at": (304, 265),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
# io_uring opens sockets past a filter on socket(2); keyrings and AF_VSOCK know no namespaces; the rest is attack
# surface that no task of ours needs.
_ALWAYS = [
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "add_key",
    "request_key",
    "keyctl",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "fsopen",
    "open_tree",
    "open_by_handle_at",
]
# Without namespaces of process ids and System V memory, these reach the user's other processes.
_WITHOUT_NAMESPACES = [
    "pidfd_open",
    "pidfd_send_signal",
    "shmget",
    "shmat",
    "shmctl",
    "shmdt",
    "semget",
    "semop",
    "semctl",
    "semtimedop",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
    "mq_unlink",
]
# Landlock governs none of these, and they reach every file of the same user. Programs live without owners and
# attributes (ENOTSUP is what file systems without attributes answer); mode and times they need for their own files.
_OWNERS = ["chown", "fchown", "lchown", "fchownat"]
_ATTRIBUTES = [
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "setxattrat",
    "removexattr",
    "lremovexattr",
    "fremovexattr",
    "removexattrat",
    "file_setattr",
]
_BY_PATH = ["chmod", "fchmodat", "fchmodat2", "utime", "utimes", "futimesat"]
REFUSED, ASKED = _ERRNO | _EPERM, _NOTIFY
"""What becomes of a change of mode or times by path: refused, or handed to whoever listens."""
_SIGNALS = ["kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"]


def make_program(
    machine: str, *, families: tuple[int, ...], spared: tuple[int, ...] | None, changes: int | None = None
) -> bytes:
    """Returns the filter as bytes of `struct sock_filter`.

    Args:
        machine: `x86_64` or `aarch64`.
        families: address families that socket(2) may open; others give EACCES.
        spared: None inside a process namespace; otherwise the ids that no signal may be sent to (the task could end
            its own supervisor, or with -1 everything of the user's).
        changes: None where no file of the user's can be named, or none is of the task's own id; otherwise what
            becomes of a change of mode or times by path, `REFUSED` or `ASKED`. Owners and attributes are refused.
    """
    number = call_numbers(machine)
    code = [_step(_LOAD, 4), _step(_JUMP_EQUAL, _ARCHITECTURES[machine], 1, 0), _fail(_ENOSYS), _step(_LOAD, 0)]
    if machine == "x86_64":
        code += [_step(_JUMP_AT_LEAST, _X32_BIT, 0, 1), _fail(_ENOSYS)]
    denied = [*_ALWAYS, *(_WITHOUT_NAMESPACES if spared is not None else ())]
    for name in denied:
        code += [_step(_JUMP_EQUAL, number[name], 0, 1), _fail(_EPERM)]
    # clone3 hides its flags in memory; told ENOSYS, every C library falls back to clone.
    code += [_step(_JUMP_EQUAL, number["clone3"], 0, 1), _fail(_ENOSYS)]
    new_user = [_step(_JUMP_BITS, kernel.NEWUSER, 0, 1), _fail(_EPERM)]
    for name in ("clone", "unshare"):
        code += _with_argument(number[name], new_user)
    allowed = [_step(_JUMP_EQUAL, family, len(families) - place, 0) for place, family in enumerate(families)]
    code += _with_argument(number["socket"], [*allowed, _fail(_EACCES), _step(_RETURN, _ALLOW)])
    if spared is not None:
        targets = [step for pid in spared for step in (_step(_JUMP_EQUAL, pid & 0xFFFFFFFF, 0, 1), _fail(_EPERM))]
        for name in _SIGNALS:
            code += _with_argument(number[name], targets)
        others = [_step(_JUMP_EQUAL, 0, 1, 0), _fail(_EPERM)]
        code += _with_argument(number["prlimit64"], others)
    if changes is not None:
        code += _guard_files(number, changes)
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def call_numbers(machine: str) -> dict[str, int]:
    """Returns the numbers of the calls that the filter knows, those that the machine has."""
    column = 0 if machine == "x86_64" else 1
    return {name: pair[column] or 0 for name, pair in _CALLS.items() if pair[column] is not None}


def _guard_files(number: dict[str, int], changes: int) -> list[bytes]:
    ends = [*((name, REFUSED) for name in _OWNERS), *((name, _ERRNO | _ENOTSUP) for name in _ATTRIBUTES)]
    ends += [(name, changes) for name in _BY_PATH]
    code = []
    for name, end in ends:
        if name in number:
            code += [_step(_JUMP_EQUAL, number[name], 0, 1), _step(_RETURN, end)]
    # Without a path it is about a descriptor, which was opened behind the walls.
    steps = [_step(_LOAD, 24), _step(_JUMP_EQUAL, 0, 0, 2), _step(_LOAD, 28), _step(_JUMP_EQUAL, 0, 1, 0)]
    return [*code, *_with_argument(number["utimensat"], [*steps, _step(_RETURN, changes)])]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _fail(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _with_argument(number: int, steps: list[bytes]) -> list[bytes]:
    """Runs `steps` with the low half of the first argument loaded; falls through to allow when none returns."""
    return [_step(_JUMP_EQUAL, number, 0, len(steps) + 2), _step(_LOAD, 16), *steps, _step(_RETURN, _ALLOW)]


def load_program(program: bytes, *, listens: bool = False) -> int:
    """Puts the filter on this process and all that it starts; needs no_new_privs.

    Returns 0, or with `listens` the descriptor on which the calls arrive that the filter asks about.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    return kernel.system_call("seccomp", 1, _NEW_LISTENER if listens else 0, header)


def has_numbers() -> bool:
    """Says whether this machine's system calls are known here."""
    return os.uname().machine in _ARCHITECTURES
