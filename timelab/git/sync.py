"""Fetch and push of chains and notes: a union on both sides, never forced.

What is fetched lands below `INCOMING` first. A tracking copy moves only forward, so that a remote whose chain was set
back, rewritten or deleted takes no entry from us; `lags` keeps which chains those are.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from timelab.atomic import file_lock
from timelab.errors import DataError, GitError, NotFound, StoreError
from timelab.git import notes
from timelab.git.chain import HEADS, REMOTES, RUNS, Entry, part_from_copy, read_file, walk, writer_id
from timelab.git.lags import Lag, mark_lags
from timelab.git.notetext import is_run_line, line_key, split_lines
from timelab.git.program import said
from timelab.git.refs import list_refs, read_ref, store_lock, swap_ref
from timelab.git.repo import Repo, is_ancestor
from timelab.names import Oid, WriterId

INCOMING = "refs/timelab/incoming/"
"""Where a fetch puts what the remote has, exactly; there only while a sync runs."""

_ATTEMPTS = 100
_STUCK_ATTEMPTS = 6
"""Rejections in a row with nothing new on the remote: then it is not a race but a refusal."""

_LONGEST_WAIT_S = 1.0
_NETWORK_S = 600.0
_ASK_S = 20.0
_LOCK = "sync.lock"

_FETCH = (
    # --refmap= keeps git from moving the user's own tracking branches along; --no-filter, because an offline
    # `verify` needs the artifacts that a partial clone would leave out; --prune, because what a killed sync left below
    # INCOMING is not what the remote has.
    *("-c", "fetch.fsckObjects=true", "fetch", "--quiet", "--no-tags", "--prune", "--refmap=", "--no-filter"),
    *("--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc"),
)
_PUSH = (
    *("-c", "push.followTags=false", "-c", "push.gpgSign=false"),
    *("push", "--porcelain", "--no-verify", "--recurse-submodules=no"),
)


@dataclass(frozen=True)
class Withheld:
    """Is a run that was not pushed, because the commit it ran on is on no branch any more."""

    run_id: str
    commit: Oid


@dataclass(frozen=True)
class SyncReport:
    """Says what a sync did. `parted` is set when this repository turned out to be a copy of another.

    `fetched` and `pushed` count entries of chains. `withheld` keeps chain and notes from being pushed. `lagging` are
    the chains of others that the remote lost entries of; ours stay.
    """

    remote: str
    fetched: int
    pushed: int
    notes_pushed: bool
    withheld: tuple[Withheld, ...]
    parted: tuple[WriterId, WriterId] | None
    attempts: int
    lagging: tuple[Lag, ...] = ()


@dataclass(frozen=True)
class Route:
    """Is where chains and notes stand on a remote, and where their tracking copies stand here."""

    remote: str
    chains: str
    notes: str

    @property
    def here(self) -> str:
        """Returns the prefix of the tracking copies."""
        return f"{REMOTES}{self.remote}/"

    @property
    def incoming(self) -> str:
        """Returns the prefix of what the remote has at this moment."""
        return f"{INCOMING}{self.remote}/"

    def fetch_specs(self) -> list[str]:
        """Returns what brings the records, all of them below `incoming`."""
        # The notes' name ends in a wildcard, so that a remote without any is no error.
        return [f"+{self.chains}*:{self.incoming}runs/*", f"+{self.notes}*:{self.incoming}notes*"]


@dataclass(frozen=True)
class _Recorded:
    """Is what notes and the check for amended commits need of an entry."""

    run_id: str
    commit: Oid | None
    lines: tuple[tuple[Oid, bytes], ...]


@dataclass(frozen=True)
class _Own:
    """Is this writer's chain as it stood under the lock, and what of it the remote never had.

    `lost` counts what it had and has no more.
    """

    writer: WriterId | None
    tip: Oid | None
    unpushed: list[_Recorded]
    lost: int = 0


@dataclass(frozen=True)
class _Fetched:
    """Is what the remote has, by name after the prefix, what of it is new here, and whether anything moved."""

    there: dict[str, Oid]
    news: list[_Recorded]
    moved: bool


def sync(repo: Repo, remote: str, *, prefix: str | None = None, include_amended: bool = False) -> SyncReport:
    """Fetches the remote's chains and notes, unites the notes, and pushes this writer's chain and the notes.

    Args:
        repo: the repository.
        remote: the name of a configured remote.
        prefix: the setting `sync_prefix`: where the records stand on a host that refuses refs/timelab/.
        include_amended: push runs too whose commit is on no branch.

    Raises:
        NotFound: there is no such remote.
        GitError: the remote cannot be reached, refuses the refs, or never stood still.

    Side effects: network; writes refs/timelab/*, refs/notes/timelab and their copies on the remote, nothing else.
    """
    if remote not in remotes(repo):
        raise NotFound(f"no such remote: {remote[:80]!a}", hint="`git remote -v` lists them")
    route = route_to(remote, prefix)
    with file_lock(repo.timelab_dir / _LOCK, timeout_s=_NETWORK_S):
        return _sync(repo, route, include_amended=include_amended)


def _sync(repo: Repo, route: Route, *, include_amended: bool) -> SyncReport:
    fetched, pushed, stuck = 0, 0, 0
    parted: tuple[WriterId, WriterId] | None = None
    own = _Own(None, None, [])
    for attempt in range(1, _ATTEMPTS + 1):
        found = _fetch(repo, route)
        fetched += len(found.news)
        with store_lock(repo):
            parted = _settle_writer(repo, route, found.there) or parted
            own = _own(repo, route, own, found.there)
            _merge_notes(repo, route, found.there)
            notes.add_lines(repo, [line for item in (*found.news, *own.unpushed) for line in item.lines])
            # What is pushed is settled here, by id: what another process appends from now on was not looked at.
            tips = {route.chains: own.tip, route.notes: read_ref(repo, notes.NOTES)}
        _drop_incoming(repo, route)
        withheld = () if include_amended else _withheld(repo, own.unpushed)
        if withheld:
            lags = mark_lags(repo, route.remote, found.there)
            return SyncReport(route.remote, fetched, pushed, False, withheld, parted, attempt, lags)
        stuck = 0 if found.moved else stuck + 1
        taken, refusal = _push(repo, route, own.writer, tips, found.there)
        pushed += len(own.unpushed) + own.lost if route.chains in taken else 0
        if refusal is None:
            lags = mark_lags(repo, route.remote, found.there)
            return SyncReport(route.remote, fetched, pushed, route.notes in taken, (), parted, attempt, lags)
        if stuck >= _STUCK_ATTEMPTS:
            raise GitError(
                f"{route.remote} refuses our refs: {refusal}",
                hint=f"if the host takes branches only: git config timelab.syncPrefix {HEADS}",
            )
        # Random, and longer each time, so that many clones that push at once fall out of step.
        time.sleep(random.uniform(0.01, min(_LONGEST_WAIT_S, 0.05 * attempt)))
    raise GitError(f"{route.remote} moved each of {_ATTEMPTS} times that we pushed", hint="run `timelab sync` again")


def remotes(repo: Repo) -> list[str]:
    """Returns the names of the configured remotes."""
    return repo.git(["remote"]).stdout.decode("utf-8", "surrogateescape").splitlines()


def is_syncing(repo: Repo) -> bool:
    """Says whether a sync of this repository runs at this moment."""
    try:
        with file_lock(repo.timelab_dir / _LOCK, timeout_s=0):
            return False
    except StoreError:
        return True


def ask_tips(repo: Repo, remote: str, writer: WriterId) -> set[Oid]:
    """Returns where a remote has a writer's chain at this moment, below whatever prefix; nothing is fetched.

    Raises:
        GitError: it cannot be asked.
    """
    done = repo.git(["ls-remote", "--quiet", remote, f"runs/{writer}"], check=False, timeout_s=_ASK_S)
    if done.code:
        raise GitError(f"cannot ask {remote}: {said(done)}")
    return {Oid(line.partition("\t")[0]) for line in done.stdout.decode("utf-8", "replace").splitlines()}


def route_to(remote: str, prefix: str | None) -> Route:
    """Returns where records stand on a remote; `prefix` is the setting `sync_prefix`, ending in a slash, or None."""
    return Route(remote, f"{prefix}runs/", f"{prefix}notes") if prefix else Route(remote, RUNS, notes.NOTES)


def _fetch(repo: Repo, route: Route) -> _Fetched:
    """Fetches what the remote has, and moves forward the tracking copies of chains that it went on with."""
    before = list_refs(repo, route.here)
    done = repo.git([*_FETCH, route.remote, *route.fetch_specs()], check=False, timeout_s=_NETWORK_S)
    if done.code:
        raise GitError(f"cannot fetch from {route.remote}: {said(done)}")
    there = {name.removeprefix(route.incoming): tip for name, tip in list_refs(repo, route.incoming).items()}
    news: list[_Recorded] = []
    moved = there.get("notes") != before.get(f"{route.here}notes")
    for name, tip in there.items():
        known = before.get(route.here + name)
        if not name.startswith("runs/") or known == tip or (known is not None and not is_ancestor(repo, known, tip)):
            continue
        moved = True
        _track(repo, route.here + name, tip)
        news += _recorded(repo, walk(repo, tip, ref=route.here + name, stop=known))
    return _Fetched(there, news, moved)


def _merge_notes(repo: Repo, route: Route, there: dict[str, Oid]) -> None:
    # The older copy too: a sync that was killed may have left it unmerged, and the remote may have lost it since.
    notes.merge_remote(repo, f"{route.here}notes")
    notes.merge_remote(repo, f"{route.incoming}notes")
    if "notes" in there:
        _track(repo, f"{route.here}notes", there["notes"])


def _drop_incoming(repo: Repo, route: Route) -> None:
    names = "".join(f"delete {name}\0\0" for name in list_refs(repo, route.incoming))
    # What cannot be dropped now is pruned by the next sync.
    repo.git(["update-ref", "-z", "--stdin"], input=names.encode("utf-8", "surrogateescape"), check=False)


def _settle_writer(repo: Repo, route: Route, there: dict[str, Oid]) -> tuple[WriterId, WriterId] | None:
    """Takes a new writer id if the remote's copy of our chain holds what ours does not: someone copied the clone."""
    writer = writer_id(repo)
    name = f"runs/{writer}"
    ours, tracked = read_ref(repo, RUNS + writer), read_ref(repo, route.here + name)
    for theirs in dict.fromkeys((tracked, there.get(name))):
        if theirs is not None and (ours is None or not is_ancestor(repo, theirs, ours)):
            new = part_from_copy(repo, theirs)
            # All that the tracking copy had stood in our chain too, or it is `theirs`; so nothing goes with it.
            _track(repo, route.here + name, theirs)
            return writer, new
    return None


def _own(repo: Repo, route: Route, before: _Own, there: dict[str, Oid]) -> _Own:
    writer = writer_id(repo)
    tip, tracked = read_ref(repo, RUNS + writer), read_ref(repo, f"{route.here}runs/{writer}")
    found = there.get(f"runs/{writer}")
    lost = 0
    if tracked is not None and found != tracked:
        counted = ["rev-list", "--count", tracked, *([f"^{found}"] if found else [])]
        lost = int(repo.git(counted).stdout)
    if tip is None or tip == tracked:
        return _Own(writer, tip, [], lost)
    if (writer, tip) == (before.writer, before.tip):
        return _Own(writer, tip, before.unpushed, lost)
    return _Own(writer, tip, _recorded(repo, walk(repo, tip, ref=RUNS + writer, stop=tracked)), lost)


def _recorded(repo: Repo, entries: Iterable[Entry]) -> list[_Recorded]:
    """Returns what entries record, oldest first: a carried line stands in an earlier one."""
    known: dict[str, bytes] = {}
    found = []
    for entry in reversed(list(entries)):
        data = read_file(repo, entry, f"{entry.kind}.json") or b""
        record = _json(data)
        if entry.kind == "run":
            line = data.removesuffix(b"\n")
            known[str(record.get("run_id"))] = line
            spec = record.get("spec")
            blob = spec.get("blob") if isinstance(spec, dict) else None
            found.append(_record(record, [record.get("git_sha"), blob], line, _oid(record.get("git_sha"))))
        elif entry.kind == "carry":
            line = known.get(str(record.get("run_id"))) or _noted(repo, record)
            found.append(_record(record, [record.get("to")], line, None))
        else:
            found.append(_record(record, [], b"", None))
    return found


def _record(record: dict[str, Any], targets: list[Any], line: bytes, commit: Oid | None) -> _Recorded:
    # Only what is one line and a record can stand in a note; `verify` says what is wrong with the others.
    usable = is_run_line(line) and b"\n" not in line
    oids = [oid for oid in map(_oid, targets) if oid is not None]
    return _Recorded(str(record.get("run_id")), commit, tuple((oid, line) for oid in oids) if usable else ())


def _noted(repo: Repo, record: dict[str, Any]) -> bytes:
    source = _oid(record.get("carried_from"))
    lines = split_lines(notes.read_note(repo, source) or b"") if source else []
    return next((line for line in lines if line_key(line)[1] == record.get("run_id")), b"")


def _json(data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _oid(value: Any) -> Oid | None:
    try:
        return Oid(value)
    except DataError:
        return None


def _withheld(repo: Repo, own: list[_Recorded]) -> tuple[Withheld, ...]:
    """Returns the unpushed runs whose commit no local and no remote-tracking branch reaches."""
    commits = {item.commit for item in own if item.commit is not None}
    if not commits:
        return ()
    branches = set(list_refs(repo, "refs/heads", "refs/remotes").values())
    asked = [*sorted(commits), *(f"^{tip}" for tip in sorted(branches))]
    present = {oid for oid in commits if _is_here(repo, oid)}
    done = repo.git(["rev-list", "--ignore-missing", "--stdin"], input="\n".join(asked).encode() + b"\n")
    astray = (commits - present) | (commits & set(map(Oid, done.stdout.decode("ascii").split())))
    return tuple(Withheld(item.run_id, item.commit) for item in own if item.commit in astray and item.commit)


def _is_here(repo: Repo, oid: Oid) -> bool:
    return repo.pygit2().get(oid) is not None


def _push(
    repo: Repo, route: Route, writer: WriterId | None, tips: dict[str, Oid | None], there: dict[str, Oid]
) -> tuple[set[str], str | None]:
    """Returns which of the route's places the remote took anew, and its words if it did not take all.

    `there` is what the remote has; what it takes is added.
    """
    names = {route.chains: f"runs/{writer}", route.notes: "notes"}
    far = {route.chains: f"{route.chains}{writer}", route.notes: route.notes}
    wanted = {place: tip for place, tip in tips.items() if tip is not None and tip != there.get(names[place])}
    if not wanted:
        return set(), None
    specs = [f"{tip}:{far[place]}" for place, tip in wanted.items()]
    # In a mirror clone git refuses any refspec unless it is told that this push is not the mirroring one.
    plain = ["-c", f"remote.{route.remote}.mirror=false"]
    done = repo.git([*plain, *_PUSH, route.remote, *specs], check=False, timeout_s=_NETWORK_S)
    refused = _refusals(done.stdout)
    if done.code and not refused:
        raise GitError(f"cannot push to {route.remote}: {said(done)}")
    taken = {place for place in wanted if far[place] not in refused}
    for place in taken:
        there[names[place]] = wanted[place]
        _track(repo, route.here + names[place], wanted[place])
    return taken, next(iter(refused.values()), None)


def _track(repo: Repo, name: str, tip: Oid) -> None:
    try:
        swap_ref(repo, name, tip, read_ref(repo, name))
    except GitError as error:
        # Somebody fetched by hand meanwhile; a tracking copy is only a memory of what was there.
        if error.slug != "ref-moved":
            raise


def _refusals(porcelain: bytes) -> dict[str, str]:
    """Returns the remote's refs that were refused, each with the reason (git-push(1), OUTPUT)."""
    found: dict[str, str] = {}
    for line in porcelain.decode("utf-8", "replace").splitlines():
        flag, _, rest = line.partition("\t")
        pair, _, reason = rest.partition("\t")
        if flag == "!":
            found[pair.partition(":")[2]] = "".join(sign if sign.isprintable() else "?" for sign in reason)[:200]
    return found
