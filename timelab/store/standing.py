"""What stands half done: runs under way, and runs that were cut off. Reads only, and takes no lock."""

from __future__ import annotations

import re
from pathlib import Path

from timelab.git.repo import Repo
from timelab.store.layout import journal_folder, quarantine_folder, staging_folder
from timelab.store.liveness import is_alive

_RUN_ID = re.compile(r"[0-9a-f]{64}\b")


def running(repo: Repo) -> list[str]:
    """Returns the ids of the runs whose process is alive."""
    return [path.name for path in _listed(staging_folder(repo)) if is_alive(path)]


def unfinished(repo: Repo) -> list[str]:
    """Returns the ids of the runs that a crash left half done: staged by the dead, or announced and not finished."""
    staged = _listed(staging_folder(repo))
    alive = {path.name for path in staged if is_alive(path)}
    left = {path.name for path in [*staged, *_listed(journal_folder(repo))]}
    return sorted(left - alive)


def set_aside(repo: Repo) -> list[str]:
    """Returns the ids of the runs that were cut off before their record; the quarantine keeps what they left."""
    found = (_RUN_ID.match(path.name) for path in _listed(quarantine_folder(repo)))
    return sorted({match.group() for match in found if match})


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
