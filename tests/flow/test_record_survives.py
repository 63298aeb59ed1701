"""What people do to history does not cost them a record, and nothing runs twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.lab import ASK, HELLO, Lab, make_lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Returns a user's repository with timelab set up."""
    return make_lab(tmp_path / "repo")


def shown_by_blob(lab: Lab, path: str) -> list[str]:
    """Returns the run ids that `git notes show HEAD:path` prints."""
    return [record["run_id"] for record in lab.note(f"HEAD:{path}")]


def test_amend_carries_the_record_and_says_so(lab: Lab) -> None:
    """T5, design 1: the note is carried to the new commit by an entry of its own; the same spec does not run again."""
    first = lab.commit({"specs/hello.yaml": HELLO})
    (run,) = lab.log()
    lab.git("commit", "-q", "--amend", "-m", "better words")
    amended = lab.git("rev-parse", "HEAD")
    assert amended != first
    assert [record["run_id"] for record in lab.note()] == [run["run_id"]]
    assert shown_by_blob(lab, "specs/hello.yaml") == [run["run_id"]]
    assert len(lab.log()) == 1
    assert lab.timelab("verify").code == 0


def test_amending_the_spec_itself_runs_the_new_version(lab: Lab) -> None:
    """Design 3: a new closure is a new run; the old one keeps its record."""
    lab.commit({"specs/hello.yaml": HELLO})
    lab.write({"specs/hello.yaml": HELLO.replace("hello >", "hallo >")})
    lab.git("commit", "-q", "-a", "--amend", "--no-edit")
    assert len(lab.log()) == 2
    assert len({row["closure_sha256"] for row in lab.log()}) == 2


def test_rebase_of_ten_commits_runs_nothing_twice(lab: Lab) -> None:
    """T7: post-commit fires for each pick; the records are carried and nothing runs."""
    base = lab.git("rev-parse", "HEAD")
    for number in range(10):
        lab.commit({f"specs/s{number}.yaml": HELLO.replace("hello", f"hello{number}")})
    before = {row["run_id"] for row in lab.log()}
    assert len(before) == 10
    lab.git("switch", "-q", "-c", "other", base)
    lab.commit({"other.txt": "something else\n"})
    lab.git("switch", "-q", "main")
    lab.git("rebase", "-q", "other")
    assert {row["run_id"] for row in lab.log()} == before
    for number in range(10):
        commit = lab.git("rev-parse", f"HEAD~{9 - number}")
        assert len(lab.note(commit)) == 1, number
        assert len(shown_by_blob(lab, f"specs/s{number}.yaml")) == 1
    assert lab.timelab("verify").code == 0


def test_squash_merge_keeps_the_records_on_the_blobs_and_runs_nothing(lab: Lab) -> None:
    """Design 3: a second arrival says that it ran before."""
    lab.git("switch", "-q", "-c", "topic")
    lab.commit({"specs/a.yaml": HELLO})
    lab.commit({"specs/b.yaml": HELLO.replace("hello", "hi")})
    lab.git("switch", "-q", "main")
    lab.git("merge", "-q", "--squash", "topic")
    lab.git("commit", "-q", "-m", "squashed")
    assert len(lab.log()) == 2
    assert len(shown_by_blob(lab, "specs/a.yaml")) == len(shown_by_blob(lab, "specs/b.yaml")) == 1


def test_cherry_pick_of_ones_own_commit_runs_nothing(lab: Lab) -> None:
    """Design 3: the blob's note is there on the other branch too."""
    base = lab.git("rev-parse", "HEAD")
    commit = lab.commit({"specs/a.yaml": HELLO})
    lab.git("switch", "-q", "-c", "other", base)
    lab.commit({"x.txt": "x\n"})
    lab.git("cherry-pick", commit)
    lab.timelab("run", "--pending")
    assert len(lab.log()) == 1
    assert len(shown_by_blob(lab, "specs/a.yaml")) == 1


def test_git_mv_of_a_spec_runs_nothing_and_log_follows_it(lab: Lab) -> None:
    """Design 3: a rename says `ran before`; `timelab log` lists every version of the path."""
    lab.commit({"specs/a.yaml": HELLO})
    lab.git("mv", "specs/a.yaml", "specs/b.yaml")
    lab.git("commit", "-q", "-m", "move")
    assert len(lab.log()) == 1
    lab.commit({"specs/b.yaml": HELLO.replace("hello >", "hallo >")})
    versions = json.loads(lab.timelab("log", "specs/b.yaml", "--json").out)
    assert [version["path"] for version in versions] == ["specs/b.yaml", "specs/b.yaml", "specs/a.yaml"]
    assert sum(len(version["runs"]) for version in versions) == 2
    assert any("argv" in change for change in versions[0]["changes"])


def test_a_copy_whose_source_stays_is_a_new_spec_and_runs(lab: Lab) -> None:
    """Design 3."""
    lab.commit({"specs/a.yaml": HELLO})
    lab.commit({"specs/copy.yaml": HELLO})
    assert len(lab.log()) == 2


def test_a_revert_and_its_revert_run_nothing(lab: Lab) -> None:
    """Design 3: a version that comes back ran before."""
    lab.commit({"specs/a.yaml": HELLO})
    lab.git("revert", "--no-edit", "HEAD")
    lab.git("revert", "--no-edit", "HEAD")
    lab.timelab("run", "--pending")
    assert len(lab.log()) == 1


def test_gc_keeps_what_a_person_amended_away(lab: Lab) -> None:
    """Design 1: `refs/timelab/keep` saves the asking commit; a record without its commit could not be replayed."""
    commit = lab.commit({"specs/a.yaml": HELLO})
    lab.git("reset", "-q", "--hard", "HEAD~1")
    lab.git("reflog", "expire", "--expire=now", "--all")
    lab.git("gc", "-q", "--prune=now")
    assert lab.git("cat-file", "-t", commit) == "commit"
    assert lab.timelab("verify").code == 0
    assert "identical" in lab.timelab("replay", "last").out


def test_rm_rf_of_the_dated_folder_is_restored_to_the_byte(lab: Lab) -> None:
    """Design 1: a missing folder is absent, not an error; doctor --repair restores it."""
    lab.commit({"specs/a.yaml": HELLO, "specs/ask.yaml": ASK})
    year = next(path for path in lab.root.iterdir() if path.name.isdigit())
    before = {p.relative_to(lab.root): p.read_bytes() for p in year.rglob("*") if p.is_file()}
    shutil.rmtree(year)
    assert lab.timelab("verify").code == 0
    lab.timelab("doctor", "--repair")
    after = {p.relative_to(lab.root): p.read_bytes() for p in year.rglob("*") if p.is_file()}
    assert after == before
    assert lab.timelab("verify").code == 0


def test_a_fresh_clone_has_every_record_after_sync(lab: Lab, tmp_path: Path) -> None:
    """T6: git clone brings no notes; timelab sync does, and they verify and show offline."""
    lab.commit({"specs/a.yaml": HELLO, "specs/ask.yaml": ASK})
    lab.git("init", "-q", "--bare", str(tmp_path / "hub.git"), cwd=tmp_path)
    lab.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    lab.git("push", "-q", "-u", "origin", "main")
    lab.timelab("sync")
    lab.git("clone", "-q", str(tmp_path / "hub.git"), str(tmp_path / "clone"), cwd=tmp_path)
    clone = Lab(tmp_path / "clone")
    clone.timelab("sync")
    assert {row["run_id"] for row in clone.log()} == {row["run_id"] for row in lab.log()}
    assert clone.timelab("verify").code == 0
    notes = clone.git("notes", "--ref", "timelab", "show").splitlines()
    assert notes == lab.git("notes", "show").splitlines()
    clone.timelab("doctor", "--repair")
    for row in clone.log():
        assert (clone.folder(row) / "run.json").read_bytes() == (lab.folder(row) / "run.json").read_bytes()


def test_a_mirror_verifies_without_a_work_tree(lab: Lab, tmp_path: Path) -> None:
    """Design 7: a bare clone that has the chains verifies every run."""
    lab.commit({"specs/a.yaml": HELLO})
    lab.git("clone", "-q", "--mirror", str(lab.root), str(tmp_path / "mirror.git"), cwd=tmp_path)
    mirror = Lab(tmp_path / "mirror.git")
    assert mirror.timelab("verify").code == 0
    assert len(mirror.log()) == 1


def test_a_linked_worktree_runs_in_its_own_folder(lab: Lab, tmp_path: Path) -> None:
    """Design 1: one chain in the common git dir; the folder lies in the work tree of the commit."""
    lab.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Lab(tmp_path / "side")
    side.commit({"specs/a.yaml": HELLO})
    (row,) = side.log()
    assert (side.root / row["artifacts_path"] / "run.json").is_file()
    assert not (lab.root / row["artifacts_path"]).exists()
    assert lab.log() == [row]
