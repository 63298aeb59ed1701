"""Who may make a spec run by itself: this user's allow-list of (path, blob) pairs, and what a plain commit adds to it.

The list lies in the user's data directory, never in the repository or its configuration, so that nothing that can be
fetched, copied or unpacked brings trust along (design 4).
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from timelab.atomic import file_lock, write_atomic
from timelab.canonical import sha256_bytes
from timelab.errors import DataError, GitError, UsageError
from timelab.git import origins, trees
from timelab.git.origins import Bringing, Move
from timelab.git.repo import Repo, commit_info
from timelab.names import Oid, path_fault
from timelab.queue import Job

_PLAIN = ("commit: ", "commit (initial): ", "commit (amend): ")
_AMEND = "commit (amend): "
# What else makes a commit on this machine out of one that is here, by its reflog entry: `rebase (pick): `, or with the
# words that the user typed, `pull -q --rebase origin main (pick): `. The first step in brackets counts: what follows it
# is the commit's own subject. `(start)`, `(finish)` and `fast-forward` go to a commit that may be a stranger's, and
# `am` takes the content from a mail.
_LOCAL = re.compile(
    r"commit \(|(?:cherry-pick|revert): |(?:rebase|pull)\b[^()]*\((?:pick|reword|edit|squash|fixup|continue)\): "
)
_MOVED = re.compile(r"[^()]*(?:\([a-z]+\))?: fast-forward")


class AllowList:
    """Is the list of one repository; read once, so open it anew to see what another process allowed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._pairs: set[bytes] | None = None

    @property
    def is_trusted(self) -> bool:
        """Says whether `timelab init` has trusted the repository."""
        return self._header() is not None

    @property
    def identities(self) -> frozenset[str]:
        """Returns the names that this user committed under when the repository was trusted, `Name <mail>`."""
        return frozenset(str(each) for each in (self._header() or {}).get("identities", []))

    def is_allowed(self, path: str, blob: str) -> bool:
        """Says whether this user allowed this content at this path."""
        return self.is_trusted and _line(path, blob) in self._load()

    def blobs_of(self, path: str) -> tuple[str, ...]:
        """Returns the blobs that are allowed at a path, in order of id."""
        found = [line[: -len(tail)] for tail in [_line(path, "")] for line in self._load() if line.endswith(tail)]
        return tuple(sorted(blob.decode("ascii", "replace") for blob in found if b" " not in blob))

    def trust(self, repo: Repo, *, identities: Iterable[str] = ()) -> None:
        """Begins the list; `allow_tree` then says of what."""
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        header = {"version": 1, "repository": ascii(str(repo.common_dir)), "identities": sorted(set(identities))}
        write_atomic(self._file.with_suffix(".json"), json.dumps(header, sort_keys=True).encode() + b"\n", mode=0o600)

    def allow_files(self, pairs: Iterable[tuple[str, str]]) -> int:
        """Adds (path, blob) pairs and returns how many are new.

        Raises:
            UsageError: the repository was never trusted.
        """
        if not self.is_trusted:
            raise UsageError("this repository is not set up to run specs by itself", hint="timelab init")
        wanted = {_line(path, blob) for path, blob in pairs if path_fault(path) is None}
        with file_lock(self._file.with_suffix(".lock")):
            self._pairs = None
            new = sorted(wanted - self._load())
            if new:
                self._append(new)
        return len(new)

    def allow_tree(self, repo: Repo, tree: Oid) -> int:
        """Adds every file of a tree."""
        return self.allow_files(
            (path, entry.oid) for path, entry in trees.list_tree(repo, tree).items() if entry.is_file
        )

    def allow_own(self, repo: Repo, job: Job, pairs: Sequence[tuple[str, str]]) -> int:
        """Adds those of the pairs that this user committed here, by the job's commit or by an earlier plain one.

        An earlier commit leaves no job when it touches no spec, so its evidence is the reflog.
        """
        unknown = [(path, blob) for path, blob in pairs if not self.is_allowed(path, blob)]
        if not unknown or not self.is_trusted:
            return 0
        return self.allow_files(own_files(repo, job, unknown, self.identities | _identity(repo)))

    def forget(self) -> None:
        """Withdraws all trust in the repository."""
        for suffix in (".json", ".allow", ".lock"):
            self._file.with_suffix(suffix).unlink(missing_ok=True)
        self._pairs = None

    def _header(self) -> dict[str, list[str]] | None:
        try:
            header = json.loads(self._file.with_suffix(".json").read_bytes())
        except (OSError, ValueError):
            return None
        return header if isinstance(header, dict) and header.get("version") == 1 else None

    def _load(self) -> set[bytes]:
        if self._pairs is None:
            try:
                # A line that a crash cut short has no line end and counts for nothing.
                self._pairs = set(self._file.with_suffix(".allow").read_bytes().split(b"\n")[:-1])
            except FileNotFoundError:
                self._pairs = set()
        return self._pairs

    def _append(self, lines: Sequence[bytes]) -> None:
        descriptor = os.open(
            self._file.with_suffix(".allow"), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "r+b") as stream:
            size_bytes = stream.seek(0, os.SEEK_END)
            torn = b""
            if size_bytes:
                stream.seek(-1, os.SEEK_END)
                torn = b"" if stream.read(1) == b"\n" else b"\n"
            stream.write(torn + b"".join(line + b"\n" for line in lines))
            stream.flush()
            os.fsync(stream.fileno())
        self._load().update(lines)


def _line(path: str, blob: str) -> bytes:
    return f"{blob} {path}".encode("utf-8", "surrogateescape")


def open_allow_list(repo: Repo, environ: Mapping[str, str] | None = None) -> AllowList:
    """Returns this user's list for a repository; opening it trusts nothing.

    A repository is known by a random id in its common git dir together with that folder's real path: a copy elsewhere,
    and another repository at the same place, are strangers.
    """
    data = trust_folder(os.environ if environ is None else environ)
    return AllowList(data / f"{_repository_key(repo)}.json")


def trust_folder(environ: Mapping[str, str]) -> Path:
    """Returns the folder of all lists, `$XDG_DATA_HOME/timelab/trust`; a relative value counts as none (XDG 0.8)."""
    given = Path(environ.get("XDG_DATA_HOME", ""))
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return (given if given.is_absolute() else home / ".local/share") / "timelab" / "trust"


def _repository_key(repo: Repo) -> str:
    return sha256_bytes(_repository_id(repo) + b"\0" + os.fsencode(repo.common_dir.resolve()))


def _repository_id(repo: Repo) -> bytes:
    file = repo.timelab_dir / "id"
    try:
        return file.read_bytes().strip()
    except FileNotFoundError:
        with file_lock(repo.timelab_dir / "id.lock"):
            if not file.exists():
                write_atomic(file, secrets.token_hex(16).encode() + b"\n", mode=0o600)
        return file.read_bytes().strip()


# --- plain commits ---


def plain_commit(repo: Repo, job: Job) -> bool:
    """Says whether the job's commit is this user's own `git commit`, by what the hook wrote down (design 4)."""
    if job.hook != "post-commit" or job.commit is None or not job.reflog_subject.startswith(_PLAIN):
        return False
    try:
        info = commit_info(repo, job.commit)
    except (DataError, GitError):
        return False
    return len(info.parents) <= 1 and info.committer in open_allow_list(repo).identities | _identity(repo)


def own_files(repo: Repo, job: Job, pairs: Sequence[tuple[str, str]], mine: frozenset[str]) -> list[tuple[str, str]]:
    """Returns those (path, blob) pairs that this user made here; a history too long to search has none."""
    try:
        found = origins.bringings(repo, pairs, job.remote_ids)
        evidence = Evidence.of(job, origins.moves(repo), mine)
        return [pair for pair in pairs if _is_own(repo, pair, found.get(pair[1], []), evidence)]
    except GitError:
        return []


@dataclass(frozen=True)
class Evidence:
    """Is what is known of how commits came about here: by the job, and by the reflogs."""

    mine: frozenset[str]
    remote_ids: frozenset[Oid]
    plain: Mapping[Oid, Oid | None]
    local: frozenset[Oid]
    foreign: frozenset[Oid]

    @classmethod
    def of(cls, job: Job, moves: Iterable[Move], mine: frozenset[str]) -> Evidence:
        """Sorts the moves; `plain` has each own commit with what it replaced (None unless it is an amend)."""
        plain: dict[Oid, Oid | None] = {}
        local: set[Oid] = set()
        foreign: set[Oid] = set()
        known = [Move(job.commit, job.previous, job.reflog_subject)] if job.commit and job.hook == "post-commit" else []
        for move in (*known, *moves):
            if move.subject.startswith(_PLAIN):
                plain.setdefault(move.commit, move.previous if move.subject.startswith(_AMEND) else None)
            elif _LOCAL.match(move.subject) and not _MOVED.fullmatch(move.subject):
                local.add(move.commit)
            elif move.subject.startswith("am: "):
                foreign.add(move.commit)
        return cls(mine, job.remote_ids, plain, frozenset(local), frozenset(foreign))


def _is_own(repo: Repo, pair: tuple[str, str], brought: Sequence[Bringing], evidence: Evidence) -> bool:
    """Says whether a plain commit of this user made the file, and no other commit shows that it came from elsewhere."""
    made_here = any(_made(repo, pair, each, evidence) for each in brought)
    return made_here and all(_is_harmless(repo, each, evidence) for each in brought)


def _made(repo: Repo, pair: tuple[str, str], each: Bringing, evidence: Evidence) -> bool:
    if each.commit not in evidence.plain or len(each.parents) > 1 or each.committer not in evidence.mine:
        return False
    replaced = evidence.plain[each.commit]
    # An amend makes only what it changes against the commit that it replaces, which may be a stranger's, applied here.
    return _holds(repo, each.commit, pair) and not (replaced and _holds(repo, replaced, pair))


def _is_harmless(repo: Repo, each: Bringing, evidence: Evidence) -> bool:
    if each.committer not in evidence.mine or each.commit in evidence.foreign:
        return False
    if each.commit in evidence.plain or each.commit in evidence.local:
        return True
    # Of this user by name, which anybody can write: then it must not have come from a remote.
    return not origins.is_reachable(repo, each.commit, evidence.remote_ids)


def _holds(repo: Repo, commit: Oid, pair: tuple[str, str]) -> bool:
    try:
        entry = trees.entry_at(repo, commit_info(repo, commit).tree, pair[0])
    except (DataError, GitError):
        return False
    return entry is not None and entry.oid == pair[1]


def _identity(repo: Repo) -> frozenset[str]:
    found = origins.identity(repo)
    return frozenset({found}) if found else frozenset()
