"""What the work tree has beside the commit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes import parse
from tests.helpers import Lab, fill, make_lab
from timelab.errors import GitError, PathError, UsageError
from timelab.git.dirty import changed_files, commit_file, overlay_for, read_regular
from timelab.git.repo import discover
from timelab.names import RepoPath

SPEC = "timelab: 1\nkind: command\nscript: tools/run.sh\ninputs: ['data/*.csv']\n"


@pytest.fixture
def lab(repo: Path) -> Lab:
    lab = make_lab(repo)
    lab.commit_file("tools/run.sh", "echo 1\n")
    lab.commit_file("data/a.csv", "1\n")
    lab.commit_file("specs/b.yaml", SPEC)
    return lab


def overlay(lab: Lab, path: str = "specs/b.yaml") -> dict[str, bytes]:
    from timelab.git.history import head

    return overlay_for(lab.repo, RepoPath(path), head(lab.repo), parse)


def test_a_clean_closure_needs_nothing_from_the_work_tree(lab: Lab) -> None:
    fill(lab.root, {"elsewhere.txt": b"changed\n"})
    assert overlay(lab) == {}


def test_what_differs_or_is_new_is_taken_whether_staged_or_not(lab: Lab) -> None:
    fill(lab.root, {"tools/run.sh": b"echo 2\n", "data/new.csv": b"2\n", "data/other.txt": b"x\n"})
    assert overlay(lab) == {"tools/run.sh": b"echo 2\n", "data/new.csv": b"2\n"}
    lab.git("add", "-A")
    assert overlay(lab) == {"tools/run.sh": b"echo 2\n", "data/new.csv": b"2\n"}


def test_a_broken_spec_is_taken_alone(lab: Lab) -> None:
    fill(lab.root, {"specs/b.yaml": b"kind: [", "tools/run.sh": b"echo 2\n"})
    assert overlay(lab) == {"specs/b.yaml": b"kind: ["}


def test_names_that_no_record_can_hold_are_left_out(lab: Lab) -> None:
    (lab.root / "new\nline").write_text("x")
    Path(os.fsdecode(os.fsencode(lab.root) + b"/\xff")).write_text("x")
    (lab.root / "fine.txt").write_text("x")
    assert changed_files(lab.repo) == {"fine.txt"}


def test_only_a_regular_file_is_read_and_no_link_followed(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (lab.root / "link").symlink_to(tmp_path / "secret")
    (lab.root / "way").symlink_to(tmp_path)
    os.mkfifo(lab.root / "pipe")
    assert read_regular(lab.root, "README.md") == b"a repository of a user\n"
    for path in ("link", "way/secret"):
        with pytest.raises(PathError, match="is a link, or lies behind one"):
            read_regular(lab.root, path)
    with pytest.raises(PathError, match="is no regular file"):
        read_regular(lab.root, "pipe")
    with pytest.raises(UsageError, match="specs is a folder"):
        read_regular(lab.root, "specs")
    for path in ("none", "none/at/all", "README.md/x"):
        with pytest.raises(UsageError, match="no such file"):
            read_regular(lab.root, path)


def test_a_bare_repository_has_no_work_tree(lab: Lab, tmp_path: Path) -> None:
    lab.git("clone", "-q", "--bare", str(lab.root), str(tmp_path / "bare.git"))
    with pytest.raises(UsageError, match="bare repository"):
        overlay_for(discover(tmp_path / "bare.git"), RepoPath("specs/b.yaml"), lab.git_sha, parse)


def test_one_file_is_committed_and_nothing_else(lab: Lab) -> None:
    fill(lab.root, {"specs/[b]*.yaml": b"timelab: 1\n", "other.txt": b"x\n"})
    lab.git("add", "other.txt")
    commit_file(lab.repo, RepoPath("specs/[b]*.yaml"))
    assert lab.git("show", "--format=%s", "--name-only", "HEAD").splitlines() == [
        "spec: specs/[b]*.yaml", "", "specs/[b]*.yaml"
    ]  # fmt: skip
    before = lab.git("rev-parse", "HEAD")
    commit_file(lab.repo, RepoPath("specs/[b]*.yaml"))
    assert lab.git("rev-parse", "HEAD") == before


def hook(lab: Lab, name: str, text: str) -> None:
    file = lab.root / ".git/hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_a_hook_of_the_user_that_refuses_is_heard(lab: Lab) -> None:
    """A commit is theirs, with all that they set up for it."""
    hook(lab, "pre-commit", "echo first >&2; echo 'no tabs, please' >&2; exit 1")
    fill(lab.root, {"specs/new.yaml": b"timelab: 1\n"})
    before = lab.git("rev-parse", "HEAD")
    with pytest.raises(GitError, match="git commit failed with 1: no tabs, please") as caught:
        commit_file(lab.repo, RepoPath("specs/new.yaml"))
    assert caught.value.hint == "all that it says: git commit specs/new.yaml"
    assert lab.git("rev-parse", "HEAD") == before


def test_a_commit_is_in_the_name_that_the_user_gives_and_fires_their_hooks(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "grace@example.invalid")
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere"))
    hook(lab, "commit-msg", "echo 'Change: 1' >> \"$1\"")
    hook(lab, "post-commit", 'echo "$TIMELAB_HOOK" > fired.txt')
    fill(lab.root, {"specs/new.yaml": b"timelab: 1\n"})
    commit_file(lab.repo, RepoPath("specs/new.yaml"))
    monkeypatch.delenv("GIT_INDEX_FILE")
    shown = lab.git("log", "-1", "--format=%an %ce %B")
    assert shown.split("\n")[0] == "Grace grace@example.invalid spec: specs/new.yaml"
    assert "Change: 1" in shown
    assert (lab.root / "fired.txt").read_text() == "off\n"
