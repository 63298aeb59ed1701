"""Numbered steps over the records → Report; nothing checked is a failure (design 7).

1 chain intact · 2 schema · 3 run_id and run_key recomputed · 4 spec blob in commit · 5 inputs · 6 lock · 7 artifacts ·
8 note equals chain · 9 folder equals chain · 10 nothing truncated. There are no signatures yet. Everything is judged on
the bytes as they lie there; nothing is fetched, evaluated, written or believed because it was read before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timelab.errors import DataError, GitError, TimelabError
from timelab.git import chain, refs
from timelab.git.history import commits_in
from timelab.git.lags import lags
from timelab.git.notes import NOTES
from timelab.git.raw import RawObjects
from timelab.git.repo import is_ancestor
from timelab.names import Oid
from timelab.plan import is_spec_path
from timelab.store import journal, reader
from timelab.store.layout import RUN_FILE
from timelab.verify.carries import Carry, check_carries, read_carry
from timelab.verify.commits import Commits
from timelab.verify.entries import REFETCH, Entry, EntryReader
from timelab.verify.folders import FolderChecker, run_folders
from timelab.verify.ledger import CHAIN, FOLDER, LOCK, SCHEMA, TRUNCATED, Ledger
from timelab.verify.notes import LOST, NoteChecker, read_notes
from timelab.verify.records import Record, RecordChecker
from timelab.views import VerifyReport

if TYPE_CHECKING:
    from timelab.git.repo import Repo

__all__ = ["NOTHING_CHECKED", "verify"]

NOTHING_CHECKED = "nothing was checked: there is no record here"
"""Is what is found where no chain, no note and no folder speaks of a run."""

NONE_HERE = "commit a spec, or fetch records with timelab sync"
GIVE_BACK = "timelab sync in the clone that wrote it gives it back, then timelab sync here"
_SNAPSHOT_TRIES = 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Snapshot:
    """Is what the refs said at one moment: no run is recorded between reading the chains and reading the notes."""

    tips: dict[str, Oid]
    notes: Oid | None
    announced: frozenset[str]


@dataclass
class _Found:
    records: list[Record] = field(default_factory=list)
    carries: list[Carry] = field(default_factory=list)
    tombstones: set[str] = field(default_factory=set)


def verify(
    repo: Repo, range_or_runs: Sequence[str] | None = None, *, progress: Progress = lambda done, total: None
) -> VerifyReport:
    """Checks every record of every chain, or those that are named, and returns what was found.

    Args:
        repo: any repository, a bare one too.
        range_or_runs: runs, commits, spec paths, run folders (as `reader.find_all` takes them) and ranges of commits.
        progress: called with (records done, records so far known).

    Raises:
        NotFound, UsageError: a name stands for no run, or for several.
    """
    ledger = Ledger()
    snapshot = _take_snapshot(repo)
    raw = RawObjects(repo)
    entries = EntryReader(raw, ledger)
    whole = range_or_runs is None
    listed = _every_entry(entries, snapshot.tips) if range_or_runs is None else _named(repo, entries, range_or_runs)
    commits = Commits(raw)
    checker = RecordChecker(commits, ledger)
    found = _check_entries(listed, checker, ledger, progress)
    if checker.unpinned:
        count = len(checker.unpinned)
        runs = "1 run" if count == 1 else f"{count} runs"
        what = f"{runs} in the unpinned shell `host`: a replay may meet other programs"
        run_id = checker.unpinned[0] if count == 1 else None
        ledger.warn(LOCK, run_id, "run.json shell.kind", what, "pin a shell: env/default/uv.lock")
    known = _known(found.records, ledger)
    check_carries(found.carries, known, commits, ledger)
    expected = _expected(found, known)
    if not whole:
        _expect_carried(repo, known, expected)
    notes = read_notes(raw, snapshot.notes, ledger)
    NoteChecker(notes, ledger, snapshot.announced, _own_ref(repo)).check(expected, known, whole=whole)
    if repo.root is not None:
        folders = FolderChecker(repo.root, raw, ledger)
        for record in known.values():
            if record.run_id not in snapshot.announced:
                folders.check(record)
    _check_truncation(repo, snapshot, known, found, ledger, whole=whole)
    if not found.records and not ledger.findings:
        ledger.wrong(CHAIN, None, "refs/timelab/runs", NOTHING_CHECKED, NONE_HERE)
    return VerifyReport(
        ok=not ledger.findings,
        runs=len(known),
        chains=len(snapshot.tips),
        is_signed=False,
        steps=ledger.steps(),
        findings=tuple(sorted(ledger.findings, key=lambda each: each.step)),
        warnings=tuple(ledger.warnings),
    )


def _take_snapshot(repo: Repo) -> _Snapshot:
    for _ in range(_SNAPSHOT_TRIES):
        notes, tips = refs.read_ref(repo, NOTES), chain.tips(repo)
        intents = journal.announced(repo)
        if refs.read_ref(repo, NOTES) == notes:
            break
    runs = (name for intent in intents for name in (intent.run_id, *(intent.staged or ())) if name)
    return _Snapshot(tips, notes, frozenset(runs))


def _every_entry(entries: EntryReader, tips: dict[str, Oid]) -> Iterable[Entry]:
    seen: set[Oid] = set()
    # Our own chains first: a record that others fetched back to us counts as ours.
    for ref in sorted(tips, key=lambda name: (not name.startswith(chain.RUNS), name)):
        yield from entries.chain(ref, tips[ref], seen)


def _named(repo: Repo, entries: EntryReader, names: Sequence[str]) -> Iterable[Entry]:
    chosen: dict[Oid, str] = {}
    for name in names:
        if ".." in name and not _is_known_spec(repo, name):
            rows = [run for commit in commits_in(repo, name) for run in reader.runs_of_commit(repo, commit)]
        else:
            rows = reader.find_all(repo, name)
        chosen.update({run.entry: run.ref for run in rows})
    for oid, ref in chosen.items():
        entry = entries.one(ref, oid)
        if entry is not None:
            yield entry


def _is_known_spec(repo: Repo, name: str) -> bool:
    """Says whether a name with two dots is the path of a spec that ran; else it is a range."""
    try:
        return is_spec_path(name) and bool(reader.find_all(repo, name))
    except TimelabError:
        return False


def _check_entries(listed: Iterable[Entry], checker: RecordChecker, ledger: Ledger, progress: Progress) -> _Found:
    found = _Found()
    for number, entry in enumerate(listed, 1):
        progress(number, number)
        if entry.kind == "run":
            record = checker.check(entry)
            if record is not None:
                found.records.append(record)
        elif entry.kind == "carry":
            body = _body(entry, {"carried_from", "to", "run_id", "tree_equal"}, ledger)
            carry = read_carry(body, entry.place, ledger) if body is not None else None
            found.carries += [carry] if carry is not None else []
        elif entry.kind == "tombstone":
            body = _body(entry, {"forgotten_at", "run_id"}, ledger)
            if body is not None:
                found.tombstones.add(str(body["run_id"]))
    return found


def _body(entry: Entry, keys: set[str], ledger: Ledger) -> dict[str, Any] | None:
    """Returns the JSON of a carry or tombstone entry, which holds exactly these keys in canonical form."""
    from timelab.canonical import canonical_bytes

    ledger.checked(SCHEMA)
    try:
        body = json.loads(entry.data)
        if isinstance(body, dict) and body.keys() == keys and canonical_bytes(body) + b"\n" == entry.data:
            if len(entry.files) == 1:
                return body
            fault = "stands beside other files"
        else:
            fault = "does not say what such an entry says"
    except (ValueError, RecursionError, DataError):
        fault = "is not JSON"
    ledger.wrong(SCHEMA, None, f"{entry.place} {entry.kind}.json", fault, REFETCH)
    return None


def _known(records: Iterable[Record], ledger: Ledger) -> dict[str, Record]:
    """Returns the records by run id; two chains may hold the same one (a copied clone), but never two versions."""
    known: dict[str, Record] = {}
    for record in records:
        first = known.setdefault(record.run_id, record)
        if first.entry.data != record.entry.data:
            what = f"is another record of a run that {first.entry.place} holds"
            ledger.wrong(SCHEMA, record.run_id, f"{record.entry.place} run.json", what, "one of them was changed")
    return known


def _expected(found: _Found, known: dict[str, Record]) -> dict[str, list[Record]]:
    """Returns which records should be noted on which object."""
    expected: dict[str, list[Record]] = {}
    for record in known.values():
        for target in {record.git_sha, record.spec_blob} - {None}:
            expected.setdefault(str(target), []).append(record)
    _add_carried(expected, known, [(each.run_id, each.to) for each in found.carries])
    return expected


def _add_carried(
    expected: dict[str, list[Record]], known: dict[str, Record], carried: Iterable[tuple[str, str]]
) -> None:
    present = {(record.run_id, target) for target, group in expected.items() for record in group}
    for run_id, target in dict.fromkeys(carried):
        if run_id in known and (run_id, target) not in present:
            expected.setdefault(target, []).append(known[run_id])


def _expect_carried(repo: Repo, known: dict[str, Record], expected: dict[str, list[Record]]) -> None:
    """Adds where the named runs were carried to, as the index knows it."""
    from timelab.store.index import open_index

    with open_index(repo) as index:
        _add_carried(expected, known, [(carry.run_id, carry.to) for carry in index.carries()])


def _check_truncation(
    repo: Repo, snapshot: _Snapshot, known: dict[str, Record], found: _Found, ledger: Ledger, *, whole: bool
) -> None:
    _check_own_tip(repo, snapshot, ledger)
    if not whole:
        return
    _check_lags(repo, ledger)
    for carry in found.carries:
        ledger.checked(TRUNCATED)
        if carry.run_id not in known and carry.run_id not in found.tombstones:
            ledger.wrong(TRUNCATED, carry.run_id, carry.place, "carries a run that is in no chain", REFETCH)
    if repo.root is None:
        return
    places = {record.folder for record in known.values()}
    orphans = []
    for folder in run_folders(repo.root):
        ledger.checked(TRUNCATED)
        if folder not in places:
            orphans.append(folder)
    if orphans and chain.tips(repo) != snapshot.tips:
        # Runs that were recorded while we read are no orphans.
        late = {str(run.folder) for run in reader.runs(repo)}
        orphans = [folder for folder in orphans if str(repo.root / folder) not in late]
    for folder in orphans:
        _orphan(repo, folder, known, found, ledger)


def _orphan(repo: Repo, folder: str, known: dict[str, Record], found: _Found, ledger: Ledger) -> None:
    assert repo.root is not None
    try:
        run_id = str(json.loads((repo.root / folder / RUN_FILE).read_bytes())["run_id"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        run_id = ""
    if run_id in known:
        what = f"is a second folder of run {run_id[:12]}"
        ledger.wrong(FOLDER, run_id, folder, what, "remove it, or put it back where it was")
    elif run_id in found.tombstones:
        ledger.warn(TRUNCATED, run_id, folder, "is the folder of a forgotten run", "remove it")
    else:
        ledger.wrong(TRUNCATED, run_id or None, folder, "is the folder of a run that is in no chain", LOST)


def _own_ref(repo: Repo) -> str | None:
    """Returns the ref of our own chain, None where nothing was ever recorded."""
    try:
        return chain.RUNS + (repo.timelab_dir / "writer").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _check_own_tip(repo: Repo, snapshot: _Snapshot, ledger: Ledger) -> None:
    """Our own chain may be ahead of what was fetched of it, never behind or beside."""
    own_ref = _own_ref(repo)
    if own_ref is None:
        return
    writer, own = own_ref.removeprefix(chain.RUNS), snapshot.tips.get(own_ref)
    for ref, tip in snapshot.tips.items():
        if ref.startswith(chain.RUNS) or not ref.endswith(f"/runs/{writer}"):
            continue
        ledger.checked(TRUNCATED)
        try:
            behind = own is None or not is_ancestor(repo, tip, own)
        except GitError as error:
            what = f"cannot be compared with our own chain: {error.message}"
            ledger.wrong(TRUNCATED, None, ref, what, REFETCH)
            continue
        if behind:
            what = f"is not part of our own chain, whose tip is {(own or 'gone')[:12]}: entries were lost"
            ledger.wrong(TRUNCATED, None, f"{ref} {tip[:12]}", what, "timelab sync takes them back")


def _check_lags(repo: Repo, ledger: Ledger) -> None:
    """No remote may have less of a chain than it once had, as far as the last sync with it tells."""
    for lag in lags(repo):
        ledger.checked(TRUNCATED)
        what = f"is {lag.state} on {ascii(lag.remote)[1:-1]}, which had all of it once; ours stays"
        ledger.wrong(TRUNCATED, None, f"chain {ascii(lag.writer)[1:-1]}", what, GIVE_BACK)
