"""`.ci/run`: gets what it can, says what it could not, and ends as the tests end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_ci(tmp_path: Path, *, lab_code: int, apt: str | None) -> subprocess.CompletedProcess[str]:
    checkout = tmp_path / "checkout"
    (checkout / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", checkout / ".ci/run")
    (checkout / "lab").write_text(f'#!/bin/sh\necho "lab $*"\nexit {lab_code}\n')
    (checkout / "lab").chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "sh", "dirname", "git", "timeout", "env"):
        (tools / name).symlink_to(str(shutil.which(name)))
    if apt is not None:
        (tools / "apt-get").write_text(f"#!/bin/sh\n{apt}\n")
        (tools / "apt-get").chmod(0o755)
    return subprocess.run(
        [checkout / ".ci/run"], env={"PATH": str(tools)}, capture_output=True, text=True, check=False, cwd=tmp_path
    )


@pytest.mark.parametrize("code", [0, 1])
def test_ci_ends_as_the_tests_end(tmp_path: Path, code: int) -> None:
    """A22, P2: the same recipe as by hand, and its exit code."""
    done = run_ci(tmp_path, lab_code=code, apt="exit 0")
    assert done.returncode == code
    assert done.stdout.splitlines()[-1] == "lab ci"


@pytest.mark.parametrize("apt", ["exit 100", None])
def test_ci_goes_on_aloud_without_apt(tmp_path: Path, apt: str | None) -> None:
    done = run_ci(tmp_path, lab_code=0, apt=apt)
    assert done.returncode == 0
    assert "ci: WARNING" in done.stderr
    assert "bwrap" in done.stderr


def test_ci_installs_what_is_missing_as_root_only(tmp_path: Path) -> None:
    done = run_ci(tmp_path, lab_code=0, apt=f'echo "$@" >> {tmp_path}/asked')
    asked = (tmp_path / "asked").read_text() if (tmp_path / "asked").exists() else ""
    assert ("bubblewrap" in asked) == (os.geteuid() == 0)
    assert ("WARNING" in done.stderr) == (os.geteuid() != 0)
