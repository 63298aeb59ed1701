"""timelab/git/program.py: git runs on the repository we mean, as nobody, and starts nothing of the repository's."""

from __future__ import annotations

from pathlib import Path

import pytest

from timelab.errors import GitError
from timelab.git.program import MIN_GIT, git, require_git, version


def test_this_git_is_new_enough() -> None:
    assert version() >= MIN_GIT
    require_git()


def test_variables_that_a_hook_leaks_are_ignored(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GIT_DIR": str(tmp_path / "nowhere"),
        "GIT_INDEX_FILE": ".git/other-index",
        "GIT_WORK_TREE": "/",
        "GIT_PREFIX": "sub/",
        "GIT_CONFIG_PARAMETERS": "'core.bare'='true'",
    }.items():
        monkeypatch.setenv(name, value)
    assert git(["rev-parse", "--show-toplevel"], cwd=repo).stdout.decode().strip() == str(repo)
    assert git(["status", "--porcelain"], cwd=repo).stdout == b""


def test_no_program_of_the_repository_is_started(repo: Path) -> None:
    marker = repo / "started"
    script = repo / "monitor"
    script.write_text(f"#!/bin/sh\ntouch {marker}\n")
    script.chmod(0o755)
    hooks = repo / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "reference-transaction").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (hooks / "reference-transaction").chmod(0o755)
    git(["config", "core.fsmonitor", str(script)], cwd=repo)
    git(["status"], cwd=repo)
    git(["update-ref", "refs/timelab/x", "HEAD"], cwd=repo)
    assert not marker.exists()


def test_a_failure_names_the_verb_and_what_git_said(repo: Path) -> None:
    with pytest.raises(GitError, match=r"^git rev-parse failed with 128: fatal: Needed a single revision$"):
        git(["rev-parse", "--verify", "nothing"], cwd=repo)
    assert git(["rev-parse", "--verify", "nothing"], cwd=repo, check=False).code == 128


def test_a_password_in_a_remote_address_is_not_repeated(repo: Path) -> None:
    with pytest.raises(GitError) as caught:
        git(["fetch", "http://me:hunter2@127.0.0.1:1/x.git"], cwd=repo)
    assert "hunter2" not in caught.value.message


def test_git_that_is_too_slow_is_an_error_even_unchecked(repo: Path) -> None:
    with pytest.raises(GitError, match="took longer than"):
        git(["-c", "alias.nap=!sleep 60", "nap"], cwd=repo, check=False, timeout_s=0.2)
