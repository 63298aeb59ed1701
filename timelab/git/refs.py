"""Our refs: read, list, and change by compare-and-swap, under the lock of the common git dir."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timelab.atomic import file_lock
from timelab.errors import GitError
from timelab.git.program import said
from timelab.git.repo import Repo
from timelab.names import Oid

_OURS = ("refs/timelab/", "refs/notes/timelab")
_BUSY_TRIES = 200
_BUSY_WAIT_S = 0.01
_STALE_S = 1.0


@contextmanager
def store_lock(repo: Repo, *, timeout_s: float = 60.0) -> Iterator[None]:
    """Holds the one lock under which chains, notes and projections are written (style G4). Not reentrant."""
    with file_lock(repo.timelab_dir / "lock", timeout_s=timeout_s):
        yield


def read_ref(repo: Repo, name: str) -> Oid | None:
    """Returns what a ref points to, or None; reads the file, or packed-refs, without libgit2 or a child process."""
    for _ in range(2):
        # Twice: `git pack-refs` removes the loose file after it has written the packed one.
        loose = _read_loose(repo.common_dir / name)
        if loose is not None:
            return loose if isinstance(loose, Oid) else _ask_git(repo, name)
        packed = _read_packed(repo, name)
        if packed is not None:
            return packed
    return None


def _read_loose(path: Path) -> Oid | str | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return Oid(text) if re.fullmatch(Oid.pattern, text) else text


def _read_packed(repo: Repo, name: str) -> Oid | None:
    try:
        data = (repo.common_dir / "packed-refs").read_bytes()
    except OSError:
        return None
    found = re.search(rb"^([0-9a-f]+) " + re.escape(name.encode()) + rb"$", data, re.MULTILINE)
    return Oid(found.group(1).decode()) if found else None


def _ask_git(repo: Repo, name: str) -> Oid | None:
    done = repo.git(["rev-parse", "--verify", "--quiet", name], check=False)
    text = done.stdout.decode("ascii", "replace").strip()
    return Oid(text) if done.code == 0 and text else None


def list_refs(repo: Repo, *prefixes: str) -> dict[str, Oid]:
    """Returns the refs below the given prefixes (`refs/timelab/runs/`, or with wildcards), sorted by name."""
    done = repo.git(["for-each-ref", "--format=%(objectname) %(refname)", *prefixes])
    pairs = (line.partition(" ") for line in done.stdout.decode("utf-8", "surrogateescape").splitlines())
    return {name: Oid(oid) for oid, _, name in pairs}


def swap_ref(repo: Repo, name: str, new: Oid | None, old: Oid | None) -> None:
    """Moves a ref from `old` to `new`; None is a ref that is not there.

    Raises:
        GitError: slug `ref-moved` when it points elsewhere by now, `git` when git refuses for another reason.
    """
    for attempt in range(_BUSY_TRIES):
        fault = _try_swap(repo, name, new, old)
        if fault is None:
            return
        if attempt and read_ref(repo, name) != old:
            raise _moved(name)
        _drop_stale_lock(repo, name)
        time.sleep(_BUSY_WAIT_S)
    raise GitError(f"cannot update {name}: {fault}", hint="does another git hang in this repository?")


def _try_swap(repo: Repo, name: str, new: Oid | None, old: Oid | None) -> str | None:
    """Returns None, or why the ref was busy."""
    if new is not None and old is not None:
        return _set_target(repo, name, new, old)
    if new is None and old is None:
        if read_ref(repo, name) is not None:
            raise _moved(name)
        return None
    # libgit2 does not compare when it creates a ref (refdb_fs.c, cmp_old_ref), so git does this rare part.
    command = f"create {name}\0{new}\0" if new else f"delete {name}\0{old}\0"
    done = repo.git(["update-ref", "-z", "--stdin"], input=command.encode(), check=False)
    if done.code == 0:
        return None
    if read_ref(repo, name) != old:
        raise _moved(name)
    return said(done)


def _set_target(repo: Repo, name: str, new: Oid, old: Oid) -> str | None:
    import pygit2

    try:
        reference = repo.pygit2().references[name]
    except KeyError:
        raise _moved(name) from None
    if str(reference.target) != old:
        raise _moved(name)
    try:
        reference.set_target(pygit2.Oid(hex=new), "timelab")
    except (pygit2.GitError, OSError) as error:
        # A lock file that is there already comes as OSError.
        if read_ref(repo, name) != old:
            raise _moved(name) from error
        return ascii(str(error))[:160]
    return None


def _moved(name: str) -> GitError:
    error = GitError(f"{name} was moved by another process")
    error.slug = "ref-moved"
    return error


def _drop_stale_lock(repo: Repo, name: str) -> None:
    """Removes the lock file that a killed process left on one of our refs.

    Our refs are written within milliseconds and under `store_lock`, so one that lies there for a second has no owner.
    """
    if not name.startswith(_OURS):
        return
    path = repo.common_dir / f"{name}.lock"
    try:
        if time.time() - path.stat().st_mtime > _STALE_S:
            path.unlink()
    except OSError:
        return
