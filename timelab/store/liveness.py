"""Which runs are alive: told by locks, which the kernel drops with their holder.

A process id would not do: a container and its host, which number processes differently, may share a repository.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from timelab.store.layout import RUNNING_FILE

if TYPE_CHECKING:
    from timelab.git.repo import Repo

_held: dict[Path, int] = {}


def hold(staging: Path) -> None:
    """Marks a staging folder as that of a living run, until `release` or our end."""
    descriptor = os.open(staging / RUNNING_FILE, os.O_RDWR | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    _held[staging] = descriptor


def move(staging: Path, to: Path) -> None:
    """Gives a folder that we hold its name."""
    staging.rename(to)
    _held[to] = _held.pop(staging)


def release(staging: Path) -> None:
    """Ends what `hold` began; nothing happens when we do not hold the folder."""
    descriptor = _held.pop(staging, None)
    if descriptor is not None:
        os.close(descriptor)


def is_lost(staging: Path) -> bool:
    """Says whether a folder that we hold is no longer at its place."""
    if staging not in _held:
        return False
    try:
        return not os.path.samestat((staging / RUNNING_FILE).stat(), os.fstat(_held[staging]))
    except OSError:
        return True


def is_alive(staging: Path) -> bool:
    """Says whether somebody holds a staging folder."""
    try:
        descriptor = os.open(staging / RUNNING_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that two who ask at once do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def making(repo: Repo) -> Iterator[None]:
    """Lets no sweep begin while we make what has not got its name yet; many may do so at once."""
    with _opened(repo) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def nobody_makes(repo: Repo) -> Iterator[bool]:
    """Says whether nobody is `making` anything, which stays so within: whatever has no name is then of the dead."""
    with _opened(repo) as descriptor:
        yield _is_taken(descriptor)


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _opened(repo: Repo) -> Iterator[int]:
    repo.timelab_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(repo.timelab_dir / "making.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
