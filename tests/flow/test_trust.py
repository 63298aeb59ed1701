"""What came from others does not run until this user allows it (design 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import HELLO, Lab, make_lab

EVE = {
    "GIT_AUTHOR_NAME": "Eve",
    "GIT_AUTHOR_EMAIL": "eve@x.invalid",
    "GIT_COMMITTER_NAME": "Eve",
    "GIT_COMMITTER_EMAIL": "eve@x.invalid",
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Returns a user's repository with a remote to which Eve has pushed a spec."""
    lab = make_lab(tmp_path / "mine")
    lab.git("init", "-q", "--bare", str(tmp_path / "hub.git"), cwd=tmp_path)
    lab.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    lab.git("push", "-q", "-u", "origin", "main")
    lab.git("clone", "-q", "-b", "main", str(tmp_path / "hub.git"), str(tmp_path / "eve"), cwd=tmp_path)
    eve = Lab(tmp_path / "eve")
    eve.write({"specs/eve.yaml": HELLO.replace("hello", "eve")})
    eve.git("add", "-A")
    eve.git("commit", "-q", "-m", "eve's spec", **EVE)
    eve.git("push", "-q", "origin", "HEAD:refs/heads/eve")
    lab.git("fetch", "-q", "origin")
    return lab


@pytest.mark.parametrize("way", ["merge", "merge-ff", "rebase", "cherry-pick", "am", "squash"])
def test_a_strangers_spec_is_held_until_allowed(lab: Lab, way: str, tmp_path: Path) -> None:
    """Design 4: merge, rebase, cherry-pick, am and squash of another committer's commit run nothing by themselves."""
    if way != "merge-ff":
        lab.commit({"mine.txt": "mine\n"})
    if way == "merge":
        lab.git("merge", "-q", "--no-edit", "origin/eve")
    elif way == "merge-ff":
        lab.git("merge", "-q", "--ff-only", "origin/eve")
    elif way == "rebase":
        lab.git("rebase", "-q", "origin/eve")
    elif way == "cherry-pick":
        lab.git("cherry-pick", "origin/eve")
    elif way == "squash":
        lab.git("merge", "-q", "--squash", "origin/eve")
        lab.git("commit", "-q", "-m", "squashed")
    else:
        lab.git("format-patch", "-1", "-o", str(tmp_path / "mail"), "origin/eve")
        lab.git("am", "-q", *(str(path) for path in (tmp_path / "mail").iterdir()))
    assert lab.log() == []
    said = lab.timelab("run", "--pending")
    assert lab.log() == []
    assert "held" in said.err and "timelab allow" in said.err
    assert "specs/eve.yaml" in lab.timelab("status", "--all").out

    lab.timelab("allow", "specs/eve.yaml", TIMELAB_WAIT="1")
    lab.timelab("run", "--pending")
    assert [row["spec_path"] for row in lab.log()] == ["specs/eve.yaml"]


def test_after_allow_an_edit_of_ones_own_runs_by_itself(lab: Lab) -> None:
    """Design 4."""
    lab.git("merge", "-q", "--ff-only", "origin/eve")
    lab.timelab("allow", "specs/eve.yaml", TIMELAB_WAIT="1")
    lab.timelab("run", "--pending")
    lab.commit({"specs/eve.yaml": HELLO.replace("hello", "mine")})
    assert len(lab.log()) == 2


def test_a_merged_script_that_my_spec_names_is_held(lab: Lab, tmp_path: Path) -> None:
    """Design 4: a trusted spec cannot be aimed anew by changing a script that it calls."""
    eve = Lab(tmp_path / "eve")
    eve.git("switch", "-q", "-c", "two", "origin/main")
    lab.commit(
        {
            "tools/run.sh": "echo mine > $TIMELAB_OUTPUT/x\n",
            "specs/mine.yaml": "timelab: 1\nkind: command\nscript: tools/run.sh\n",
        }
    )
    lab.git("push", "-q", "origin", "main")
    eve.git("pull", "-q", "origin", "main")
    eve.write({"tools/run.sh": "echo evil > $TIMELAB_OUTPUT/x\n"})
    eve.git("commit", "-q", "-am", "evil", **EVE)
    eve.git("push", "-q", "origin", "HEAD:refs/heads/two")
    lab.git("pull", "-q", "--ff-only", "origin", "two")
    lab.timelab("run", "--pending")
    assert len(lab.log()) == 1


def test_run_of_a_named_file_is_consent(lab: Lab) -> None:
    """Design 4: `timelab run FILE` is consent; `--pending` is not."""
    lab.git("merge", "-q", "--ff-only", "origin/eve")
    lab.timelab("run", "specs/eve.yaml")
    assert len(lab.log()) == 1
