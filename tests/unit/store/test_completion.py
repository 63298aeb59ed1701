from __future__ import annotations

import pytest

from tests.helpers import Lab
from timelab.store import csvlog
from timelab.store.reader import runs


def test_a_projection_that_fails_does_not_take_the_record_down(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csvlog, "update", full)
    run = lab.record(0)
    assert [item.run_id for item in runs(lab.repo)] == [run.run_id]
    assert "could not be written" in caplog.text
    assert list((lab.repo.timelab_dir / "journal").iterdir()) == []


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
