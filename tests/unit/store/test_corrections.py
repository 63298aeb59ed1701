from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import START, Lab
from timelab.atomic import file_lock
from timelab.errors import GitError, UsageError
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


@pytest.fixture
def hub(lab: Lab, tmp_path: Path) -> Path:
    """Returns a bare repository that is the lab's remote and has none of its records."""
    path = tmp_path / "hub.git"
    lab.git("init", "-q", "--bare", str(path))
    lab.git("remote", "add", "origin", str(path))
    return path


@pytest.mark.parametrize("prefix", ["refs/timelab/", "refs/heads/timelab/"])
def test_what_a_remote_has_without_our_knowing_cannot_be_forgotten(lab: Lab, hub: Path, prefix: str) -> None:
    """A push that is cut off after the remote's yes moves no tracking copy."""
    pushed, later = lab.record(0), lab.record(1)
    name = pushed.ref.removeprefix("refs/timelab/")
    lab.git("push", "-q", str(hub), f"{pushed.entry}:{prefix}{name}")
    with pytest.raises(UsageError, match=r"is pushed already \(origin\)"):
        writer.forget(lab.repo, pushed)
    writer.forget(lab.repo, later)


def test_a_remote_that_has_more_of_our_chain_than_we_must_be_synced_first(lab: Lab, hub: Path) -> None:
    run = lab.record(0)
    tree = lab.git("--git-dir", str(hub), "mktree")
    tip = lab.git("--git-dir", str(hub), "commit-tree", "-m", "from a copy", tree)
    lab.git("--git-dir", str(hub), "update-ref", run.ref, tip)
    with pytest.raises(UsageError, match="origin has entries of our chain that are not here") as caught:
        writer.forget(lab.repo, run)
    assert caught.value.hint == "timelab sync origin"


def test_nothing_is_forgotten_while_a_remote_cannot_be_asked(lab: Lab, hub: Path) -> None:
    run = lab.record(0)
    away = hub.rename(hub.with_name("away.git"))
    with pytest.raises(GitError, match="cannot tell whether run") as caught:
        writer.forget(lab.repo, run)
    assert caught.value.hint == "again when it can be reached, or git remote remove origin"
    away.rename(hub)
    writer.forget(lab.repo, run)


def test_nothing_is_forgotten_while_a_sync_runs(lab: Lab) -> None:
    run = lab.record(0)
    with file_lock(lab.repo.timelab_dir / "sync.lock"), pytest.raises(UsageError, match="timelab sync is running"):
        writer.forget(lab.repo, run)
    writer.forget(lab.repo, run)
