from __future__ import annotations

import pytest

from tests.helpers import Lab, projections
from timelab.git import notes
from timelab.git.refs import store_lock
from timelab.manifest import Status
from timelab.store import writer
from timelab.store.recover import refresh, reindex


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
