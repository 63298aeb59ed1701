"""What a range of commits holds, what each changed, and where HEAD stands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.helpers import Lab, make_lab
from timelab.errors import NotFound
from timelab.git.history import (
    age_at,
    blob_at,
    changed_paths,
    changes,
    commits_between,
    commits_in,
    has_commit,
    head,
)
from timelab.git.repo import discover
from timelab.names import Oid


@pytest.fixture
def lab(repo: Path) -> Lab:
    return make_lab(repo)


def test_head_is_none_before_the_first_commit_and_the_commit_after(lab: Lab, tmp_path: Path) -> None:
    assert head(lab.repo) == lab.git_sha
    lab.git("checkout", "-q", "--detach", "HEAD~1")
    assert head(lab.repo) == lab.git("rev-parse", "HEAD")
    subprocess.run(["git", "init", "-q", str(tmp_path / "new")], check=True)
    assert head(discover(tmp_path / "new")) is None


def test_a_commit_is_here_or_not(lab: Lab) -> None:
    assert has_commit(lab.repo, lab.git_sha)
    assert not has_commit(lab.repo, "f" * 40)
    assert not has_commit(lab.repo, "0" * 40)
    assert not has_commit(lab.repo, lab.spec_blob)


def test_changed_paths_leave_deletions_out_and_count_the_first_commit_as_all_new(lab: Lab) -> None:
    first = Oid(lab.git("rev-list", "--max-parents=0", "HEAD"))
    assert changed_paths(lab.repo, first) == ["README.md"]
    lab.git("mv", "README.md", 'größe "1".md')
    lab.git("rm", "-q", "specs/echo.yaml")
    lab.git("commit", "-q", "-m", "move and delete")
    assert changed_paths(lab.repo, Oid(lab.git("rev-parse", "HEAD"))) == ['größe "1".md']


def test_a_commit_where_a_shallow_clone_ends_brings_all_that_it_holds(lab: Lab, tmp_path: Path) -> None:
    lab.commit_file("b.txt")
    lab.git("clone", "-q", "--depth", "1", f"file://{lab.root}", str(tmp_path / "shallow"))
    clone = discover(tmp_path / "shallow")
    assert changed_paths(clone, Oid(lab.git("rev-parse", "HEAD"))) == ["README.md", "b.txt", "specs/echo.yaml"]


def test_the_changes_of_many_commits_are_told_apart(lab: Lab) -> None:
    """A file may be named like a commit, and look like git's own output."""
    odd = lab.commit_file(lab.git_sha)
    colon = lab.commit_file("./:100644 x")
    lab.git("commit", "-q", "--allow-empty", "-m", "nothing")
    nothing = lab.git("rev-parse", "HEAD")
    found = changes(lab.repo, [Oid(each) for each in (nothing, colon, odd)])
    assert {commit: list(paths) for commit, paths in found.items()} == {odd: [lab.git_sha], colon: [":100644 x"]}
    assert found[Oid(odd)][lab.git_sha] == (0o100644, Oid(lab.git("rev-parse", f"{odd}:{lab.git_sha}")))
    assert changes(lab.repo, []) == {}


def test_a_merge_is_compared_with_its_first_parent(lab: Lab) -> None:
    lab.git("switch", "-q", "-c", "side")
    lab.commit_file("side.txt")
    lab.git("switch", "-q", "main")
    lab.commit_file("main.txt")
    lab.git("merge", "-q", "--no-edit", "side")
    assert changed_paths(lab.repo, Oid(lab.git("rev-parse", "HEAD"))) == ["side.txt"]


def test_ranges_are_oldest_first(lab: Lab) -> None:
    second, third = lab.commit_file("a"), lab.commit_file("b")
    assert commits_in(lab.repo, f"{lab.git_sha}..HEAD") == [second, third]
    assert commits_in(lab.repo, "HEAD~1") == [second]
    assert commits_between(lab.repo, second, third) == [third]
    assert commits_in(lab.repo, "HEAD..HEAD") == []


@pytest.mark.parametrize("name", ["nope", "nope..HEAD", "--all..HEAD", "-n1..HEAD", "", ".."])
def test_what_git_does_not_know_is_not_found(lab: Lab, name: str) -> None:
    if name == "..":
        assert commits_in(lab.repo, name) == []  # git reads HEAD..HEAD
        return
    with pytest.raises(NotFound):
        commits_in(lab.repo, name)


def test_the_blob_of_a_path(lab: Lab) -> None:
    assert blob_at(lab.repo, lab.git_sha, "specs/echo.yaml") == lab.spec_blob
    assert blob_at(lab.repo, lab.git_sha, "specs") is None
    assert blob_at(lab.repo, lab.git_sha, "none") is None


def test_older_paths_sort_first(lab: Lab) -> None:
    commit = lab.commit_file("young.txt")
    ages = {path: age_at(lab.repo, commit, path) for path in ("README.md", "specs/echo.yaml", "young.txt", "none")}
    assert ages == {"README.md": -2, "specs/echo.yaml": -1, "young.txt": 0, "none": 0}
