from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from timelab.shell.inside import collect, frames


def collected(folder: Path, max_bytes: int = 1 << 20, max_files: int = 100) -> list[tuple[bytes, bytes]]:
    reader, writer = os.pipe()
    buffer = bytearray()

    def read() -> None:
        while piece := os.read(reader, 1 << 16):
            buffer.extend(piece)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        collect.send_folder(str(folder), writer, max_bytes=max_bytes, max_files=max_files)
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
    return frames.split(buffer)


def test_files_come_in_order_of_name(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("2")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x").write_text("1")
    (tmp_path / "a/x").chmod(0o700)
    assert collected(tmp_path) == [
        (frames.FILE, b"xa/x"),
        (frames.DATA, b"1"),
        (frames.FILE, b"-b"),
        (frames.DATA, b"2"),
    ]


def test_links_and_fifos_are_named(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "p")
    assert collected(tmp_path) == [(frames.REJECTED, b"ll"), (frames.REJECTED, b"sp")]


def test_shut_folders_and_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "d/f").chmod(0)
    (tmp_path / "d").chmod(0)
    assert collected(tmp_path) == [(frames.FILE, b"-d/f"), (frames.DATA, b"x")]


def test_hard_links_count_each_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(600))
    os.link(tmp_path / "a", tmp_path / "b")
    with pytest.raises(collect.Full, match="output"):
        collected(tmp_path, max_bytes=1000)


def test_entries_are_counted_in_all_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").touch()
    with pytest.raises(collect.Full, match="files"):
        collected(tmp_path, max_files=3)
    assert len(collected(tmp_path, max_files=4)) == 2


def test_folders_nest_only_so_deep(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(70):
        deep = deep / "d"
    deep.mkdir(parents=True)
    kinds = [kind for kind, _ in collected(tmp_path)]
    assert kinds == [frames.REJECTED]
