from __future__ import annotations

import os
import threading

import pytest

from timelab.shell.inside import frames


def test_frames_survive_a_pipe() -> None:
    reader, writer = os.pipe()
    payload = bytes(range(256)) * 4096

    def send() -> None:
        frames.send(writer, frames.BEGUN)
        frames.send(writer, frames.DATA, payload)
        os.close(writer)

    sender = threading.Thread(target=send)
    sender.start()
    buffer, found = bytearray(), []
    while piece := os.read(reader, 1000):
        buffer += piece
        found += frames.split(buffer)
    sender.join()
    os.close(reader)
    assert found == [(frames.BEGUN, b""), (frames.DATA, payload)]
    assert not buffer


def test_a_frame_of_absurd_length_is_refused() -> None:
    with pytest.raises(OverflowError):
        frames.split(bytearray(b"D\x7f\xff\xff\xff"))
