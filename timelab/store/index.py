"""The SQLite projection of the chains: what `log` reads. Deletable, versioned, rebuilt whenever it does not fit.

It is current when the tips that it has read are the tips of the chains, which one `git for-each-ref` tells. No libgit2
and no pydantic on this path.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from timelab.atomic import file_lock
from timelab.errors import GitError, StoreError
from timelab.names import RunId
from timelab.store import feed
from timelab.store.layout import day_of, index_path
from timelab.store.rows import COLUMNS, CarryRow, ParsedRun, parse_carry, parse_run
from timelab.store.rows import RunRow as RunRow

if TYPE_CHECKING:
    from timelab.git.repo import Repo

logger = logging.getLogger(__name__)

Term = tuple[str, tuple[Any, ...]]
VERSION = 1
_BUSY_S = 30.0
_LIST = ", ".join(COLUMNS)
_HELD_RUN = f"INSERT INTO run ({_LIST}) VALUES ({', '.join('?' * len(COLUMNS))})"
_TYPES = dict.fromkeys(("seed", "exit_code", "wall_ms", "dirty"), "INTEGER")
_SCHEMA = f"""
CREATE TABLE tip (ref TEXT PRIMARY KEY, oid TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (oid TEXT PRIMARY KEY, ref TEXT NOT NULL, kind TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (id INTEGER PRIMARY KEY, {", ".join(f"{c} {_TYPES.get(c, 'TEXT')}" for c in COLUMNS)});
CREATE UNIQUE INDEX run_by_id ON run (run_id);
CREATE INDEX run_by_time ON run (timestamp_start, run_id, status);
CREATE INDEX run_by_path ON run (spec_path, timestamp_start, run_id);
CREATE INDEX run_by_closure ON run (closure_sha256);
CREATE INDEX run_by_blob ON run (spec_blob);
CREATE INDEX run_by_commit ON run (git_sha);
CREATE INDEX run_by_key ON run (run_key);
CREATE INDEX run_by_entry ON run (entry);
CREATE TABLE carry
    (entry TEXT PRIMARY KEY, run_id TEXT, carried_from TEXT, target TEXT, tree_equal INTEGER) WITHOUT ROWID;
CREATE INDEX carry_by_target ON carry (target, run_id);
CREATE TABLE artifact (prefix INTEGER, run INTEGER, PRIMARY KEY (prefix, run)) WITHOUT ROWID;
CREATE TABLE day_log (root TEXT, day TEXT, size_bytes INTEGER, PRIMARY KEY (root, day)) WITHOUT ROWID;
"""
_TABLES = ("tip", "entry", "run", "carry", "artifact", "day_log")


class Index:
    """Is an open index. Close it, or use it as a context manager."""

    def __init__(self, connection: sqlite3.Connection, *, in_memory: bool) -> None:
        self._db = connection
        self.in_memory = in_memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    # -- reading

    def select(self, *, limit: int | None = None, **wanted: str | None) -> list[RunRow]:
        """Returns runs, newest first.

        Args:
            limit: at most so many.
            wanted: None does not filter. `before`: started before this timestamp. `date`: on this UTC day, month or
                year (`YYYY-MM-DD`, `YYYY-MM`, `YYYY`). `commit`: of this commit, carried ones too. `same_as`: with this
                run key (A46). `blob`: of this spec blob. Any other is a column of `RunRow`.
        """
        return self._rows(_terms(wanted), limit)

    def count(self, **wanted: str | None) -> int:
        """Returns how many runs there are, with the filters of `select`."""
        where, values = _where(_terms(wanted))
        return int(self._db.execute(f"SELECT count(*) FROM run WHERE {where}", values).fetchone()[0])

    def get(self, run_id: str) -> RunRow | None:
        """Returns one run, or None."""
        return next(iter(self._rows([("run_id = ?", (run_id,))], 1)), None)

    def by_prefix(self, prefix: str, limit: int = 10) -> list[RunRow]:
        """Returns the runs whose id starts with `prefix` (lower-case hex)."""
        return self._rows([("run_id >= ? AND run_id < ?", (prefix, prefix + "g"))], limit)

    def with_artifact(self, sha256: str) -> list[RunRow]:
        """Returns the runs that may hold a file with this digest: the first 60 bits agree."""
        asked = "id IN (SELECT run FROM artifact WHERE prefix = ?)"
        return self._rows([(asked, (_prefix(sha256),))], None)

    def carries(self, *, target: str | None = None) -> list[CarryRow]:
        """Returns the carried records, of one commit or of all."""
        asked = ("WHERE target = ?", (target,)) if target is not None else ("", ())
        found = self._db.execute(
            f"SELECT run_id, carried_from, target, tree_equal, entry FROM carry {asked[0]}", asked[1]
        )
        return [CarryRow(run_id, origin, to, bool(equal), entry) for run_id, origin, to, equal, entry in found]

    def day_counts(self, date: str) -> dict[str, int]:
        """Returns how many runs of a UTC day (`YYYY-MM-DD`) ended with each status."""
        found = self._db.execute(
            "SELECT status, count(*) FROM run WHERE timestamp_start >= ? AND timestamp_start < ? GROUP BY status",
            (f"{date}T", f"{date}U"),
        )
        return dict(sorted(found.fetchall()))

    def days(self) -> list[str]:
        """Returns the UTC days (`YYYY-MM-DD`) on which runs started."""
        return [
            day for (day,) in self._db.execute("SELECT DISTINCT substr(timestamp_start, 1, 10) FROM run ORDER BY 1")
        ]

    def targets_of(self, run_id: str) -> list[str]:
        """Returns the commits that a run's record was carried to."""
        return [to for (to,) in self._db.execute("SELECT DISTINCT target FROM carry WHERE run_id = ?", (run_id,))]

    def folders(self) -> Iterator[str]:
        """Yields the paths of the run folders, newest run first."""
        for (path,) in self._db.execute("SELECT artifacts_path FROM run ORDER BY timestamp_start DESC, run_id DESC"):
            yield path

    def tip(self, ref: str) -> str | None:
        """Returns up to where a chain has been read."""
        found = self._db.execute("SELECT oid FROM tip WHERE ref = ?", (ref,)).fetchone()
        return None if found is None else str(found[0])

    def entries(self, kind: str) -> list[str]:
        """Returns the entries of a kind: `run`, `carry`, `tombstone` or `broken`."""
        return [oid for (oid,) in self._db.execute("SELECT oid FROM entry WHERE kind = ? ORDER BY oid", (kind,))]

    def _rows(self, terms: Sequence[Term], limit: int | None) -> list[RunRow]:
        where, values = _where(terms)
        found = self._db.execute(
            f"SELECT {_LIST} FROM run WHERE {where} ORDER BY timestamp_start DESC, run_id DESC LIMIT ?",
            (*values, -1 if limit is None else limit),
        )
        return [_row_of(values) for values in found]

    # -- how far runs.csv has been written

    def csv_size(self, root: str, day: str) -> int | None:
        """Returns how large we left a day's runs.csv, or None when it must be written anew."""
        found = self._db.execute("SELECT size_bytes FROM day_log WHERE root = ? AND day = ?", (root, day)).fetchone()
        return None if found is None else int(found[0])

    def set_csv_size(self, root: str, day: str, size_bytes: int) -> None:
        """Remembers how large a day's runs.csv is."""
        self._db.execute("INSERT OR REPLACE INTO day_log VALUES (?, ?, ?)", (root, day, size_bytes))

    # -- writing

    def refresh(self, repo: Repo) -> None:
        """Reads what is new in the chains; does nothing when their tips are the ones it knows."""
        if self._tips() == feed.chain_tips(repo):
            return
        with self._transaction():
            # Again, now that nobody else can read further meanwhile.
            tips, known = feed.chain_tips(repo), self._tips()
            gone = known.keys() - tips.keys()
            if gone or not all(self._read_chain(repo, ref, tip, known.get(ref)) for ref, tip in tips.items()):
                logger.debug("a chain was rewritten or is gone: the index is read anew")
                self._clear()
                for ref, tip in tips.items():
                    self._read_chain(repo, ref, tip, None)

    def extend(self, ref: str, old: str | None, new: str, runs: Iterable[ParsedRun]) -> bool:
        """Adds the runs that were just appended to a chain; False when the index did not stand at `old`."""
        with self._transaction():
            if self.tip(ref) != old:
                return False
            for run in runs:
                self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, 'run')", (run.row.entry, ref))
                self._add_run(run)
            self._db.execute("INSERT OR REPLACE INTO tip VALUES (?, ?)", (ref, new))
        return True

    def rebuild(self, repo: Repo) -> None:
        """Drops everything and reads the chains from their beginnings."""
        with self._transaction():
            self._clear()
            for ref, tip in feed.chain_tips(repo).items():
                self._read_chain(repo, ref, tip, None)

    def _read_chain(self, repo: Repo, ref: str, tip: str, old: str | None) -> bool:
        """Reads a chain's new entries; False when it no longer holds what was read before."""
        if tip == old:
            return True
        try:
            oids = feed.new_entries(repo, tip, old)
        except GitError as error:
            # `verify` says what is wrong with it; the other chains can still be read.
            logger.warning("%s: %s", ref, error.message)
            return True
        if oids is None:
            return False
        fresh = [oid for oid in oids if not self._claim(oid, ref)]
        for item in feed.read_entries(repo, fresh):
            self._add_entry(item, ref)
        self._db.execute("INSERT OR REPLACE INTO tip VALUES (?, ?)", (ref, tip))
        return True

    def _claim(self, oid: str, ref: str) -> bool:
        """Says whether an entry is known already; a chain of ours takes precedence over its remote copy."""
        found = self._db.execute("SELECT ref FROM entry WHERE oid = ?", (oid,)).fetchone()
        if found is None:
            return False
        # As text, refs/timelab/runs/ is greater than refs/timelab/remotes/ and refs/heads/.
        if found[0] < ref:
            self._db.execute("UPDATE entry SET ref = ? WHERE oid = ?", (ref, oid))
            self._db.execute("UPDATE run SET ref = ? WHERE entry = ?", (ref, oid))
        return True

    def _add_entry(self, item: feed.Fed, ref: str) -> None:
        kind = item.kind
        if kind == "run" and item.data is not None:
            run = parse_run(item.data, item.oid, ref)
            if run is None:
                kind = "broken"
            elif self._add_run(run):
                self._db.execute("DELETE FROM day_log WHERE day = ?", (day_of(run.row.timestamp_start),))
        elif kind == "carry" and item.data is not None:
            carry = parse_carry(item.data, item.oid)
            if carry is None:
                kind = "broken"
            else:
                values = (carry.entry, carry.run_id, carry.carried_from, carry.to, carry.tree_equal)
                self._db.execute("INSERT OR REPLACE INTO carry VALUES (?, ?, ?, ?, ?)", values)
        self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", (item.oid, ref, kind))

    def _add_run(self, run: ParsedRun) -> bool:
        """Adds a run; of two entries for one, that of the greater (ref, entry) counts, in whatever order read."""
        row = run.row
        found = self._db.execute("SELECT id, ref, entry FROM run WHERE run_id = ?", (row.run_id,)).fetchone()
        if found is not None:
            if (found[1], found[2]) >= (row.ref, row.entry):
                return False
            self._db.execute("DELETE FROM artifact WHERE run = ?", (found[0],))
            self._db.execute("DELETE FROM run WHERE id = ?", (found[0],))
        added = self._db.execute(_HELD_RUN, [_plain(getattr(row, column)) for column in COLUMNS]).lastrowid
        pairs = {(_prefix(sha256), added) for sha256 in run.artifacts}
        self._db.executemany("INSERT OR IGNORE INTO artifact VALUES (?, ?)", pairs)
        return True

    def _tips(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT ref, oid FROM tip").fetchall())

    def _clear(self) -> None:
        for table in _TABLES:
            self._db.execute(f"DELETE FROM {table}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def open_index(repo: Repo, *, refresh: bool = True) -> Index:
    """Opens the index, and reads what is new in the chains unless told not to.

    A damaged or foreign file is dropped and rebuilt; where the git dir cannot be written the index lives in memory.

    Raises:
        StoreError: another process has kept it busy for 30 s.
    """
    try:
        return _open(repo, refresh)
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StoreError("the index is busy", hint="is another timelab rebuilding it? try again") from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR", "SQLITE_FULL")):
            return _open_in_memory(repo)
        logger.info("the index is damaged (%s) and is rebuilt", name)
    except OSError:
        return _open_in_memory(repo)
    drop_index(repo)
    return _open(repo, refresh)


def drop_index(repo: Repo) -> None:
    """Removes the index's files."""
    with file_lock(repo.timelab_dir / "index.lock"):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{index_path(repo)}{suffix}").unlink(missing_ok=True)


def _open(repo: Repo, refresh: bool) -> Index:
    path = index_path(repo)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        _prepare(connection)
        index = Index(connection, in_memory=False)
        if refresh:
            index.refresh(repo)
    except BaseException:
        connection.close()
        raise
    return index


def _prepare(connection: sqlite3.Connection) -> None:
    # A projection needs no sync: what a power cut takes is read again from the chains.
    connection.execute("PRAGMA synchronous = OFF")
    if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN EXCLUSIVE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            _create(connection)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection) -> None:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        connection.execute(f'DROP TABLE "{table}"')
    for statement in filter(str.strip, _SCHEMA.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _open_in_memory(repo: Repo) -> Index:
    """Opens a copy of the file, if it can be read, else an empty index; either is then brought up to date."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    path = index_path(repo)
    if path.is_file():
        try:
            source = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
            try:
                source.backup(connection)
            finally:
                source.close()
        except sqlite3.DatabaseError:
            connection.close()
            connection = sqlite3.connect(":memory:", isolation_level=None)
    _prepare(connection)
    index = Index(connection, in_memory=True)
    index.refresh(repo)
    return index


def _terms(wanted: Mapping[str, str | None]) -> list[Term]:
    terms: list[Term] = []
    for name, value in wanted.items():
        column = {"blob": "spec_blob", "same_as": "run_key"}.get(name, name)
        if value is None:
            continue
        if name == "before":
            terms.append(("timestamp_start < ?", (value,)))
        elif name == "date":
            terms.append(("timestamp_start >= ? AND timestamp_start < ?", (value, value + "\x7f")))
        elif name == "commit":
            carried = "run_id IN (SELECT run_id FROM carry WHERE target = ?)"
            terms.append((f"(git_sha = ? OR {carried})", (value, value)))
        elif column in COLUMNS:
            terms.append((f"{column} = ?", (value,)))
        else:
            raise StoreError(f"the index has no column {name}")
    return terms


def _where(terms: Sequence[Term]) -> tuple[str, list[Any]]:
    return " AND ".join(term for term, _ in terms) or "1", [value for _, given in terms for value in given]


def _row_of(values: Sequence[Any]) -> RunRow:
    named = dict(zip(COLUMNS, values, strict=True))
    named["run_id"], named["dirty"] = str.__new__(RunId, named["run_id"]), bool(named["dirty"])
    return RunRow(**named)


def _prefix(sha256: str) -> int:
    return int(sha256[:15], 16)


def _plain(value: Any) -> Any:
    # SQLite takes `str`, and not what is derived from it.
    return str(value) if isinstance(value, str) else value
