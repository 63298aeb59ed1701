from __future__ import annotations

from pathlib import Path

import pytest

from timelab.shell.inside import frames
from timelab.shell.receive import Log, Receiver


def frame(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


def test_files_arrive_in_pieces_of_any_size(tmp_path: Path) -> None:
    stream = (
        frame(frames.BEGUN, b"") + frame(frames.FILE, b"xa/b") + frame(frames.DATA, b"12") + frame(frames.DATA, b"3")
    )
    stream += frame(frames.FILE, b"-c") + frame(frames.RESULT, b"status=0 left_over=2")
    for size in (1, 2, 7, 1000):
        folder = tmp_path / str(size)
        folder.mkdir()
        receiver = Receiver(folder)
        for at in range(0, len(stream), size):
            receiver.feed(stream[at : at + size])
        assert receiver.has_begun
        assert receiver.result == {"status": 0, "left_over": 2}
        assert (folder / "a/b").read_bytes() == b"123"
        assert (folder / "a/b").stat().st_mode & 0o777 == 0o755
        assert (folder / "c").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../x", ".git/config", "a\nb", "a//b", "nul"])
def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    receiver = Receiver(folder)
    receiver.feed(frame(frames.FILE, b"-" + path.encode()) + frame(frames.DATA, b"x"))
    assert [item.kind for item in receiver.rejected] == ["name"]
    assert list(tmp_path.rglob("*")) == [folder]


def test_a_frame_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OverflowError):
        Receiver(tmp_path).feed(b"D\xff\xff\xff\xff")


def test_forget_files_empties_the_folder(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path)
    receiver.feed(frame(frames.FILE, b"-a/b") + frame(frames.FILE, b"-c"))
    receiver.close()
    receiver.forget_files()
    assert list(tmp_path.iterdir()) == []


def test_a_log_is_cut_at_its_cap_and_says_so(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 5)
    for piece in (b"123", b"456", b"789"):
        log.feed(piece)
    log.close()
    log.close()
    assert log.is_cut
    assert (tmp_path / "log").read_bytes() == b"12345\n[timelab: cut after 5 bytes]\n"


def test_a_log_of_exactly_its_cap_is_whole(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 5)
    log.feed(b"12345")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"12345"
