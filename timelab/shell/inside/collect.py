"""Hands the regular files of the output folder to the parent, and names what is none."""

from __future__ import annotations

import os
import stat

from . import frames

_PIECE_BYTES = 256 << 10
_MAX_DEPTH = 64


class Full(Exception):
    """Says that the folder holds more than may be kept: `str` is `output` or `files`."""


def send_folder(folder: str, report_fd: int, *, max_bytes: int, max_files: int) -> None:
    """Sends every regular file below `folder`, in order of name.

    Only to be called when no process of the task is left, since it opens by path. Hard links are sent as files of
    their own, holes as zeros, both counted in full.

    Raises:
        Full: a bound was reached; what was sent before is to be forgotten.
    """
    left = [max_bytes, max_files]
    _send_below(os.fsencode(folder), b"", report_fd, left)


def _send_below(folder: bytes, prefix: bytes, report_fd: int, left: list[int]) -> None:
    for name, mode in _entries(folder, left):
        path, inner = folder + b"/" + name, prefix + name
        if stat.S_ISDIR(mode):
            if inner.count(b"/") >= _MAX_DEPTH:
                frames.send(report_fd, frames.REJECTED, frames.SPECIAL + inner)
                continue
            _open_mode(path, mode, 0o700)
            _send_below(path, inner + b"/", report_fd, left)
        elif stat.S_ISREG(mode):
            _open_mode(path, mode, 0o400)
            _send_file(path, inner, report_fd, left)
        else:
            kind = frames.LINK if stat.S_ISLNK(mode) else frames.SPECIAL
            frames.send(report_fd, frames.REJECTED, kind + inner[: frames.MAX_PAYLOAD_BYTES - 1])


def _entries(folder: bytes, left: list[int]) -> list[tuple[bytes, int]]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            left[1] -= 1
            if left[1] < 0:
                raise Full("files")
            found.append((entry.name, entry.stat(follow_symlinks=False).st_mode))
    found.sort()
    return found


def _open_mode(path: bytes, mode: int, needed: int) -> None:
    if mode & needed != needed:
        os.chmod(path, stat.S_IMODE(mode) | needed)


def _send_file(path: bytes, inner: bytes, report_fd: int, left: list[int]) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        executable = os.fstat(fd).st_mode & 0o100
        frames.send(report_fd, frames.FILE, (b"x" if executable else b"-") + inner)
        while piece := os.read(fd, _PIECE_BYTES):
            left[0] -= len(piece)
            if left[0] < 0:
                raise Full("output")
            frames.send(report_fd, frames.DATA, piece)
    finally:
        os.close(fd)
