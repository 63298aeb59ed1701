from __future__ import annotations

import os
import shutil

import pytest

from tests.helpers import Lab, fill, make_files
from timelab.store import writer
from timelab.store.layout import quarantine_folder
from timelab.store.restore import Restored, restore_folders


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


@pytest.mark.parametrize("damage", ["changed", "missing", "mode", "link", "folder", "link above", "all is a file"])
def test_what_differs_is_moved_away_and_restored(lab: Lab, damage: str) -> None:
    run = lab.record(0)
    before = snapshot(lab)
    assert run.folder is not None
    path = run.folder / "output/answer.json"
    if damage == "changed":
        path.write_bytes(b"{}")
    elif damage == "missing":
        path.unlink()
    elif damage == "mode":
        path.chmod(0o755)
    elif damage == "link":
        path.unlink()
        path.symlink_to("../run.json")
    elif damage == "folder":
        path.unlink()
        fill(path, {"mine": b"mine"})
    elif damage == "link above":
        path.parent.rename(lab.root / "kept")
        path.parent.symlink_to(lab.root / "kept")
    else:
        shutil.rmtree(run.folder)
        run.folder.write_bytes(b"mine")
    done = restore_folders(lab.repo)
    assert (len(done.folders), len(done.moved), done.refused) == (1, 0 if damage == "missing" else 1, ())
    assert snapshot(lab) == before
    assert all(os.path.lexists(path) and path.is_relative_to(quarantine_folder(lab.repo)) for path in done.moved)
    assert restore_folders(lab.repo) == Restored()


@pytest.mark.parametrize("is_tracked", [True, False])
def test_what_somebody_put_into_a_run_folder_stays(lab: Lab, is_tracked: bool) -> None:
    """A file beside the record's, committed or not, is the user's: repair leaves it and writes back the rest."""
    run = lab.record(0)
    assert run.folder is not None
    fill(run.folder, {"notes.md": b"what I think of it\n", "output/mine/more.txt": b"more\n"})
    if is_tracked:
        lab.git("add", "-f", "--", str(run.folder / "notes.md"))
        lab.git("commit", "-q", "-m", "my notes")
    before = snapshot(lab)
    assert restore_folders(lab.repo) == Restored()
    (run.folder / "output/answer.json").unlink()
    done = restore_folders(lab.repo)
    assert (len(done.folders), done.moved, done.refused) == (1, (), ())
    assert snapshot(lab) == before


def test_a_tracked_file_that_differs_is_left_and_said(lab: Lab) -> None:
    run = lab.record(0)
    assert run.folder is not None
    path = run.folder / "output/answer.json"
    path.write_bytes(b"{}")
    lab.git("add", "-f", "--", str(path))
    (run.folder / "logs/stdout.txt").unlink()
    done = restore_folders(lab.repo)
    assert (len(done.folders), done.moved) == (1, ())
    assert done.refused == (f"{path.relative_to(lab.root)}: differs from the chain, and git tracks it",)
    assert path.read_bytes() == b"{}"
    assert (run.folder / "logs/stdout.txt").read_bytes() == make_files(0)["logs/stdout.txt"]


def test_a_folder_behind_a_link_is_refused(lab: Lab) -> None:
    run = lab.record(0)
    (lab.root / "2026").rename(lab.root / "elsewhere")
    (lab.root / "2026").symlink_to("elsewhere")
    done = restore_folders(lab.repo)
    assert (done.folders, done.moved) == ((), ())
    assert "2026 is a link" in done.refused[0]
    assert len(list(lab.root.glob(f"elsewhere/*/*/*/*/*{run.run_id[:8]}/run.json"))) == 1


def test_what_cannot_be_restored_is_said(lab: Lab) -> None:
    run = lab.record(0)
    shutil.rmtree(lab.root / "2026")
    (lab.root / "2026").write_text("mine")
    done = restore_folders(lab.repo)
    assert done.folders == ()
    assert run.run_id[:8] in done.refused[0]
    assert (lab.root / "2026").read_text() == "mine"
