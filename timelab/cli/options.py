"""What commands share: the repository they act on, and `--json`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from timelab.config import Settings
    from timelab.git.repo import Repo

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(function: Command) -> Command:
    """Adds `--json`: the same facts for programs, with a schema in `schemas/` (style O1)."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)


def start_directory() -> Path:
    """Returns the folder that the command acts in: `-C DIR`, else the current one."""
    context = click.get_current_context()
    given = (context.find_root().obj or {}).get("directory")
    path = Path(given) if given else Path.cwd()
    if not path.is_dir():
        raise click.UsageError(f"no such folder: {given}")
    return path.absolute()


def current_repo() -> Repo:
    """Returns the repository around the folder that the command acts in."""
    from timelab.git.repo import discover

    return discover(start_directory())


def repo_path(repo: Repo, given: str) -> str | None:
    """Returns a path as typed (relative to where the user stands) as a path from the repository's root, or None."""
    if repo.root is None:
        return given
    path = Path(given)
    full = path if path.is_absolute() else start_directory() / path
    # Only the folder is resolved: a link is named by its own path, not by what it points to.
    full = full.parent.resolve() / full.name
    try:
        return full.relative_to(repo.root.resolve()).as_posix()
    except ValueError:
        return None


def settings_of(repo: Repo) -> Settings:
    """Returns the settings in force for a repository."""
    from timelab.settings import settings_for

    return settings_for(repo)
