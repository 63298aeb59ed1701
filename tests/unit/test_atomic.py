"""timelab/atomic.py: files whole or absent, one holder of a lock, and who lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from timelab.atomic import file_lock, process_start, write_atomic
from timelab.errors import StoreError

COUNT = """
import sys
from pathlib import Path
from timelab.atomic import file_lock
path = Path(sys.argv[1])
for _ in range(100):
    with file_lock(path / "lock"):
        number = int((path / "number").read_text())
        (path / "number").write_text(str(number + 1))
"""


def test_a_file_is_replaced_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_symlink_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "link").symlink_to("other")
    write_atomic(tmp_path / "link", b"mine")
    assert (tmp_path / "other").read_bytes() == b"other"
    assert not (tmp_path / "link").is_symlink()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomic(tmp_path / "folder", b"x")
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("is_kept", [True, False])
def test_eight_processes_count_under_the_lock_and_lose_nothing(tmp_path: Path, is_kept: bool) -> None:
    """Also where each removes the file at its end, and who waited for that one takes the next."""
    (tmp_path / "number").write_text("0")
    code = COUNT.replace('"lock")', f'"lock", is_kept={is_kept})')
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(8)]
    assert [child.wait(timeout=120) for child in children] == [0] * 8
    assert (tmp_path / "number").read_text() == "800"
    assert (tmp_path / "lock").exists() == is_kept


def test_waiting_for_a_lock_has_a_bound(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / "lock"),
        pytest.raises(StoreError, match="the lock lock was held"),
        file_lock(tmp_path / "lock", timeout_s=0.05),
    ):
        pass
    with file_lock(tmp_path / "lock", timeout_s=0.05):
        pass


def test_a_process_has_a_start_and_a_dead_one_has_none() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert process_start(child.pid) not in (None, process_start(os.getpid()))
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) is None, "a zombie counts as dead"
    assert process_start(child.pid) is None
    assert process_start(0) is None
