"""The durable queue: one file a job in the common git dir, leased by who works on it, gone when it is done (design 3).

`queue/<id>.job` is written whole by a hook's rename; `queue/<id>.lease` says which process works on it and how often it
was begun; `queue/held/` lists specs that wait for `timelab allow`. There is no daemon: `timelab work` drains and exits.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Container, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from timelab.atomic import file_lock, process_start, write_atomic
from timelab.canonical import sha256_bytes
from timelab.errors import DataError, StoreError, is_no_room
from timelab.git.repo import Repo
from timelab.interrupts import Terminated
from timelab.names import Oid, RepoPath, Sha256

MAX_ATTEMPTS = 3
"""A job whose worker was killed is tried twice more; then its runs are recorded as interrupted (design 2)."""

_HEADER = b"timelab-queue 1\n"
_TRAILER = b"\nend\n"
_MAX_ENTRY_BYTES = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.job")
_HOOKS = ("post-commit", "post-merge", "post-rewrite", "allow", "nudge")


@dataclass(frozen=True)
class Job:
    """Is one queue entry: what happened, and what trust is judged by, as it was at that moment.

    Attributes:
        id: the entry's file name without `.job`.
        hook: `post-commit`, `post-merge`, `post-rewrite`, or ours: `allow` (released), `nudge` (look for yourself).
        commit: HEAD at the time; None for a rewrite.
        since: what stood before a merge; the job is about `since..commit`.
        rewrites: (old, new) commits of an amend or a rebase.
        reflog_subject: of HEAD's newest reflog entry, for example `commit (amend): better`.
        previous: where HEAD stood before, by its reflog.
        committer: `Name <mail>` of the commit.
        top_level: the work tree that the commit was made in.
        remote_ids: what the remote-tracking refs and FETCH_HEAD pointed to.
        attempts: how often work on it was begun, this time included; 0 while it waits.
    """

    id: str
    hook: str
    commit: Oid | None = None
    since: Oid | None = None
    rewrites: tuple[tuple[Oid, Oid], ...] = ()
    reflog_subject: str = ""
    previous: Oid | None = None
    committer: str = ""
    top_level: Path | None = None
    remote_ids: frozenset[Oid] = frozenset()
    attempts: int = 0


@dataclass(frozen=True)
class Entry:
    """Is a job as `status` shows it; `pid` is the process that works on it."""

    job: Job
    state: Literal["queued", "running"]
    pid: int | None
    queued_at: float


@dataclass(frozen=True)
class Held:
    """Is a version of a spec that waits for consent: its path, the commit that brought it, and why it waits.

    `since` is what stood before, when it came by a merge.
    """

    spec_path: str
    commit: str
    reason: str
    since: str | None = None

    @property
    def key(self) -> str:
        """Returns the entry's file name without suffix."""
        return sha256_bytes(f"{self.spec_path}\0{self.commit}".encode("utf-8", "surrogateescape"))[:32]


# --- entries ---


def parse_entry(data: bytes, *, id: str) -> Job:
    """Returns the job that a hook wrote; later lines of a key that came before are older reflog entries.

    The format is made for sh: lines of `key value`, then `top <path>` to the end, then `end`: a path may hold anything.

    Raises:
        DataError: it is not an entry, or not a whole one.
    """
    if len(data) > _MAX_ENTRY_BYTES or not data.startswith(_HEADER) or not data.endswith(_TRAILER) or b"\0" in data:
        raise _malformed(id, "not a whole entry")
    body, found, top = data[len(_HEADER) : -len(_TRAILER)].partition(b"\ntop ")
    if not found:
        raise _malformed(id, "no top")
    values: dict[str, list[str]] = {}
    for line in body.split(b"\n"):
        key, _, value = line.partition(b" ")
        values.setdefault(key.decode("ascii", "replace"), []).append(value.decode("utf-8", "surrogateescape"))
    hook = values.get("hook", [""])[0]
    if hook not in _HOOKS:
        raise _malformed(id, "no hook of ours")
    try:
        return _job(id, hook, values, Path(os.fsdecode(top)) if top else None)
    except (DataError, ValueError) as error:
        raise _malformed(id, str(error)) from error


def _job(id: str, hook: str, values: dict[str, list[str]], top: Path | None) -> Job:
    def oids(key: str) -> list[Oid]:
        return [Oid(value) for value in values.get(key, [])]

    commits = oids("commit")
    if hook in ("post-commit", "post-merge") and not commits:
        raise DataError("no commit")
    rewrites = []
    for value in values.get("rewrite", []):
        old, new = value.split(" ")
        rewrites.append((Oid(old), Oid(new)))
    names, mails = values.get("committer-name", [""]), values.get("committer-email", [""])
    return Job(
        id=id,
        hook=hook,
        commit=commits[0] if commits else None,
        since=next(iter(oids("since")), None),
        rewrites=tuple(rewrites),
        reflog_subject=values.get("reflog", [""])[0],
        previous=commits[1] if len(commits) > 1 else None,
        committer=f"{names[0]} <{mails[0]}>" if mails[0] or names[0] else "",
        top_level=top,
        remote_ids=frozenset(oids("remote") + oids("fetched")),
    )


def _malformed(id: str, why: str) -> DataError:
    error = DataError(f"queue entry {ascii(id)[:80]}: {why}")
    error.slug = "queue-entry"
    return error


def _lines(job: Job) -> bytes:
    lines = [f"hook {job.hook}"]
    if job.since:
        lines.append(f"since {job.since}")
    if job.commit:
        lines.append(f"commit {job.commit}")
    lines += [f"rewrite {old} {new}" for old, new in job.rewrites]
    return _HEADER + "\n".join(lines).encode() + b"\ntop " + os.fsencode(job.top_level or "") + _TRAILER


def enqueue(
    repo: Repo,
    hook: str,
    *,
    commit: Oid | None = None,
    since: Oid | None = None,
    rewrites: Sequence[tuple[Oid, Oid]] = (),
) -> Job:
    """Adds a job of our own; it carries no evidence of who made the commit, so it makes nothing allowed."""
    job = Job(
        id=f"{hook}.{commit or 'none'}.{secrets.token_hex(6)}",
        hook=hook,
        commit=commit,
        since=since,
        rewrites=tuple(rewrites),
        top_level=repo.root,
    )
    folder = _folder(repo)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{job.id}.job", _lines(job))
    return job


# --- leases ---

_NOT_ITS_FAULT = (OSError, StoreError)


class Leased:
    """Is a job in our hands: `with leased as job:` finishes it, or gives it back when that was interrupted.

    An error counts as an attempt, as a worker that is killed or told to end does, and after the last one the job is put
    aside; Ctrl-C does not count, nor does a store that cannot be written now, for a full disk says nothing of the job.
    """

    def __init__(self, repo: Repo, job: Job) -> None:
        self.job = job
        self._repo = repo
        self._is_kept = False

    def keep(self) -> None:
        """Lets the job go back to the queue at the end, as if it had not been begun."""
        self._is_kept = True

    def begin_anew(self) -> None:
        """Makes this the first attempt: what met the worker's end before has its record now, the rest is unbegun."""
        if self.job.attempts > 1:
            self.job = replace(self.job, attempts=1)
            path = _folder(self._repo) / f"{self.job.id}.job"
            _write_lease(path, pid=os.getpid(), start=process_start(os.getpid()), attempts=1)

    def __enter__(self) -> Job:
        return self.job

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        is_broken = isinstance(error, Exception) and not isinstance(error, _NOT_ITS_FAULT) and not is_no_room(error)
        if error is None and not self._is_kept:
            finish(self._repo, self.job)
        elif is_broken and self.job.attempts > MAX_ATTEMPTS:
            with _locked(self._repo):
                _put_aside(self._repo, _folder(self._repo) / f"{self.job.id}.job")
        else:
            give_back(self._repo, self.job, counted=is_broken or isinstance(error, Terminated))


def lease(repo: Repo, *, pid: int | None = None, skip: Container[str] = ()) -> Leased | None:
    """Takes the oldest job that nobody alive works on, or None; its `attempts` counts this one.

    A rewrite waits for all that came before it: it carries records that an earlier job may still be making. Jobs whose
    id is in `skip` are left where they are.
    """
    worker = os.getpid() if pid is None else pid
    with _locked(repo):
        older_left = False
        for path in _job_files(repo):
            job = _read(repo, path)
            if job is None:
                continue
            before = _read_lease(path)
            if _is_alive(before) or job.id in skip:
                older_left = True
                continue
            if job.rewrites and older_left:
                continue
            attempts = int(before.get("attempts", 0)) + 1
            _write_lease(path, pid=worker, start=process_start(worker), attempts=attempts)
            return Leased(repo, replace(job, attempts=attempts))
    return None


def finish(repo: Repo, job: Job) -> None:
    """Removes a job that is done; a crash between the two steps leaves a lease without a job, which is nothing."""
    with _locked(repo):
        path = _folder(repo) / f"{job.id}.job"
        path.unlink(missing_ok=True)
        _lease_of(path).unlink(missing_ok=True)


def give_back(repo: Repo, job: Job, *, counted: bool = False) -> None:
    """Returns a job that was begun to the queue; unless `counted`, as if it had not been."""
    attempts = job.attempts if counted else job.attempts - 1
    with _locked(repo):
        path = _folder(repo) / f"{job.id}.job"
        if attempts > 0:
            _write_lease(path, pid=0, start=None, attempts=attempts)
        else:
            _lease_of(path).unlink(missing_ok=True)


def entries(repo: Repo) -> list[Entry]:
    """Returns what is queued and what is being worked on, oldest first; reads only."""
    found = []
    for path in _job_files(repo):
        with contextlib.suppress(OSError, DataError):
            queued_at = path.stat().st_mtime
            job = parse_entry(path.read_bytes(), id=path.name.removesuffix(".job"))
            state = _read_lease(path)
            job = replace(job, attempts=int(state.get("attempts", 0)))
            alive = _is_alive(state)
            pid = int(state["pid"]) if alive else None
            found.append(Entry(job, "running" if alive else "queued", pid, queued_at))
    return found


def claim(repo: Repo, key: str, *, timeout_s: float = 3600.0) -> AbstractContextManager[None]:
    """Holds the sole right to run one closure: two workers must not both find that it has no record yet.

    `key` is a digest. Raises `StoreError` when another worker held it for `timeout_s`.
    """
    return file_lock(repo.timelab_dir / "claims" / Sha256(key), timeout_s=timeout_s, is_kept=False)


def _folder(repo: Repo) -> Path:
    return repo.timelab_dir / "queue"


def _locked(repo: Repo) -> AbstractContextManager[None]:
    return file_lock(_folder(repo) / ".lock")


def _job_files(repo: Repo) -> list[Path]:
    found = []
    with contextlib.suppress(FileNotFoundError):
        for item in os.scandir(_folder(repo)):
            if item.name.endswith(".job"):
                with contextlib.suppress(FileNotFoundError):
                    found.append((item.stat(follow_symlinks=False).st_mtime_ns, item.name, Path(item.path)))
    return [path for _, _, path in sorted(found)]


def _read(repo: Repo, path: Path) -> Job | None:
    """Returns the job of a file, or None after putting a malformed one aside: it is looked at by a person, not lost."""
    try:
        if not _NAME.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            raise _malformed(path.name, "not a file of ours")
        return parse_entry(path.read_bytes(), id=path.name.removesuffix(".job"))
    except FileNotFoundError:
        return None
    except DataError:
        _put_aside(repo, path)
        return None


def _put_aside(repo: Repo, path: Path) -> None:
    aside = repo.timelab_dir / "quarantine" / "queue"
    aside.mkdir(parents=True, exist_ok=True)
    path.rename(aside / f"{path.name}.{secrets.token_hex(4)}")
    _lease_of(path).unlink(missing_ok=True)


def _lease_of(path: Path) -> Path:
    return path.with_suffix(".lease")


def _read_lease(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_lease_of(path).read_bytes())
        return {"pid": int(value["pid"]), "start": value["start"], "attempts": int(value["attempts"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_lease(path: Path, **facts: Any) -> None:
    write_atomic(_lease_of(path), json.dumps(facts, sort_keys=True).encode() + b"\n")


def _is_alive(state: dict[str, Any]) -> bool:
    return bool(state.get("start")) and process_start(state["pid"]) == state["start"]


# --- held specs ---


def hold(repo: Repo, job: Job, path: str, reason: str, *, commit: Oid | None = None) -> None:
    """Notes that a version of a spec waits for `timelab allow`; saying it twice is saying it once.

    `commit` is the one that brought it; without, the newest one that the job is about.
    """
    newest = commit or job.commit or (job.rewrites[-1][1] if job.rewrites else None)
    if newest is None:
        return
    folder = _folder(repo) / "held"
    folder.mkdir(parents=True, exist_ok=True)
    entry = Held(spec_path=path, commit=newest, reason=reason, since=None if commit else job.since)
    write_atomic(folder / f"{entry.key}.json", json.dumps(asdict(entry), sort_keys=True).encode() + b"\n")


def held(repo: Repo) -> list[Held]:
    """Returns what waits for consent, oldest first; an unreadable entry is left out."""
    folder = _folder(repo) / "held"
    found: list[tuple[int, Held]] = []
    for path in folder.glob("*.json") if folder.is_dir() else ():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, DataError):
            found.append((path.stat().st_mtime_ns, _held(json.loads(path.read_bytes()))))
    return [entry for _, entry in sorted(found, key=lambda pair: (pair[0], pair[1].key))]


def _held(value: dict[str, Any]) -> Held:
    since = value.get("since")
    return Held(
        spec_path=RepoPath(value["spec_path"]),
        commit=Oid(value["commit"]),
        reason=str(value["reason"]),
        since=Oid(since) if since else None,
    )


def release(repo: Repo, entry: Held) -> Job:
    """Puts a held spec's commit back into the queue; the job is written first, so that a crash loses nothing."""
    job = enqueue(repo, "allow", commit=Oid(entry.commit), since=Oid(entry.since) if entry.since else None)
    (_folder(repo) / "held" / f"{entry.key}.json").unlink(missing_ok=True)
    return job
