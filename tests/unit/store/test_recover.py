from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import Lab, make_files
from tests.records import loose_path
from timelab.atomic import process_start
from timelab.git.repo import discover
from timelab.store import journal, liveness
from timelab.store.reader import runs
from timelab.store.recover import Report, announce_run, heal


def running(staging: Path, pid: int, start: str | None) -> None:
    trace = {"pid": pid, "pid_start": start, "spec_path": "specs/echo.yaml", "git_sha": "1" * 40}
    (staging / "running.json").write_text(json.dumps(trace))


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_nothing_to_do_is_three_listings(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert heal(lab.repo) == Report()
    lab.record(0)
    monkeypatch.setattr("timelab.git.refs.store_lock", None)
    assert heal(lab.repo) == Report()


def test_a_run_whose_process_died_goes_to_the_quarantine(lab: Lab) -> None:
    """A75: a crash leaves a trace that is reported, and no record."""
    manifest, staging = lab.stage(0)
    running(staging, dead_pid(), "long ago")
    (found,) = heal(lab.repo).abandoned
    assert (found.run_id, found.spec_path, found.git_sha) == (manifest.run_id, "specs/echo.yaml", "1" * 40)
    assert sorted(path.name for path in found.path.iterdir()) == ["input", "logs", "output", "running.json"]
    assert not staging.exists()
    assert list(runs(lab.repo)) == []
    assert heal(lab.repo) == Report()


def test_a_run_whose_process_lives_is_left_alone(lab: Lab) -> None:
    """Whatever its number: a container and its host count differently, and a number is given to others again."""
    _, staging = lab.stage(0)
    running(staging, dead_pid(), "a process of another container")
    liveness.hold(staging)
    assert heal(lab.repo) == Report()
    assert staging.is_dir()
    running(staging, os.getpid(), process_start(os.getpid()))
    liveness.release(staging)
    assert len(heal(lab.repo).abandoned) == 1


def test_what_has_no_name_yet_is_removed_only_while_nobody_makes_any(lab: Lab) -> None:
    draft = lab.repo.timelab_dir / "staging" / f".{'a' * 64}.0a1b2c3d"
    (draft / "input").mkdir(parents=True)
    journal_room = lab.repo.timelab_dir / "journal"
    journal_room.mkdir(parents=True)
    (journal_room / ".0123456789abcdef").write_bytes(b"{")
    with liveness.making(lab.repo):
        heal(lab.repo)
        assert (draft.is_dir(), len(list(journal_room.iterdir()))) == (True, 1)
    heal(lab.repo)
    assert (draft.is_dir(), len(list(journal_room.iterdir()))) == (False, 0)


def test_the_files_of_the_commit_go_with_the_run_that_had_them(lab: Lab) -> None:
    """Design 2: a killed run leaves no scratch folder; that of a run under way, and what is no run's, stays."""
    room = lab.repo.timelab_dir / "scratch"
    for name in ("a" * 64, "b" * 64, "restore-x", "other"):
        (room / name / "src").mkdir(parents=True)
    staging = lab.repo.timelab_dir / "staging" / ("b" * 64)
    staging.mkdir(parents=True)
    running(staging, os.getpid(), process_start(os.getpid()))
    liveness.hold(staging)
    heal(lab.repo)
    liveness.release(staging)
    assert sorted(path.name for path in room.iterdir()) == ["b" * 64, "other"]


def test_a_run_that_is_finished_for_another_work_tree_gets_its_folder_there(lab: Lab, tmp_path: Path) -> None:
    """Design 1: the folder lies in the work tree that the run was started in, whoever heals."""
    lab.git("worktree", "add", "-q", str(tmp_path / "side"))
    side = discover(tmp_path / "side")
    manifest, staging = lab.stage(0)
    place = {"root": str(side.root), "git_dir": str(side.git_dir)}
    (staging / "running.json").write_text(json.dumps({"pid": dead_pid(), "pid_start": "long ago", **place}))
    (staging / "run.json").write_bytes(manifest.to_bytes())
    assert heal(lab.repo).finished == (manifest.run_id,)
    assert [path.name for path in (tmp_path / "side").glob("2026/*/*/ai-team/artifacts/*")] != []
    assert list(lab.root.glob("2026")) == []


def test_new_files_that_never_got_their_name_are_removed(lab: Lab) -> None:
    _, staging = lab.stage(0)
    (lab.repo.timelab_dir / ".0123456789abcdef.tmp").write_bytes(b"half")
    (lab.repo.timelab_dir / ".writer.0123456789ab.tmp").write_bytes(b"somebody's")
    running(staging, dead_pid(), "long ago")
    heal(lab.repo)
    assert [path.name for path in lab.repo.timelab_dir.glob(".*")] == [".writer.0123456789ab.tmp"]


def test_a_whole_staging_folder_of_the_dead_is_recorded(lab: Lab) -> None:
    """B4: run.json is written last, so its presence means complete."""
    manifest, staging = lab.stage(0)
    running(staging, dead_pid(), "long ago")
    (staging / "run.json").write_bytes(manifest.to_bytes())
    report = heal(lab.repo)
    assert report.finished == (manifest.run_id,)
    assert [run.manifest_bytes for run in runs(lab.repo)] == [manifest.to_bytes()]


@pytest.mark.parametrize("damage", ["changed file", "missing file", "cut run.json"])
def test_a_staging_folder_that_its_run_json_does_not_fit_is_set_aside(lab: Lab, damage: str) -> None:
    manifest, staging = lab.stage(0)
    (staging / "run.json").write_bytes(manifest.to_bytes()[: -20 if damage == "cut run.json" else None])
    if damage == "changed file":
        (staging / "output/answer.json").write_bytes(b"other")
    elif damage == "missing file":
        (staging / "output/answer.json").unlink()
    report = heal(lab.repo)
    assert (len(report.finished), len(report.abandoned)) == (0, 1)


def test_whoever_holds_the_lock_finishes_what_others_announced(lab: Lab) -> None:
    manifest, staging = lab.stage(0)
    (staging / "run.json").write_bytes(manifest.to_bytes())
    announce_run(lab.repo, staging, manifest.run_id)
    mine = lab.record(1)
    assert {run.run_id for run in runs(lab.repo)} == {manifest.run_id, mine.run_id}
    assert lab.git("rev-list", "--count", "refs/notes/timelab") == "1"
    assert journal.announced(lab.repo) == []


def test_an_announced_run_is_finished_even_without_its_staging_folder(lab: Lab) -> None:
    manifest, staging = lab.stage(0)
    (staging / "run.json").write_bytes(manifest.to_bytes())
    announce_run(lab.repo, staging, manifest.run_id)
    subprocess.run(["rm", "-rf", str(staging)], check=True)
    assert heal(lab.repo).finished == (manifest.run_id,)
    (run,) = runs(lab.repo)
    assert run.folder is not None
    assert (run.folder / "output/answer.json").read_bytes() == make_files(0)["output/answer.json"]


@pytest.mark.parametrize("left", ["all", "tree only"])
def test_an_announced_run_whose_objects_were_pruned_is_written_again(lab: Lab, left: str) -> None:
    """No ref holds them before the chain does: a gc after a crash takes them, and the staging folder has them still."""
    manifest, staging = lab.stage(0)
    (staging / "run.json").write_bytes(manifest.to_bytes())
    running(staging, dead_pid(), "long ago")
    tree = announce_run(lab.repo, staging, manifest.run_id).tree
    if left == "all":
        lab.git("gc", "--quiet", "--prune=now")
    else:
        loose_path(lab, lab.git("rev-parse", f"{tree}:output/answer.json")).unlink()
    assert heal(replace(lab.repo)).finished == (manifest.run_id,)
    assert lab.git("fsck", "--strict", "--no-dangling") == ""
    (run,) = runs(replace(lab.repo))
    assert run.folder is not None
    assert (run.folder / "output/answer.json").read_bytes() == make_files(0)["output/answer.json"]


@pytest.mark.parametrize("left", ["none", "all but one"])
def test_an_announced_run_whose_objects_and_files_are_gone_is_set_aside(
    lab: Lab, caplog: pytest.LogCaptureFixture, left: str
) -> None:
    manifest, staging = lab.stage(0)
    (staging / "run.json").write_bytes(manifest.to_bytes())
    tree = announce_run(lab.repo, staging, manifest.run_id).tree
    (staging / "output/answer.json").write_bytes(b"other")
    if left == "none":
        lab.git("gc", "--quiet", "--prune=now")
    else:
        loose_path(lab, lab.git("rev-parse", f"{tree}:output/answer.json")).unlink()
    assert heal(replace(lab.repo)).finished == ()
    assert "cannot be recorded" in caplog.text
    assert (lab.repo.timelab_dir / "quarantine" / manifest.run_id).is_dir()


def test_an_announced_run_that_is_none_is_set_aside(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    manifest, staging = lab.stage(0)
    (staging / "run.json").write_bytes(b"nonsense")
    announce_run(lab.repo, staging, manifest.run_id)
    good = lab.record(1)
    assert [run.run_id for run in runs(lab.repo)] == [good.run_id]
    assert "cannot be recorded" in caplog.text
    assert (lab.repo.timelab_dir / "quarantine" / manifest.run_id).is_dir()
