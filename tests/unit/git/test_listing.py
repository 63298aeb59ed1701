"""Which files stand in the index and in the work tree."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Git
from timelab.git.listing import Index, WorkTree
from timelab.git.repo import discover

ODD = 'größe "x"\t1.txt'


def test_the_index_has_what_the_commit_would_add_or_change(repo: Path, git: Git) -> None:
    (repo / ODD).write_text("staged\n")
    (repo / "link").symlink_to("README.md")
    git("mv", "README.md", "LIES.md", cwd=repo)
    git("add", "-A", cwd=repo)
    (repo / ODD).write_text("not staged\n")
    index = Index(discover(repo))
    assert index.changed == tuple(sorted(["LIES.md", ODD, "link"]))
    assert index.paths == tuple(sorted(["LIES.md", ODD, "link"]))
    assert index.read(ODD) == b"staged\n"
    assert (index.is_file("link"), index.read("link"), index.read("none")) == (False, None, None)


def test_another_index_is_read_when_it_is_named(repo: Path, git: Git, tmp_path: Path) -> None:
    (repo / "a.txt").write_text("a\n")
    git("add", "a.txt", cwd=repo, GIT_INDEX_FILE=str(tmp_path / "index"))
    assert Index(discover(repo)).changed == ()
    assert "a.txt" in Index(discover(repo), tmp_path / "index").changed


def test_the_work_tree_has_what_is_tracked_or_not_ignored_and_still_there(repo: Path, git: Git) -> None:
    for name in ("gone.txt", "kept.txt", ODD, "ignored.log"):
        (repo / name).write_text("x\n")
    (repo / ".gitignore").write_text("*.log\n")
    (repo / "link").symlink_to("nowhere")
    git("add", "gone.txt", cwd=repo)
    (repo / "gone.txt").unlink()
    (repo / "nested").mkdir()
    git("init", "-q", cwd=repo / "nested")
    found = discover(repo)
    tree = WorkTree(repo, found)
    assert tree.paths == tuple(sorted([".gitignore", "README.md", "kept.txt", "link", ODD]))
    assert (tree.is_file("link"), tree.read("link"), tree.read("kept.txt")) == (False, None, b"x\n")
