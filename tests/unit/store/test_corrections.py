from __future__ import annotations

from tests.helpers import START, Lab
from timelab.git import notes
from timelab.git.refs import read_ref
from timelab.store import corrections, writer


def test_noted_runs_are_those_that_ours_and_not_other_lines_name(lab: Lab) -> None:
    run = lab.record(0)
    lab.git("notes", "--ref", "timelab", "append", "-m", "a remark", lab.git_sha)
    assert corrections.noted_runs(lab.repo, lab.git_sha) == [run.run_id]


def test_entries_after_a_forgotten_one_keep_their_trees_dates_and_words(lab: Lab) -> None:
    gone, kept = lab.record(0), lab.record(1)
    wanted = lab.git("log", "-1", "--format=%T %aI %cI %an %ae %B", kept.entry)
    writer.forget(lab.repo, gone, when=START)
    log = lab.git("log", "--format=%T %aI %cI %an %ae %B", kept.ref)
    assert wanted in log
    assert gone.entry not in lab.git("rev-list", kept.ref)


def test_forgetting_keeps_the_history_of_notes_that_a_remote_has(lab: Lab) -> None:
    first = lab.record(0)
    pushed = read_ref(lab.repo, notes.NOTES)
    assert pushed is not None
    lab.git("update-ref", "refs/timelab/remotes/origin/notes", pushed)
    gone = lab.record(1)
    writer.forget(lab.repo, gone, when=START)
    assert lab.git("rev-list", "--parents", "-1", notes.NOTES).split()[1:] == [pushed]
    assert notes.read_note(lab.repo, lab.git_sha) == first.manifest_bytes
