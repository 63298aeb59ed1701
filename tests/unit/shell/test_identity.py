from __future__ import annotations

import os
from pathlib import Path

from timelab.shell.identity import choose_task_uid, count_own_threads, open_to_others


def test_root_gets_an_id_that_nobody_has_and_others_keep_theirs() -> None:
    """A191: process limits do not bind root, and root's files must not be the task's."""
    uid = choose_task_uid()
    if os.geteuid() == 0:
        assert uid == -1 or uid >= 40_000
    else:
        assert uid == -1


def test_own_threads_are_counted() -> None:
    assert count_own_threads() >= 1


def test_a_folder_is_opened_for_reading_only(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir(mode=0o700)
    (folder / "file").write_text("x")
    (folder / "file").chmod(0o600)
    (folder / "link").symlink_to("/etc/shadow")
    open_to_others(folder)
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "file").stat().st_mode & 0o777 == 0o644
