"""timelab/git/worktree.py: a commit's files, byte for byte, and nothing that leads outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from timelab.errors import DataError, GitError
from timelab.git.repo import discover
from timelab.git.trees import FILE, FOLDER, LINK, TreeEntry, format_tree, write_blob, write_object
from timelab.git.worktree import export, remove_tree, stays_inside
from timelab.names import Oid

Git = Callable[..., str]


def test_files_come_out_as_committed_whatever_filters_and_umask_say(repo: Path, tmp_path: Path, git: Git) -> None:
    (repo / "src").mkdir()
    (repo / "src" / "a.txt").write_bytes(b"a\r\nb\n")
    (repo / "src" / "tool").write_bytes(b"#!/bin/sh\n")
    (repo / "src" / "tool").chmod(0o755)
    (repo / os.fsdecode(b"\xff")).write_bytes(b"odd")
    (repo / "near").symlink_to("src/a.txt")
    (repo / "src" / "up").symlink_to("../README.md")
    (repo / "far").symlink_to("/etc/passwd")
    (repo / "out").symlink_to("../outside")
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module", cwd=repo)
    git("add", "src", "near", "far", "out", os.fsdecode(b"\xff"), cwd=repo)
    git("commit", "-q", "-m", "all", cwd=repo)
    (repo / ".gitattributes").write_text("* text eol=crlf filter=evil\n")
    git("config", "core.autocrlf", "true", cwd=repo)
    git("config", "filter.evil.smudge", "touch smudged; cat", cwd=repo)
    target = tmp_path / "target"
    old = os.umask(0o077)
    try:
        left_out = export(discover(repo), Oid(git("rev-parse", "HEAD^{tree}", cwd=repo)), target)
    finally:
        os.umask(old)
    assert left_out == ("far", "module", "out")
    assert (target / "src" / "a.txt").read_bytes() == b"a\r\nb\n"
    assert (target / "src" / "a.txt").stat().st_mode & 0o777 == 0o644
    assert (target / "src" / "tool").stat().st_mode & 0o777 == 0o755
    assert (target / "src").stat().st_mode & 0o777 == 0o755
    assert (target / os.fsdecode(b"\xff")).read_bytes() == b"odd"
    assert (target / "near").readlink() == Path("src/a.txt")
    assert (target / "src" / "up").read_text() == "a repository of a user\n"
    assert not (target / ".git").exists()


@pytest.mark.parametrize(
    ("path", "goal", "inside"),
    [
        (b"a", b"b", True),
        (b"a", b"./b//c/", True),
        (b"d/a", b"../b", True),
        (b"d/e/a", b"../../b", True),
        (b"d/a", b"../../b", False),
        (b"a", b"../b", False),
        (b"a", b"/b", False),
        (b"a", b"", False),
        (b"a", b"x/../b", False),
        (b"d/a", b"..", True),
        (b"a", b".git/config", False),
    ],
)
def test_a_link_stays_inside_only_if_no_other_link_can_lead_it_out(path: bytes, goal: bytes, inside: bool) -> None:
    assert stays_inside(path, goal) is inside


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"a/b", b".git. "])
def test_a_tree_that_git_would_refuse_is_refused(name: bytes, repo: Path, tmp_path: Path) -> None:
    found = discover(repo)
    inner = write_object(found, 2, format_tree({name: TreeEntry(FILE, write_blob(found, b"x"))}))
    if b"/" in name:
        name = b"a/../../x"
        inner = write_object(found, 2, format_tree({name: TreeEntry(FILE, write_blob(found, b"x"))}))
    tree = write_object(found, 2, format_tree({b"sub": TreeEntry(FOLDER, inner)}))
    with pytest.raises(DataError, match="git itself would refuse"):
        export(found, tree, tmp_path / "target")
    assert not (tmp_path / "x").exists()


def test_no_file_is_written_through_a_link(repo: Path, tmp_path: Path) -> None:
    found = discover(repo)
    blob = TreeEntry(FILE, write_blob(found, b"x"))
    folder = write_object(found, 2, format_tree({b"file": blob}))
    link = TreeEntry(LINK, write_blob(found, b"elsewhere"))
    twice = b"".join(format_tree({b"a": entry}) for entry in (link, TreeEntry(FOLDER, folder)))
    with pytest.raises(GitError, match="cannot export"):
        export(found, write_object(found, 2, twice), tmp_path / "target")
    assert not (tmp_path / "target" / "elsewhere").exists()


def test_a_folder_goes_away_whatever_was_done_to_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    path = tmp_path / "scratch"
    (path / "locked" / "below").mkdir(parents=True)
    (path / "locked" / "below" / "file").write_text("x")
    (path / "link").symlink_to(outside)
    (path / "locked" / "below").chmod(0)
    (path / "locked").chmod(0)
    remove_tree(path)
    assert not path.exists()
    assert (outside / "file").exists()
    remove_tree(path)
