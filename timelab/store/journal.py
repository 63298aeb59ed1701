"""Intentions on disk: what is about to be written to chain, notes and folders, so that a crash can be finished.

A change is announced by one small synced file, made under its final name in one step, and the file is removed when
everything that follows from it stands. Whoever holds the store lock finishes all that is announced, by anybody:
that is how a crash is healed, and how many waiting writers are served at once.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from timelab.atomic import sync_folder
from timelab.errors import StoreError
from timelab.store import liveness
from timelab.store.layout import journal_folder

if TYPE_CHECKING:
    from timelab.git.repo import Repo

Operation = Literal["run", "batch", "carry", "forget"]


@dataclass(frozen=True)
class Intent:
    """Is one announced change; `name` is its file's.

    `root` and `git_dir` are those of the work tree it was asked for in. Which other fields count depends on `op`:
    `run`: `run_id`, `tree` (of the run folder, written already), `staging`. `batch`: `old` (the chain's tip before) and
    `staged` (run id to staging folder). `carry`: `old` and `new` commit, `when`. `forget`: `run_id`, `old` (its entry),
    `targets` (commits it was carried to), `when`.
    """

    name: str
    op: Operation
    root: str | None
    git_dir: str
    run_id: str | None = None
    tree: str | None = None
    staging: str | None = None
    old: str | None = None
    new: str | None = None
    when: str | None = None
    staged: dict[str, str] | None = None
    targets: tuple[str, ...] = ()


def announce(repo: Repo, intent: Intent) -> None:
    """Writes an intent, synced, under a name that must be new.

    Raises:
        StoreError: slug `run-exists` when the same is announced already.
    """
    folder = journal_folder(repo)
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps({key: value for key, value in asdict(intent).items() if key != "name"}).encode()
    temporary = folder / f".{secrets.token_hex(8)}"
    with liveness.making(repo):
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            # A hard link fails when the name is taken: nobody's announcement is overwritten.
            os.link(temporary, folder / intent.name)
        except FileExistsError as error:
            taken = StoreError(f"{intent.name[:12]} is being recorded already", hint="start the run again")
            taken.slug = "run-exists"
            raise taken from error
        finally:
            temporary.unlink(missing_ok=True)
    sync_folder(folder)


def is_announced(repo: Repo, name: str) -> bool:
    """Says whether an intent still stands."""
    return (journal_folder(repo) / name).exists()


def withdraw(repo: Repo, intent: Intent) -> None:
    """Removes an intent: all that follows from it stands."""
    (journal_folder(repo) / intent.name).unlink(missing_ok=True)


def announced(repo: Repo) -> list[Intent]:
    """Returns what is announced, in order of names; what cannot be read was never announced and is removed."""
    found: list[Intent] = []
    for path in _files(journal_folder(repo)):
        if path.name.startswith("."):
            continue
        try:
            raw = json.loads(path.read_bytes())
            found.append(Intent(name=path.name, **{**raw, "targets": tuple(raw["targets"])}))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError):
            path.unlink(missing_ok=True)
    return found


def sweep(repo: Repo) -> None:
    """Removes what the dead had begun to write here; it was never announced. The caller knows that nobody writes."""
    for path in _files(journal_folder(repo)):
        if path.name.startswith("."):
            path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
