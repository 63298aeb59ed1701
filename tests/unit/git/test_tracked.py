from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Git
from timelab.git.repo import discover
from timelab.git.tracked import tracked_below, tracked_paths


def test_tracked_paths_follow_the_index(repo: Path, git: Git) -> None:
    found = discover(repo)
    name = 'd/ü "x" *.txt'
    assert tracked_paths(found, ["README.md", name]) == {"README.md"}
    (repo / "d").mkdir()
    (repo / name).write_text("x")
    git("add", "-A", cwd=repo)
    assert tracked_paths(found, ["README.md", name, "d"]) == {"README.md", name}
    assert tracked_below(found, "d") == {name}
    git("rm", "-q", "--cached", "README.md", cwd=repo)
    assert tracked_paths(found, ["README.md"]) == frozenset()


@pytest.mark.parametrize("setting", ["split", "sparse"])
def test_an_index_that_libgit2_refuses_is_left_to_git(repo: Path, git: Git, setting: str) -> None:
    if setting == "split":
        git("update-index", "--split-index", cwd=repo)
    else:
        (repo / "deep").mkdir()
        (repo / "deep/x").write_text("x")
        git("add", "-A", cwd=repo)
        git("commit", "-q", "-m", "x", cwd=repo)
        git("sparse-checkout", "init", "--cone", "--sparse-index", cwd=repo)
    assert tracked_paths(discover(repo), ["README.md", "nothing"]) == {"README.md"}


def test_no_index_and_no_work_tree_track_nothing(repo: Path, git: Git, tmp_path: Path) -> None:
    (repo / ".git/index").unlink()
    assert tracked_paths(discover(repo), ["README.md"]) == frozenset()
    git("clone", "-q", "--bare", str(repo), str(tmp_path / "bare"), cwd=repo)
    assert tracked_paths(discover(tmp_path / "bare"), ["README.md"]) == frozenset()
    assert tracked_below(discover(tmp_path / "bare"), "x") == frozenset()
