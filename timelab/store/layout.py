"""Pure path names: the day, the run folder, what is derived from them, and our own room in the common git dir."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from timelab.names import folder_of as folder_of

if TYPE_CHECKING:
    from timelab.git.repo import Repo

RUN_FILE = "run.json"
RUNNING_FILE = "running.json"
CARRY_FILE = "carry.json"
TOMBSTONE_FILE = "tombstone.json"
RUNS_CSV = "runs.csv"
DAY_README = "README.md"
LATEST = "latest"
STAGED_FOLDERS = ("input", "output", "logs")
DAY_GLOB = "[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"
RUN_FOLDER = re.compile(
    r"(?P<day>\d{4}/\d{2}/\d{2})/(?:ai-team/artifacts|analyzer/outputs)/"
    r"(?P<clock>\d{6})-(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,63})-(?P<id>[0-9a-f]{8})",
    re.ASCII,
)
"""Matches the folder of a run, relative to the root: the inverse of `folder_of`."""


def day_of(timestamp_start: str) -> str:
    """Returns the dated folder `YYYY/MM/DD` of a run, by the UTC day on which it started (A77, A28)."""
    return timestamp_start[:10].replace("-", "/")


def run_folder(root: Path | None, artifacts_path: str) -> Path | None:
    """Returns where a run's folder should be; a bare repository has none."""
    return None if root is None else root / artifacts_path


def staging_folder(repo: Repo) -> Path:
    """Returns where runs are made."""
    return repo.timelab_dir / "staging"


def scratch_folder(repo: Repo) -> Path:
    """Returns where runs have the commit's files; what lies there goes by the name of the run."""
    return repo.timelab_dir / "scratch"


def journal_folder(repo: Repo) -> Path:
    """Returns where changes are announced before they are made."""
    return repo.timelab_dir / "journal"


def quarantine_folder(repo: Repo) -> Path:
    """Returns where what cannot be used is kept for people to look at."""
    return repo.timelab_dir / "quarantine"


def index_path(repo: Repo) -> Path:
    """Returns the SQLite projection."""
    return repo.timelab_dir / "index.sqlite"
