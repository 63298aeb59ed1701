"""The reconciler: which versions of which specs have no record yet, which of them may run, and running them.

Hook, worker, CI and hand all come through here (design 3). The trigger is a spec's closure at its path without record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from timelab import queue
from timelab.canonical import sha256_bytes, sha256_named
from timelab.errors import GitError, SpecError, StoreError, TimelabError
from timelab.git import history, trees
from timelab.git.config import get_config
from timelab.git.repo import Repo, commit_info, commit_state
from timelab.git.sieve import Sieve
from timelab.git.watch import watch, watch_patterns
from timelab.manifest import Failure, Status
from timelab.names import Oid, RepoPath, Sha256, path_fault
from timelab.plan import CommitState, is_spec_path, make_closure
from timelab.queue import MAX_ATTEMPTS, Job, Leased
from timelab.run import RunRequest, Services, run_spec
from timelab.spec.load import is_ours
from timelab.store import writer
from timelab.store.index import Index, RunRow, open_index
from timelab.trust import AllowList, open_allow_list, plain_commit


@dataclass(frozen=True)
class Candidate:
    """Is one version of one spec at one commit: its closure as (path, blob) pairs, the spec first."""

    commit: Oid
    path: RepoPath
    closure_sha256: Sha256
    files: tuple[tuple[str, Oid], ...]

    @property
    def blob(self) -> Oid:
        """Returns the spec's own blob."""
        return self.files[0][1]


@dataclass(frozen=True)
class Outcome:
    """Is what became of one candidate, or of one rewritten commit.

    `earlier` is the run that it has already; `folder` the absolute artifact path; `reason` one line for people,
    `error_slug` the same for programs.
    `postponed` is one whose record could not be made now (a full disk, another worker has it): the queue keeps it.
    """

    what: Literal["ran", "ran-before", "held", "carried", "failed", "postponed"]
    path: str
    commit: str
    status: str | None = None
    run_id: str | None = None
    earlier: str | None = None
    folder: str | None = None
    reason: str | None = None
    error_slug: str | None = None


Progress = Callable[[str, int, int], None]
_LOOK_EVERY_S = 0.05


def candidates(repo: Repo, services: Services, commits: Sequence[Oid], *, whole_tree: bool = False) -> list[Candidate]:
    """Returns the spec versions that the commits bring, oldest commit first; `whole_tree` takes every spec of each.

    A commit brings a spec when it changes the spec or a file that the spec names.
    """
    found: dict[tuple[str, str], Candidate] = {}
    changes = None if whole_tree or not commits else history.changes(repo, commits)
    sieve = Sieve(repo, services.load_spec, services.settings.spec_patterns)
    for commit in commits:
        changed = None
        if changes is not None:
            changed = set(changes.get(commit, {}))
            if not sieve.may_bring(commit, changes.get(commit, {})):
                continue
        state = commit_state(repo, commit)
        for candidate in _in_tree(repo, services, state, changed):
            found.setdefault((candidate.path, candidate.closure_sha256), candidate)
            # A commit that only changes a prompt or a case file must wake the worker too.
            watch(repo, (path for path, _ in candidate.files[1:]))
    return list(found.values())


def _in_tree(repo: Repo, services: Services, state: CommitState, changed: set[str] | None) -> Iterator[Candidate]:
    patterns = services.settings.spec_patterns
    only_specs = changed is not None and all(is_spec_path(path, patterns) for path in changed)
    for path in state.paths:
        if (
            not is_spec_path(path, patterns)
            or path_fault(path)
            or (only_specs and changed is not None and path not in changed)
        ):
            continue
        candidate = _candidate(repo, services, state, path)
        if candidate is None or state.git_sha is None:
            continue
        if changed is None or changed.intersection(file for file, _ in candidate.files):
            yield candidate


def _candidate(repo: Repo, services: Services, state: CommitState, path: str) -> Candidate | None:
    data = state.read(path)
    if data is None or not is_ours(data, path) or state.git_sha is None:
        return None
    name = RepoPath(path)
    try:
        closure = make_closure(services.load_spec(data, path), name, data, state)
        digest, named = closure.sha256, closure.files
    except SpecError:
        # It will be recorded as invalid, once: its closure is the file alone, as `make_invalid_plan` has it.
        digest, named = sha256_named([(path, sha256_bytes(data))]), {}
    files = [(path, trees.blob_oid(data))]
    files += [(other, trees.blob_oid(named[other])) for other in sorted(named)]
    return Candidate(commit=state.git_sha, path=name, closure_sha256=digest, files=tuple(files))


def earlier_run(repo: Repo, index: Index, candidate: Candidate, *, ok_only: bool = False) -> RunRow | None:
    """Returns the run that this closure has already, at its path or at the path it was moved from (design 3)."""
    status = "ok" if ok_only else None
    for row in index.select(spec_path=candidate.path, closure_sha256=candidate.closure_sha256, status=status):
        # `replay --at` may have met a version that never ran by itself; a replay is no first run.
        if row.replay_of is None:
            return row
    for row in index.select(blob=candidate.blob, status=status):
        if row.replay_of is not None:
            continue
        if row.spec_path == candidate.path or _has_path(repo, candidate.commit, row.spec_path):
            continue
        if _closure_at(repo, candidate, row.spec_path) == row.closure_sha256 and _is_heir(repo, candidate):
            return row
    return None


def _is_heir(repo: Repo, candidate: Candidate) -> bool:
    """Says whether a moved spec became this one: of several copies of it, the one that came first; the others are new.

    Without this a copy of a moved spec would never run, for both lie where the record's spec does not.
    """
    tree = trees.list_tree(repo, commit_info(repo, candidate.commit).tree)
    same = sorted(path for path, entry in tree.items() if entry.oid == candidate.blob)
    if len(same) < 2:
        return True
    return candidate.path == min(same, key=lambda path: (history.age_at(repo, candidate.commit, path), path))


def _has_path(repo: Repo, commit: Oid, path: str) -> bool:
    return history.blob_at(repo, commit, path) is not None


def _closure_at(repo: Repo, candidate: Candidate, path: str) -> str:
    """Returns the digest that the candidate's closure had, were the spec still at its old path."""
    pairs = [(name, sha256_bytes(trees.read_blob(repo, oid))) for name, oid in candidate.files]
    return sha256_named([(path, pairs[0][1]), *pairs[1:]])


def unknown_files(allowed: AllowList, candidate: Candidate) -> tuple[str, ...]:
    """Returns the files of the closure that this user has not allowed (design 4)."""
    return tuple(path for path, blob in candidate.files if not allowed.is_allowed(path, blob))


def hold_reason(candidate: Candidate, unknown: Iterable[str]) -> str:
    """Returns why a candidate waits for consent, and what gives it."""
    return f"{', '.join(unknown)} not allowed yet: timelab allow {candidate.path}"


def reconcile(
    repo: Repo,
    services: Services,
    found: Iterable[Candidate],
    *,
    retry: bool = False,
    attempts: int | None = None,
    progress: Progress = lambda path, done, total: None,
) -> Iterator[Outcome]:
    """Runs what has no record and is allowed; says of the rest why it does not run.

    `attempts` is how often the queue's job was begun; None where no queue would begin it again.
    """
    allowed = open_allow_list(repo)
    for candidate in found:
        known = _known(repo, candidate, allowed, retry=retry)
        if known is None:
            try:
                # Another worker may find the same version without a record at the same moment: one of them runs it.
                with queue.claim(repo, candidate.closure_sha256):
                    known = _known(repo, candidate, allowed, retry=retry)
                    if known is None:
                        known = _run(repo, services, candidate, attempts, progress)
                        # Records are made in order: the first without one is what the worker died of, not the others.
                        attempts = None if attempts is None else 1
            except StoreError as error:
                known = Outcome("postponed", candidate.path, candidate.commit, reason=error.message)
        yield known


def _known(repo: Repo, candidate: Candidate, allowed: AllowList, *, retry: bool) -> Outcome | None:
    """Returns why a candidate does not run: it has a record, or waits for consent; None when it is to run."""
    with open_index(repo) as index:
        earlier = earlier_run(repo, index, candidate, ok_only=retry)
    if earlier is not None:
        return Outcome(
            "ran-before",
            candidate.path,
            candidate.commit,
            status=earlier.status,
            earlier=earlier.run_id,
            reason=f"ran before as {earlier.run_id[:8]} on {(earlier.git_sha or 'no commit')[:8]}",
        )
    unknown = unknown_files(allowed, candidate)
    if unknown:
        return Outcome("held", candidate.path, candidate.commit, reason=hold_reason(candidate, unknown))
    return None


def _run(repo: Repo, services: Services, candidate: Candidate, attempts: int | None, progress: Progress) -> Outcome:
    give_up = None
    if attempts is not None and attempts > MAX_ATTEMPTS:
        message = f"the worker was killed, or failed, {attempts - 1} times before this was recorded"
        give_up = (Status.INTERRUPTED, Failure(slug="killed", message=message))
    request = RunRequest(
        spec_path=candidate.path,
        commit=candidate.commit,
        give_up=give_up,
        is_retried=attempts is not None,
        progress=lambda done, total: progress(candidate.path, done, total),
    )
    try:
        stored = run_spec(repo, request, services)
    except (StoreError, GitError, OSError) as error:
        return Outcome("postponed", candidate.path, candidate.commit, reason=_words_of(error))
    except TimelabError as error:
        return Outcome("failed", candidate.path, candidate.commit, reason=error.message)
    manifest = stored.manifest()
    return Outcome(
        "ran",
        candidate.path,
        candidate.commit,
        manifest.status.value,
        run_id=manifest.run_id,
        folder=str(stored.folder) if stored.folder else None,
        reason=manifest.error.message if manifest.error else None,
        error_slug=manifest.error.slug if manifest.error else None,
    )


def run_job(repo: Repo, services: Services, job: Job, *, progress: Progress) -> Iterator[Outcome]:
    """Does what one queue entry asks for: carry what was rewritten, then run what its commits bring."""
    for old, new in job.rewrites:
        if writer.carry(repo, old, new):
            yield Outcome("carried", "", new, earlier=old, reason=f"records of {old[:8]} carried to {new[:8]}")
    commits = [new for _, new in job.rewrites] if job.rewrites else job_commits(repo, job)
    found = candidates(repo, services, [oid for oid in commits if history.has_commit(repo, oid)])
    if found and job.commit is not None and plain_commit(repo, job):
        # All of the closure, not only what this commit changes: a file that this user committed earlier, when no spec
        # named it, is theirs too. `allow_own` judges each by where it came from.
        open_allow_list(repo).allow_own(repo, job, [pair for each in found for pair in each.files])
    yield from reconcile(repo, services, found, attempts=job.attempts, progress=progress)


def job_commits(repo: Repo, job: Job) -> list[Oid]:
    """Returns the commits of a queue entry, oldest first: one, or what a merge brought."""
    if job.since is not None and job.commit is not None:
        return history.commits_between(repo, job.since, job.commit)
    return [job.commit] if job.commit else []


def pending(repo: Repo, services: Services, range_: str | None = None) -> list[Candidate]:
    """Returns every spec version of a range; without one, of all since `timelab init` and of HEAD as it stands."""
    if range_ is not None:
        return candidates(repo, services, history.commits_in(repo, range_))
    head = history.head(repo)
    if head is None:
        return []
    since = get_config(repo, "timelab.since")
    commits = history.commits_between(repo, Oid(since), head) if since and history.has_commit(repo, since) else []
    found = candidates(repo, services, commits) + candidates(repo, services, [head], whole_tree=True)
    unique = {(each.path, each.closure_sha256): each for each in reversed(found)}
    return list(reversed(unique.values()))


def drain(repo: Repo, services: Services, *, progress: Progress, wait: bool = False) -> Iterator[Outcome]:
    """Does every job that the queue can lease; a job is finished only when all of its outcomes are recorded.

    One that could not be recorded now, or failed, stays in the queue, for the next worker. With `wait`, jobs that
    others work on are waited for, taken over if their worker dies, and told of.
    """
    watch_patterns(repo, services.settings.spec_patterns)
    wanted = {entry.job.id: entry.job for entry in queue.entries(repo)} if wait else {}
    tried: set[str] = set()
    while True:
        yield from _drain(repo, services, progress, tried)
        running = {entry.job.id for entry in queue.entries(repo) if entry.state == "running"} if wait else set()
        if not running & wanted.keys():
            break
        time.sleep(_LOOK_EVERY_S)
    for job in (wanted[name] for name in wanted.keys() - tried):
        yield from _outcomes_of_others(repo, job)


def _drain(repo: Repo, services: Services, progress: Progress, tried: set[str]) -> Iterator[Outcome]:
    while (leased := queue.lease(repo, skip=tried)) is not None:
        tried.add(leased.job.id)
        try:
            yield from _work_on(repo, services, leased, progress)
        except (TimelabError, OSError) as error:
            # One job that cannot be done must not keep the others waiting; how often it may fail, its lease counts.
            yield Outcome("failed", "", leased.job.commit or "", reason=_words_of(error))


def _work_on(repo: Repo, services: Services, leased: Leased, progress: Progress) -> Iterator[Outcome]:
    with leased as job:
        for outcome in run_job(repo, services, job, progress=progress):
            if outcome.what == "ran":
                leased.begin_anew()
            if outcome.what == "postponed":
                leased.keep()
            if outcome.what == "held":
                queue.hold(repo, job, outcome.path, outcome.reason or "", commit=Oid(outcome.commit))
            yield outcome


def _words_of(error: TimelabError | OSError) -> str:
    if isinstance(error, TimelabError):
        return error.message
    return error.strerror or str(error)


def _outcomes_of_others(repo: Repo, job: Job) -> Iterator[Outcome]:
    """Yields what another worker made of a job's commits: the runs that started on them."""
    with open_index(repo) as index:
        rows = [row for commit in job_commits(repo, job) for row in index.select(git_sha=commit)]
    for row in rows:
        folder = None if repo.root is None else str(repo.root / row.artifacts_path)
        yield Outcome(
            "ran",
            row.spec_path,
            row.git_sha or "",
            row.status,
            run_id=row.run_id,
            folder=folder,
            error_slug=row.error_slug,
        )
