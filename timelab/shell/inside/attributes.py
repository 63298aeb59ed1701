"""Changes the mode and times of a task's own files for it, where Landlock holds it as the user's own id.

Landlock does not govern chmod(2) and utimensat(2), so a task could open up every file of the user's that it can name.
Its filter hands these calls to us (seccomp_unotify(2)). We open the file ourselves, look where it really lies, and
change what we opened: what the task does to names or memory meanwhile changes nothing.
"""

from __future__ import annotations

import _socket
import _thread
import array
import fcntl
import os
import select
import struct

from . import kernel

End = _socket.socket
"""One end of what the listener travels over."""

_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = -100, 0x100, 0x1000
_EPERM, _EFAULT, _EINVAL, _ENAMETOOLONG, _ENOSYS = 1, 14, 22, 36, 38
_PATH_BYTES = 4096


class Call:
    """Is one call: its process, its number's name and its six arguments."""

    def __init__(self, pid: int, name: str, arguments: tuple[int, ...]) -> None:
        self.pid, self.name, self.arguments = pid, name, arguments


def make_pair() -> tuple[End, End]:
    """Returns both ends of what the listener travels over, ours first; exec closes them."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    return ours, theirs


def hand_over(end: End, listener: int) -> None:
    """Sends the listener to the process that holds the task, and closes it here: the task must not have it."""
    end.sendmsg([b"x"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [listener]))])
    os.close(listener)


def serve(end: End, names: dict[int, str], folders: tuple[str, ...]) -> None:
    """Answers in a thread of its own until the last process of the task is gone; `folders` are the task's rooms."""
    rooms = tuple(os.path.realpath(folder) for folder in folders)
    _thread.start_new_thread(_serve, (end, names, rooms))


def _serve(end: End, names: dict[int, str], rooms: tuple[str, ...]) -> None:
    _, sent, _, _ = end.recvmsg(1, _socket.CMSG_SPACE(4))
    if not sent:
        return  # the task did not start, or its kernel gave no listener
    (listener,) = struct.unpack_from("=i", sent[0][2])
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while all(not event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
        try:
            _answer(listener, names, rooms)
        except OSError:
            continue  # the caller was ended meanwhile


def _answer(listener: int, names: dict[int, str], rooms: tuple[str, ...]) -> None:
    note = bytearray(80)
    fcntl.ioctl(listener, _RECEIVE, note)
    number, pid, _flags, call, _arch, _at, *arguments = struct.unpack("=QIIiIQ6Q", note)
    try:
        _change(listener, number, Call(pid, names.get(call, ""), tuple(arguments)), rooms)
        error = 0
    except OSError as failure:
        error = failure.errno or _EPERM
    fcntl.ioctl(listener, _SEND, bytearray(struct.pack("=QqiI", number, 0, -error, 0)))


def _change(listener: int, number: int, call: Call, rooms: tuple[str, ...]) -> None:
    folder, path_at, value, flags = _split(call)
    path = _read_text(call.pid, path_at) if path_at else b""
    times = None if call.name.startswith(("chmod", "fchmod")) else _read_times(call, value)
    # Only now is it known that what was read is the caller's, and not a later process's of the same id.
    fcntl.ioctl(listener, _IS_VALID, struct.pack("=Q", number))
    fd = _open(call.pid, folder, path, flags)
    try:
        place = os.readlink(f"/proc/self/fd/{fd}")
        if not any(place == room or place.startswith(room + "/") for room in rooms):
            raise OSError(_EPERM, "not a file of the task's")
        name = f"/proc/self/fd/{fd}".encode()
        if call.name.startswith(("chmod", "fchmod")):
            os.chmod(name, value & 0o7777)
        else:
            kernel.system_call("utimensat", _AT_FDCWD, name, times, 0)
    finally:
        os.close(fd)


def _split(call: Call) -> tuple[int, int, int, int]:
    """Returns a call's folder, the address of its path, its mode or the address of its times, and its flags."""
    first, second, third, fourth, *_ = call.arguments
    if call.name in ("chmod", "utime", "utimes"):
        return _AT_FDCWD, first, second, 0
    if call.name not in ("fchmodat", "fchmodat2", "futimesat", "utimensat"):
        raise OSError(_ENOSYS, call.name)
    folder = struct.unpack("=i", struct.pack("=I", first & 0xFFFFFFFF))[0]
    flags = fourth & 0xFFFFFFFF if call.name in ("fchmodat2", "utimensat") else 0
    if flags & ~(_AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH):
        raise OSError(_EINVAL, "unknown flags")
    return folder, second, third, flags


def _read(pid: int, at: int, size: int) -> bytes:
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.pread(fd, size, at)
    except OSError:
        found = b""
    finally:
        os.close(fd)
    if not found:
        raise OSError(_EFAULT, "no such memory")
    return found


def _read_whole(pid: int, at: int, size: int) -> bytes:
    found = _read(pid, at, size)
    if len(found) < size:
        raise OSError(_EFAULT, "no such memory")
    return found


def _read_text(pid: int, at: int) -> bytes:
    text = b""
    while b"\0" not in text:
        if len(text) >= _PATH_BYTES:
            raise OSError(_ENAMETOOLONG, "path")
        # Up to the end of a page: what follows may not be there.
        here = at + len(text)
        text += _read(pid, here, _PATH_BYTES - here % _PATH_BYTES)
    return text[: text.index(b"\0")]


def _read_times(call: Call, at: int) -> bytes | None:
    """Returns two `struct timespec`, or None for now."""
    if not at:
        return None
    if call.name == "utimensat":
        return _read_whole(call.pid, at, 32)
    if call.name == "utime":
        before, after = struct.unpack("=qq", _read_whole(call.pid, at, 16))
        return struct.pack("=qqqq", before, 0, after, 0)
    seconds, micros, later, more = struct.unpack("=qqqq", _read_whole(call.pid, at, 32))
    if not (0 <= micros < 1_000_000 and 0 <= more < 1_000_000):
        raise OSError(_EINVAL, "times")
    return struct.pack("=qqqq", seconds, micros * 1000, later, more * 1000)


def _open(pid: int, folder: int, path: bytes, flags: int) -> int:
    """Opens what the caller named, as a place only."""
    if path.startswith(b"/proc/self/"):
        path = b"/proc/%d/%s" % (pid, path[len(b"/proc/self/") :])
    if not path.startswith(b"/"):
        if not path and not flags & _AT_EMPTY_PATH and folder == _AT_FDCWD:
            raise OSError(2, "no path")
        base = b"/proc/%d/%s" % (pid, b"cwd" if folder == _AT_FDCWD else b"fd/%d" % folder)
        path = base + b"/" + path if path else base
        flags = flags if path != base else 0
    follow = 0 if not flags & _AT_SYMLINK_NOFOLLOW else os.O_NOFOLLOW
    return os.open(path, os.O_PATH | os.O_CLOEXEC | follow)
