"""A full disk: one clear line, exit 70, nothing half; when there is room again the next command does the rest."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import wreck
from tests.lab import Lab, Said, make_lab
from tests.wreck import BUSY

SIZE_KIB = 24 << 10
LEVELS_KIB = (0, 60, 92)
ALL_LEVELS_KIB = tuple(range(0, 132, 4))
"""How much is free when a run starts: less than its trace needs, up to enough for all."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_KIB}k", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip("needs root that may mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def lab(disk: Path) -> Lab:
    lab = make_lab(disk / "repo")
    lab.commit({"specs/a.yaml": BUSY.format(number=0)})
    return lab


def fill(disk: Path, left_kib: int) -> Path:
    """Fills the disk up to so many KiB."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        try:
            while stream.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
        stream.truncate(max(0, stream.tell() - (left_kib << 10)) // 4096 * 4096)
    return ballast


def assert_one_line(said: Said) -> None:
    """What went wrong is said in one line and perhaps a hint, without a trace of Python."""
    lines = said.err.splitlines()
    assert 1 <= len([line for line in lines if not line.startswith("hint: ")]) <= 1, said.err
    assert "a bug in timelab" not in said.err


def runs_of(lab: Lab) -> int:
    return len(list(wreck.runs(wreck.repo_of(lab))))


def run_at_levels(lab: Lab, disk: Path, levels: tuple[int, ...]) -> None:
    """Starts a run at each level; it is recorded whole in the end, or was not begun, or is reported."""
    repo = wreck.repo_of(lab)
    for level in levels:
        mine, before = wreck.mine(lab), runs_of(lab)
        ballast = fill(disk, level)
        said = lab.timelab("run", "specs/a.yaml", code=None)
        ballast.unlink()
        assert said.code in (0, 70), said
        if said.code:
            assert_one_line(said)
        traces = wreck.traces(lab, repo)
        lab.timelab("work")
        wreck.assert_nothing_lost(lab, repo, traces)
        wreck.assert_whole(lab, repo)
        assert said.code == 70 or runs_of(lab) == before + 1
        assert wreck.mine(lab) == mine
    wreck.assert_derived(lab, repo)
    lab.timelab("verify")


def test_a_run_on_a_full_disk_is_whole_or_not_there(lab: Lab, disk: Path) -> None:
    """K8."""
    run_at_levels(lab, disk, LEVELS_KIB)


@pytest.mark.slow
def test_a_run_at_every_level_of_a_full_disk_is_whole_or_not_there(lab: Lab, disk: Path) -> None:
    """K8."""
    run_at_levels(lab, disk, ALL_LEVELS_KIB)


def test_a_queued_spec_waits_for_room(lab: Lab, disk: Path) -> None:
    """Design 3: a worker that cannot write gives the job back, however often; with room the next one does it, once."""
    command = lab.git("config", "timelab.command")
    lab.git("config", "timelab.command", "/bin/true")
    commit = lab.commit({"specs/a.yaml": BUSY.format(number=1), "specs/b.yaml": BUSY.format(number=2)}, wait=False)
    lab.git("config", "timelab.command", command)
    for level in (0, 28, 28, 60):
        ballast = fill(disk, level)
        said = lab.timelab("work", "--wait", code=70)
        ballast.unlink()
        assert "a bug in timelab" not in said.err and said.err
        assert "1 queued" in lab.timelab("doctor", code=None).out
    lab.timelab("work")
    assert [line["status"] for line in lab.note(commit)] == ["ok", "ok"]
    assert json.loads(lab.timelab("status", "--json").out)["jobs"] == []
    wreck.assert_whole(lab, wreck.repo_of(lab))
