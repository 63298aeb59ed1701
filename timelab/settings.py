"""Fetches what `config.load_settings` judges: the repository's file, git's `timelab.*` variables, the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from timelab.config import PYPROJECT, REPOSITORY_FILE, Settings, load_settings
from timelab.errors import DataError
from timelab.git.repo import Repo


def settings_for(repo: Repo, environ: Mapping[str, str] | None = None) -> Settings:
    """Returns the settings in force in a repository; `environ` is the process's own unless given.

    The file is the work tree's, or that of HEAD's commit where there is no work tree.

    Raises:
        DataError: a file or a value is wrong (65).
    """
    return load_settings(
        repo_toml=_read(repo, REPOSITORY_FILE),
        pyproject=_read(repo, PYPROJECT),
        git_config=git_variables(repo),
        environ=os.environ if environ is None else environ,
    )


def settings_at(read: Callable[[str], bytes | None]) -> Settings:
    """Returns what a commit's own file says, and nothing of the work tree's, git's or the user's: its pins.

    Args:
        read: returns the bytes of a file of the commit, or None.

    Raises:
        DataError: the file or a value in it is wrong (65).
    """
    return load_settings(repo_toml=read(REPOSITORY_FILE), pyproject=read(PYPROJECT), git_config={}, environ={})


def git_variables(repo: Repo) -> dict[str, str]:
    """Returns git's `timelab.*` variables; of one that stands several times the last counts, as in git."""
    done = repo.git(["config", "-z", "--get-regexp", r"^timelab\."], check=False)
    found = {}
    for entry in done.stdout.decode("utf-8", "replace").split("\0"):
        name, line_end, value = entry.partition("\n")
        if name:
            # A variable without '=' is a boolean that is true (git-config(1), "Syntax").
            found[name.lower()] = value if line_end else "true"
    return found


def _read(repo: Repo, name: str) -> bytes | None:
    if repo.root is None:
        done = repo.git(["cat-file", "blob", f"HEAD:{name}"], check=False)
        return done.stdout if done.code == 0 else None
    path: Path = repo.root / name
    try:
        # A link could make us quote a file from outside in an error message.
        return None if path.is_symlink() else path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror}") from error
