"""The settings of git's configuration that are ours, or that we must mind."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Git
from timelab.git.config import HooksPath, get_config, hooks_path, set_config, unset_config
from timelab.git.repo import discover


def test_a_value_is_set_once_read_back_and_removed(repo: Path, git: Git) -> None:
    found = discover(repo)
    assert get_config(found, "timelab.x") is None
    git("config", "--add", "timelab.x", "one", cwd=repo)
    git("config", "--add", "timelab.x", "two", cwd=repo)
    value = "a 'b' \"c\" $d\nsecond line \u00e4"
    set_config(found, "timelab.x", value)
    assert get_config(found, "timelab.x") == value
    before = (repo / ".git/config").stat().st_mtime_ns
    set_config(found, "timelab.x", value)
    assert (repo / ".git/config").stat().st_mtime_ns == before
    unset_config(found, "timelab.x")
    unset_config(found, "timelab.x")
    assert get_config(found, "timelab.x") is None


def test_the_hooks_path_is_the_users_and_not_the_one_that_our_own_calls_set(repo: Path, git: Git) -> None:
    found = discover(repo)
    assert hooks_path(found) is None
    git("config", "core.hooksPath", "~/hooks", cwd=repo)
    assert hooks_path(found) == HooksPath("local", str(Path.home() / "hooks"))
    git("config", "--unset", "core.hooksPath", cwd=repo)
    git("config", "--global", "core.hooksPath", "/x", cwd=repo)
    assert hooks_path(found) == HooksPath("global", "/x")
