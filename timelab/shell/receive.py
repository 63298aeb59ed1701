"""The parent's ends of the pipes: two logs with a cap, and the frames that bring files and the result."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from timelab.names import path_fault
from timelab.shell.inside import frames
from timelab.shell.task import Rejected, RejectedKind

_KINDS: dict[bytes, RejectedKind] = {frames.LINK: "link", frames.SPECIAL: "special"}
_MAX_REJECTED = 100


class Log:
    """Writes what a pipe brings to a file, up to a cap, and goes on reading so that the task never blocks."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._stream = path.open("wb", buffering=0)
        self._left = max_bytes
        self._max = max_bytes
        self.is_cut = False

    def feed(self, data: bytes) -> None:
        """Takes what came."""
        kept = data[: self._left]
        self._stream.write(kept)
        self._left -= len(kept)
        self.is_cut = self.is_cut or len(kept) < len(data)

    def close(self) -> None:
        """Ends the file, with a line that says so if it was cut."""
        if self.is_cut and not self._stream.closed:
            self._stream.write(f"\n[timelab: cut after {self._max} bytes]\n".encode())
        self._stream.close()


class Receiver:
    """Takes the frames of the process inside and writes the files into `folder`, which must be empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buffer = bytearray()
        self._file: int | None = None
        self.has_begun = False
        self.setup_error: str | None = None
        self.start_error: str | None = None
        self.rejected: list[Rejected] = []
        self.result: dict[str, int] | None = None

    def feed(self, data: bytes) -> None:
        """Takes what came; raises OverflowError or ValueError when that is not of our making."""
        self._buffer += data
        for kind, payload in frames.split(self._buffer):
            self._take(kind, payload)

    def close(self) -> None:
        """Ends the file that is being written."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def forget_files(self) -> None:
        """Empties the folder: of a run that overflowed nothing is kept."""
        for entry in self._folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == frames.DATA:
            if self._file is not None:
                _write_all(self._file, payload)
        elif kind == frames.FILE:
            self.close()
            self._open(payload[1:], executable=payload[:1] == b"x")
        elif kind == frames.REJECTED:
            self._reject(_KINDS[payload[:1]], payload[1:])
        elif kind == frames.BEGUN:
            self.has_begun = True
        elif kind == frames.SETUP_FAILED:
            self.setup_error = payload.decode(errors="replace")
        elif kind == frames.START_FAILED:
            self.start_error = payload.decode(errors="replace")
        elif kind == frames.RESULT:
            self.close()
            self.result = {key: int(value) for key, _, value in (p.partition("=") for p in payload.decode().split())}

    def _open(self, raw: bytes, *, executable: bool) -> None:
        path = os.fsdecode(raw)
        if path_fault(f"output/{path}"):
            self._reject("name", raw)
            return
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(target, flags, 0o755 if executable else 0o644)
        # Not the user's umask: the record must not depend on it.
        os.fchmod(self._file, 0o755 if executable else 0o644)

    def _reject(self, kind: RejectedKind, raw: bytes) -> None:
        if len(self.rejected) < _MAX_REJECTED:
            self.rejected.append(Rejected(kind, os.fsdecode(raw)))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
