"""Where a file's content came from, as far as this repository knows: which commits brought a blob, and who made them.

Trust is judged by this (design 4): the judging itself is in `trust.py`, here is only what git can say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from timelab.errors import GitError
from timelab.git.repo import Repo
from timelab.names import Oid

SEARCH_TIMEOUT_S = 30.0
"""A history too long for this is searched again by the files' own paths, which git can do much faster."""


@dataclass(frozen=True)
class Bringing:
    """Is a commit in which a blob appears that stood in none of its parents. `committer` is `Name <mail>`."""

    commit: Oid
    committer: str
    parents: tuple[Oid, ...]


@dataclass(frozen=True)
class Move:
    """Is an entry of a reflog: what HEAD or a branch came to point to, from where, and by what action."""

    commit: Oid
    previous: Oid | None
    subject: str


def bringings(repo: Repo, files: Sequence[tuple[str, str]], starts: Iterable[str]) -> dict[str, list[Bringing]]:
    """Returns, for each blob of `files` (path, blob), the commits that brought it anywhere.

    Searched are all refs, all reflogs and `starts`. A merge counts only for what none of its parents had.

    Raises:
        GitError: the history is too long even by path.
    """
    blobs = sorted({blob for _, blob in files})
    if not blobs:
        return {}
    try:
        return _search(repo, blobs, starts, ())
    except GitError:
        return _search(repo, blobs, starts, sorted({f":(top,literal){path}" for path, _ in files}))


def _search(
    repo: Repo, blobs: Sequence[str], starts: Iterable[str], pathspecs: Sequence[str]
) -> dict[str, list[Bringing]]:
    found: dict[str, list[Bringing]] = {blob: [] for blob in blobs}
    args = ["-c", "i18n.logOutputEncoding=UTF-8", "log", "--ignore-missing", "--stdin"]
    # Our own records hold every input again, under a committer of their own.
    args += ["--exclude=refs/timelab/*", "--exclude=refs/notes/*", "--all", "--reflog"]
    args += ["--format=%x01%H%x01%P%x01%cn <%ce>", "--no-show-signature", "--no-color", "--no-renames", "--no-ext-diff"]
    args += ["--root", "-c", "--raw", "--no-abbrev", *(f"--find-object={blob}" for blob in blobs), "--", *pathspecs]
    done = repo.git(args, input="".join(f"{oid}\n" for oid in starts).encode(), timeout_s=SEARCH_TIMEOUT_S)
    current: Bringing | None = None
    for line in done.stdout.decode("utf-8", "surrogateescape").split("\n"):
        if line.startswith("\x01"):
            _, commit, parents, committer = line.split("\x01", 3)
            current = Bringing(Oid(commit), committer, tuple(Oid(parent) for parent in parents.split()))
        elif line.startswith(":") and current is not None:
            # `:mode mode oid oid S<tab>path`, or with one more colon, mode and oid for each further parent of a merge.
            fields = line.partition("\t")[0].split(" ")
            blob = fields[-2]
            if blob in found and current not in found[blob]:
                found[blob].append(current)
    return found


def moves(repo: Repo) -> list[Move]:
    """Returns the reflogs of HEAD and of the branches, newest entry of each first; empty where git keeps none."""
    args = ["log", "-g", "--format=%H%x01%gD%x01%gs", "--no-show-signature", "--no-color", "HEAD", "--branches"]
    done = repo.git(args, check=False, timeout_s=SEARCH_TIMEOUT_S)
    entries: dict[str, list[tuple[Oid, str]]] = {}
    for line in done.stdout.decode("utf-8", "surrogateescape").split("\n"):
        oid, first, rest = line.partition("\x01")
        selector, second, subject = rest.partition("\x01")
        if first and second:
            entries.setdefault(selector.rpartition("@{")[0], []).append((Oid(oid), subject))
    found = []
    for log in entries.values():
        for at, (oid, subject) in enumerate(log):
            found.append(Move(oid, log[at + 1][0] if at + 1 < len(log) else None, subject))
    return found


def is_reachable(repo: Repo, commit: str, starts: Iterable[str]) -> bool:
    """Says whether a commit is reachable from any of `starts`; one that is not here reaches nothing."""
    known = "".join(f"^{oid}\n" for oid in starts)
    args = ["rev-list", "--max-count=1", "--ignore-missing", "--stdin"]
    return not repo.git(args, input=f"{commit}\n{known}".encode()).stdout.strip()


def identity(repo: Repo) -> str | None:
    """Returns this user as git's configuration names the committer, `Name <mail>`, or None without one."""
    done = repo.git(["var", "GIT_COMMITTER_IDENT"], check=False)
    name, found, _ = done.stdout.decode("utf-8", "surrogateescape").rpartition(">")
    return name + ">" if done.code == 0 and found else None
