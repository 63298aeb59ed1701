"""A hermetic place for every test: own home, own git identity, no inherited GIT_* variables, no network."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ("tests.plugins.skips", "tests.engines")

GIT_CONFIG = """\
[user]
\tname = Ada Example
\temail = ada@example.invalid
[init]
\tdefaultBranch = main
[gc]
\tauto = 0
[maintenance]
\tauto = false
[advice]
\tdetachedHead = false
[commit]
\tgpgsign = false
"""

Git = Callable[..., str]

FLOWS = frozenset({"cli", "crash", "docs", "flow", "project"})
"""Folders of tests that start git and timelab as a user does: right, and not quick."""


def pytest_configure() -> None:
    """Takes signals back that background jobs and what nohup starts ignore: children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of those folders, so that `./lab test-fast` can leave them out."""
    tests = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(tests) and item.path.relative_to(tests).parts[0] in FLOWS:
            item.add_marker(pytest.mark.flow)


@pytest.fixture(autouse=True)
def hermetic(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives each test an empty home and a fixed environment (style K2)."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("GIT_", "TIMELAB_", "XDG_", "UV_", "VIRTUAL_ENV")):
            monkeypatch.delenv(name)
    (home / ".gitconfig").write_text(GIT_CONFIG)
    for name, value in {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "NO_COLOR": "1",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    return home


def run_git(*args: str, cwd: Path, check: bool = True, **extra: str) -> str:
    """Runs the real git and returns its output without the last newline."""
    done = subprocess.run(["git", *args], cwd=cwd, capture_output=True, env={**os.environ, **extra}, check=False)
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(args)}: {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


@pytest.fixture
def git() -> Git:
    """Runs git: `git("log", cwd=path)`."""
    return run_git


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Returns a fresh repository with one commit."""
    path = tmp_path / "repo"
    path.mkdir()
    run_git("init", "-q", cwd=path)
    (path / "README.md").write_text("a repository of a user\n")
    run_git("add", "-A", cwd=path)
    run_git("commit", "-q", "-m", "first", cwd=path)
    return path
