from __future__ import annotations

import shutil

import pytest

from tests.helpers import Lab, projections
from timelab.git import notes
from timelab.git.refs import store_lock
from timelab.manifest import Status
from timelab.store import writer
from timelab.store.recover import refresh, reindex, restore_folders


def make_history(lab: Lab) -> None:
    for number in (3, 0, 86_400, 7):
        lab.record(number, status=Status.FAILED if number == 7 else Status.OK)
    writer.commit_many(lab.repo, [lab.make(number) for number in range(20, 30)])
    new = lab.commit_file("more.txt")
    writer.carry(lab.repo, lab.git_sha, new)
    writer.forget(lab.repo, lab.record(11))
    lab.record(12, git_sha=new)


@pytest.mark.parametrize("how", [reindex, refresh])
def test_a_rebuilt_projection_equals_the_old_one(lab: Lab, how) -> None:  # type: ignore[no-untyped-def]
    """B5, A79: index, runs.csv, README, latest and notes, byte for byte."""
    make_history(lab)
    before = projections(lab)
    assert how(lab.repo) == 15
    assert projections(lab) == before


def test_projections_can_all_be_deleted(lab: Lab) -> None:
    make_history(lab)
    before = projections(lab)
    for path in (*lab.root.glob("*/*/*/runs.csv"), *lab.root.glob("*/*/*/README.md"), lab.root / "latest"):
        path.unlink()
    lab.git("update-ref", "-d", notes.NOTES)
    reindex(lab.repo)
    assert projections(lab) == before


def test_a_lost_note_line_comes_back_and_a_foreign_one_stays(lab: Lab) -> None:
    run = lab.record(0)
    with store_lock(lab.repo):
        notes.remove_lines(lab.repo, [(lab.git_sha, run.manifest_bytes)])
        notes.add_lines(lab.repo, [(lab.git_sha, b"reviewed by Ada")])
    reindex(lab.repo)
    assert notes.read_note(lab.repo, lab.git_sha) == run.manifest_bytes + b"reviewed by Ada\n"


def test_missing_folders_come_back_to_the_byte(lab: Lab) -> None:
    """A81: `rm -rf` of the dated folder is healed from the chain."""
    files = {**lab.make(0)[1], "output/sub/ü x.sh": b"#!/bin/sh\n"}
    manifest, staging = lab.stage(0, files=files)
    (staging / "output/sub/ü x.sh").chmod(0o755)
    writer.commit(lab.repo, manifest, staging)
    lab.record(1)
    before = snapshot(lab)
    shutil.rmtree(lab.root / "2026")
    done = restore_folders(lab.repo)
    assert (len(done.folders), done.moved, done.refused) == (2, (), ())
    assert snapshot(lab) == before
    assert restore_folders(lab.repo).folders == ()


def snapshot(lab: Lab) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(lab.root).as_posix(): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in (lab.root / "2026").rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "mode", "link"])
def test_a_folder_that_differs_is_moved_away_and_restored(lab: Lab, damage: str) -> None:
    run = lab.record(0)
    before = snapshot(lab)
    assert run.folder is not None
    path = run.folder / "output/answer.json"
    if damage == "changed":
        path.write_bytes(b"{}")
    elif damage == "missing":
        path.unlink()
    elif damage == "added":
        (run.folder / "output/more").write_bytes(b"")
    elif damage == "mode":
        path.chmod(0o755)
    else:
        path.unlink()
        path.symlink_to("../run.json")
    done = restore_folders(lab.repo)
    assert len(done.folders) == len(done.moved) == 1
    assert snapshot(lab) == before
    assert done.moved[0].is_dir()


def test_what_cannot_be_restored_is_said(lab: Lab) -> None:
    run = lab.record(0)
    shutil.rmtree(lab.root / "2026")
    (lab.root / "2026").write_text("mine")
    done = restore_folders(lab.repo)
    assert done.folders == ()
    assert run.run_id[:8] in done.refused[0]
    assert (lab.root / "2026").read_text() == "mine"
