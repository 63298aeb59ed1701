"""How the sandbox reports to its parent: frames of one kind byte, a length and a payload, over one pipe."""

from __future__ import annotations

import os

BEGUN = b"B"  # the walls stand, the task starts now
SETUP_FAILED = b"X"  # the walls could not be built: text
START_FAILED = b"E"  # the command could not be started: text
FILE = b"F"  # a kept file begins: b"x" or b"-" for executable, then its path
DATA = b"D"  # the next bytes of that file
REJECTED = b"N"  # an entry that is not kept: one byte of kind (below), then its path
RESULT = b"R"  # the end: `name=value` pairs of integers, separated by blanks

LINK, SPECIAL = b"l", b"s"
OVERFLOWS = ("", "output", "files", "tmp", "memory", "cpu")
HEADER_BYTES = 5
MAX_PAYLOAD_BYTES = 1 << 20


def send(fd: int, kind: bytes, payload: bytes = b"") -> None:
    """Writes one frame whole."""
    view = memoryview(kind + len(payload).to_bytes(4, "big") + payload)
    while view:
        view = view[os.write(fd, view) :]


def split(buffer: bytearray) -> list[tuple[bytes, bytes]]:
    """Takes the whole frames off the front of `buffer` and returns them.

    Raises:
        OverflowError: a frame says that it is longer than any that `send` is given; the other side is not ours.
    """
    found, at = [], 0
    while len(buffer) - at >= HEADER_BYTES:
        size = int.from_bytes(buffer[at + 1 : at + HEADER_BYTES], "big")
        if size > MAX_PAYLOAD_BYTES:
            raise OverflowError("frame too long")
        if len(buffer) - at < HEADER_BYTES + size:
            break
        found.append((bytes(buffer[at : at + 1]), bytes(buffer[at + HEADER_BYTES : at + HEADER_BYTES + size])))
        at += HEADER_BYTES + size
    del buffer[:at]
    return found
