"""timelab/git/repo.py: repositories of every shape, and what stands in a commit."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from timelab.errors import GitError, NotARepository, NotFound
from timelab.git.repo import (
    commit_info,
    commit_state,
    discover,
    is_ancestor,
    resolve,
)

Git = Callable[..., str]


def test_a_repository_is_found_from_a_folder_below(repo: Path) -> None:
    (repo / "a" / "b").mkdir(parents=True)
    found = discover(repo / "a" / "b")
    assert (found.git_dir, found.common_dir, found.root) == (repo / ".git", repo / ".git", repo)
    assert found.timelab_dir == repo / ".git" / "timelab"
    assert discover(repo / ".git").root == repo


def test_a_linked_work_tree_shares_the_common_dir(repo: Path, tmp_path: Path, git: Git) -> None:
    git("worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"), cwd=repo)
    found = discover(tmp_path / "linked")
    assert found.root == tmp_path / "linked"
    assert found.common_dir == repo / ".git"
    assert found.git_dir == repo / ".git" / "worktrees" / "linked"
    assert discover(found.git_dir).root == tmp_path / "linked"
    assert commit_state(found, resolve(found, "HEAD")).paths == ("README.md",)


def test_a_bare_repository_has_no_root(repo: Path, tmp_path: Path, git: Git) -> None:
    git("clone", "-q", "--bare", str(repo), str(tmp_path / "bare.git"), cwd=tmp_path)
    found = discover(tmp_path / "bare.git")
    assert (found.root, found.common_dir) == (None, tmp_path / "bare.git")
    assert commit_state(found, resolve(found, "HEAD")).paths == ("README.md",)


@pytest.mark.parametrize("said", ["/r/.git\n/r/.git\nfalse\nsha1\n/r", "/r/.git\n/r/.git\ntrue\nsha1", ""])
def test_an_old_git_is_named_and_not_misread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """It prints `--path-format=absolute` back as if that were an answer."""
    program = tmp_path / "git"
    program.write_text(
        "#!/bin/sh\n"
        'for word; do [ "$word" != version ] || { echo git version 2.30.9; exit; }; done\n'
        f"printf '%s\\n' --path-format=absolute '{said}'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(GitError, match=r"git 2\.30\.9 is too old"):
        discover(tmp_path)


def test_a_repository_goes_to_another_process_without_its_handles(repo: Path) -> None:
    found = discover(repo)
    found.pygit2()
    assert pickle.loads(pickle.dumps(found)) == found


def test_no_repository_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="not a git repository") as caught:
        discover(tmp_path)
    assert caught.value.exit_code == 64
    with pytest.raises(NotARepository, match="no such folder"):
        discover(tmp_path / "absent")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to another user")
def test_a_repository_of_another_owner_is_not_read_unless_the_user_trusts_it(repo: Path, git: Git) -> None:
    for folder in (repo, repo / ".git"):
        os.chown(folder, 12345, 12345)
    with pytest.raises(NotARepository, match="does not trust"):
        discover(repo)
    git("config", "--global", "--add", "safe.directory", str(repo), cwd=repo)
    found = discover(repo)
    assert commit_state(found, resolve(found, "HEAD")).paths == ("README.md",)


def test_a_sha256_repository_is_found_and_refused_in_plain_words(tmp_path: Path, git: Git) -> None:
    git("init", "-q", "--object-format=sha256", cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=tmp_path)
    found = discover(tmp_path)
    assert len(resolve(found, "HEAD")) == 64
    with pytest.raises(GitError, match="sha256, which libgit2 cannot read"):
        found.pygit2()


def test_a_partial_clone_fetches_what_it_lacks(repo: Path, tmp_path: Path, git: Git) -> None:
    git("config", "uploadpack.allowFilter", "true", cwd=repo)
    git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repo}", str(tmp_path / "partial"), cwd=tmp_path)
    found = discover(tmp_path / "partial")
    assert commit_state(found, resolve(found, "HEAD")).read("README.md") == b"a repository of a user\n"


def test_names_become_commits(repo: Path, git: Git) -> None:
    found = discover(repo)
    head = git("rev-parse", "HEAD", cwd=repo)
    git("tag", "-a", "-m", "t", "v1", cwd=repo)
    assert {resolve(found, name) for name in ("HEAD", "main", "v1", head[:9], head)} == {head}
    for name in ("absent", "", "--all", "-q", "HEAD:README.md", "HEAD~9", "a\0b", "f" * 40):
        with pytest.raises(NotFound, match="no such commit"):
            resolve(found, name)


def test_the_state_of_a_commit_is_what_was_committed(repo: Path, git: Git) -> None:
    (repo / "flake.lock").write_text("{}")
    (repo / "sub").mkdir()
    (repo / "sub" / "ä.txt").write_bytes(b"a\r\nb\r\n")
    (repo / "link").symlink_to("README.md")
    (repo / os.fsdecode(b"not-\xff-utf8")).write_text("x")
    git("config", "core.autocrlf", "input", cwd=repo)
    git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module", cwd=repo)
    git("-c", "core.autocrlf=false", "add", "flake.lock", "sub", "link", os.fsdecode(b"not-\xff-utf8"), cwd=repo)
    git("commit", "-q", "-m", "all kinds", cwd=repo, GIT_COMMITTER_DATE="2026-11-20T12:00:00+02:00")
    (repo / "sub" / "ä.txt").write_text("changed since")

    found = discover(repo)
    state = commit_state(found, resolve(found, "HEAD"))
    assert state.paths == ("README.md", "flake.lock", "link", "sub/ä.txt")
    assert state.read("sub/ä.txt") == b"a\r\nb\r\n"
    assert state.read("link") is None
    assert state.read("absent") is None
    assert state.flake_lock == b"{}"
    assert state.git_tree == git("rev-parse", "HEAD^{tree}", cwd=repo)
    assert state.describe == git("rev-parse", "--short=12", "HEAD", cwd=repo)
    assert state.committed_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert not state.dirty


def test_files_of_the_work_tree_lie_over_the_commit(repo: Path) -> None:
    """A72: the describe string says that the tree was dirty."""
    found = discover(repo)
    state = commit_state(found, resolve(found, "HEAD"), overlay={"specs/new.yaml": b"new", "README.md": b"mine"})
    assert state.dirty
    assert state.paths == ("README.md", "specs/new.yaml")
    assert (state.read("specs/new.yaml"), state.read("README.md")) == (b"new", b"mine")
    assert state.describe is not None
    assert state.describe.endswith("-dirty")


def test_before_the_first_commit_there_is_only_the_work_tree(tmp_path: Path, git: Git) -> None:
    git("init", "-q", cwd=tmp_path)
    found = discover(tmp_path)
    with pytest.raises(NotFound):
        resolve(found, "HEAD")
    state = commit_state(found, None, overlay={"a": b"1"})
    assert (state.git_sha, state.describe, state.committed_at, state.paths) == (None, None, None, ("a",))


def test_a_commit_tells_people_time_parents_and_subject(repo: Path, git: Git) -> None:
    message = "Subject in\ntwo lines\n\nbody\n"
    git("commit", "-q", "--allow-empty", "-m", message, "--author=Zoë <z@example.invalid>", cwd=repo)
    found = discover(repo)
    info = commit_info(found, resolve(found, "HEAD"))
    assert info.author == "Zoë <z@example.invalid>"
    assert info.committer == "Ada Example <ada@example.invalid>"
    assert info.subject == "Subject in two lines"
    assert info.parents == (git("rev-parse", "HEAD~1", cwd=repo),)


def test_ancestry(repo: Path, git: Git) -> None:
    found = discover(repo)
    first = resolve(found, "HEAD")
    git("switch", "-q", "-c", "side", cwd=repo)
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=repo)
    second = resolve(found, "HEAD")
    assert is_ancestor(found, first, second)
    assert is_ancestor(found, first, first)
    assert not is_ancestor(found, second, first)
    with pytest.raises(GitError, match="cannot tell"):
        is_ancestor(found, "1" * 40, second)
