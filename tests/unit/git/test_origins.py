"""Where a file's content came from, as far as this repository knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import Lab, make_lab
from timelab.git.origins import bringings, identity, is_reachable, moves


@pytest.fixture
def lab(repo: Path) -> Lab:
    return make_lab(repo)


def test_a_blob_is_brought_by_every_commit_that_adds_it(lab: Lab) -> None:
    blob = lab.git("rev-parse", "HEAD:specs/echo.yaml")
    lab.git("rm", "-q", "specs/echo.yaml")
    lab.git("commit", "-q", "-m", "away")
    lab.git("revert", "--no-edit", "HEAD")
    found = bringings(lab.repo, [("specs/echo.yaml", blob)], [])[blob]
    # The deletion is named too, for git finds where the number of a blob's places changes.
    assert lab.git_sha in {each.commit for each in found}
    assert {each.committer for each in found} == {"Ada Example <ada@example.invalid>"}


def test_what_an_amend_left_behind_is_found_by_the_reflog(lab: Lab) -> None:
    blob = lab.git("rev-parse", "HEAD:specs/echo.yaml")
    (lab.root / "specs/echo.yaml").write_text("other\n")
    lab.git("commit", "-q", "-a", "--amend", "--no-edit")
    assert [each.commit for each in bringings(lab.repo, [("specs/echo.yaml", blob)], [])[blob]] == [lab.git_sha]


def test_a_blob_that_no_commit_holds_was_brought_by_none(lab: Lab) -> None:
    assert bringings(lab.repo, [("x", "f" * 40)], []) == {"f" * 40: []}
    assert bringings(lab.repo, [], []) == {}


def test_our_own_records_are_no_origin(lab: Lab) -> None:
    """The chain holds every input again, under a committer of its own."""
    stored = lab.record(0)
    blob = lab.git("rev-parse", f"{stored.entry}:input/spec.yaml")
    assert all("timelab" not in each.committer for each in bringings(lab.repo, [("x", blob)], [])[blob])


def test_moves_are_the_reflogs_newest_first(lab: Lab) -> None:
    lab.commit_file("a")
    (newest, *_) = moves(lab.repo)
    assert (newest.commit, newest.previous, newest.subject) == (
        lab.git("rev-parse", "HEAD"), lab.git_sha, "commit: add a"
    )  # fmt: skip


def test_reach(lab: Lab) -> None:
    later = lab.commit_file("a")
    assert is_reachable(lab.repo, lab.git_sha, [later])
    assert not is_reachable(lab.repo, later, [lab.git_sha])
    assert not is_reachable(lab.repo, later, [])


def test_the_user_is_as_git_names_the_committer(lab: Lab) -> None:
    lab.git("config", "user.name", 'Größe "x" $y')
    assert identity(lab.repo) == 'Größe "x" $y <ada@example.invalid>'
