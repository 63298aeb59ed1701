from __future__ import annotations

import os
from pathlib import Path

import pytest

from timelab.shell.inside import landlock


def test_a_process_keeps_to_its_rules(tmp_path: Path) -> None:
    """A191: in a child, since there is no way back."""
    if landlock.abi() < landlock.MIN_ABI:
        pytest.skip("needs Landlock: Linux 6.2")
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if os.geteuid() != 0:
                from timelab.shell.inside import kernel

                kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            landlock.restrict([(str(tmp_path / "open"), landlock.READ), ("/no/such/path", landlock.READ)], False)
            assert (tmp_path / "open/file").read_text() == "x"
            try:
                (tmp_path / "shut/file").read_text()
            except PermissionError:
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
