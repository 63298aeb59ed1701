"""What stands half done, read without a lock."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.helpers import Lab, make_lab
from timelab.atomic import process_start
from timelab.store.liveness import hold, release
from timelab.store.standing import running, set_aside, unfinished


@pytest.fixture
def lab(repo: Path) -> Lab:
    return make_lab(repo)


def stage(lab: Lab, run_id: str, owner: object) -> None:
    folder = lab.repo.timelab_dir / "staging" / run_id
    folder.mkdir(parents=True)
    (folder / "running.json").write_text(owner if isinstance(owner, str) else json.dumps(owner))


def test_nothing_stands_in_a_new_repository(lab: Lab) -> None:
    assert (running(lab.repo), unfinished(lab.repo), set_aside(lab.repo)) == ([], [], [])


def test_a_living_process_is_running_and_a_dead_one_was_cut_off(lab: Lab) -> None:
    """A75: a crash leaves a trace; a process id that was given again to somebody else does not hide it."""
    stage(lab, "a" * 64, {"pid": 2**22 + 1, "pid_start": "one that another container numbers"})
    stage(lab, "b" * 64, {"pid": os.getpid(), "pid_start": process_start(os.getpid())})
    stage(lab, "c" * 64, "{torn")
    held = lab.repo.timelab_dir / "staging" / ("a" * 64)
    hold(held)
    assert running(lab.repo) == ["a" * 64]
    assert unfinished(lab.repo) == [sign * 64 for sign in "bc"]
    release(held)
    assert running(lab.repo) == []


def test_a_recorded_run_leaves_nothing(lab: Lab) -> None:
    lab.record(0)
    assert (running(lab.repo), unfinished(lab.repo)) == ([], [])
