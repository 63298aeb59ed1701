from __future__ import annotations

import errno
import os

import pytest

from tests.helpers import Lab
from timelab.errors import StoreError
from timelab.store import csvlog
from timelab.store.reader import runs
from timelab.store.recover import announce_run, heal, reindex


def test_a_projection_that_fails_does_not_take_the_record_down(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def shut(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(csvlog, "update", shut)
    run = lab.record(0)
    assert [item.run_id for item in runs(lab.repo)] == [run.run_id]
    assert "could not be written" in caplog.text
    assert list((lab.repo.timelab_dir / "journal").iterdir()) == []


@pytest.mark.parametrize("where", ["csvlog.update", "folders.place"])
def test_a_full_disk_leaves_the_rest_to_the_next_command(lab: Lab, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """K8: what a permission forbids is given up, but room comes back."""
    with monkeypatch.context() as patch:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(f"timelab.store.completion.{where}", full)
        with pytest.raises(StoreError, match="No space"):
            lab.record(0)
    assert len(heal(lab.repo).finished) == 1
    (run,) = runs(lab.repo)
    assert run.folder is not None
    assert (run.folder / "run.json").read_bytes() == run.manifest_bytes
    assert run.run_id in (lab.root / "2026/11/20/runs.csv").read_text()


def test_a_linked_work_tree_gets_the_folders_of_its_own_runs(lab: Lab) -> None:
    from timelab.git.repo import discover

    other = lab.root.parent / "linked"
    lab.git("worktree", "add", "-q", "--detach", str(other))
    linked = Lab(discover(other), lab.git_sha, lab.spec_blob)
    run = linked.record(0)
    assert run.folder is not None
    assert run.folder.is_relative_to(other)
    assert run.folder.is_dir()
    assert not (lab.root / "2026").exists()
    assert [item.run_id for item in runs(lab.repo)] == [run.run_id]
    assert "runs.csv" not in linked.git("status", "--porcelain", "-uall")


@pytest.mark.parametrize("at_once", [True, False])
def test_each_work_trees_runs_csv_has_the_runs_of_all(lab: Lab, at_once: bool) -> None:
    """A79: what a runs.csv says follows from the chains, not from where runs were recorded before."""
    from timelab.git.repo import discover

    other = lab.root.parent / "linked"
    lab.git("worktree", "add", "-q", "--detach", str(other))
    linked = Lab(discover(other), lab.git_sha, lab.spec_blob)
    lab.record(0)
    linked.record(1)
    if at_once:
        for each, number in ((lab, 2), (linked, 3)):
            manifest, staging = each.stage(number)
            (staging / "run.json").write_bytes(manifest.to_bytes())
            announce_run(each.repo, staging, manifest.run_id)
        heal(lab.repo)
    else:
        linked.record(2)
        lab.record(3)
    sheet = (lab.root / "2026/11/20/runs.csv").read_bytes()
    assert len(sheet.splitlines()) == 5
    assert ((other / "2026/11/20/runs.csv").read_bytes() == sheet) is at_once
    linked.record(4)
    assert len((other / "2026/11/20/runs.csv").read_bytes().splitlines()) == 6
    before = (other / "2026/11/20/runs.csv").read_bytes()
    reindex(linked.repo)
    assert (other / "2026/11/20/runs.csv").read_bytes() == before


def test_a_link_on_the_way_costs_the_folder_and_not_the_record(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """A tracked link may lead into the git dir: nothing is written through it, and the chain holds the run."""
    (lab.root / "2026/11").mkdir(parents=True)
    (lab.root / "2026/11/20").symlink_to("../../.git")
    before = sorted(path.name for path in lab.repo.common_dir.iterdir())
    run = lab.record(0)
    assert [item.run_id for item in runs(lab.repo)] == [run.run_id]
    assert set(before) ^ {path.name for path in lab.repo.common_dir.iterdir()} <= {"refs", "objects", "timelab"}
    assert f"no folder for run {run.run_id[:8]}: 2026/11/20/" in caplog.text
    assert "2026/11/20 is a link; the record is whole without its folder" in caplog.text
