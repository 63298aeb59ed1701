"""The SQLite file under the index: its tables, its version, and what happens when it cannot be used."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timelab.atomic import file_lock
from timelab.errors import StoreError
from timelab.store.layout import index_path
from timelab.store.rows import COLUMNS

if TYPE_CHECKING:
    from timelab.git.repo import Repo

logger = logging.getLogger(__name__)

VERSION = 2
TABLES = ("tip", "entry", "run", "carry", "artifact", "day_log", "day_count")
_BUSY_S = 30.0
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
CREATE TABLE day_count (day TEXT, status TEXT, number INTEGER, PRIMARY KEY (day, status)) WITHOUT ROWID;
CREATE TABLE day_log (root TEXT, day TEXT, size_bytes INTEGER, PRIMARY KEY (root, day)) WITHOUT ROWID;
"""


class Database:
    """Is an open index file, or its stand-in in memory where the git dir cannot be written."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self.in_memory = False
        try:
            self._connection = _connect(index_path(repo))
        except OSError:
            self._connection, self.in_memory = _connect_in_memory(repo), True
        except sqlite3.DatabaseError as error:
            self._replace(error)

    def execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Runs one statement."""
        return self._connection.execute(query, values)

    def executemany(self, query: str, values: Any) -> None:
        """Runs one statement for each of `values`."""
        self._connection.executemany(query, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes all statements inside take effect together, while nobody else writes."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self.execute("ROLLBACK")
            raise

    def renew(self, error: sqlite3.DatabaseError) -> None:
        """Puts an empty database in the place of one that failed; the caller fills it from the chains.

        Raises:
            StoreError: it is only busy.
            sqlite3.DatabaseError: `error`, when there is nothing else to try.
        """
        if self.in_memory:
            raise error
        self.close()
        self._replace(error)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def _replace(self, error: sqlite3.DatabaseError) -> None:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StoreError("the index is busy", hint="is another timelab rebuilding it? try again") from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR", "SQLITE_FULL")):
            self._connection, self.in_memory = _connect_in_memory(self._repo), True
            return
        logger.info("the index is damaged (%s) and is rebuilt", error)
        drop_index(self._repo)
        self._connection = _connect(index_path(self._repo))


def drop_index(repo: Repo) -> None:
    """Removes the index's files."""
    with file_lock(repo.timelab_dir / "index.lock"):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{index_path(repo)}{suffix}").unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    # A projection needs no sync: what a power cut takes is read again from the chains.
    connection.execute("PRAGMA synchronous = OFF")
    # In KiB, taken as needed: digests come in no order, so a rebuild of 100,000 runs touches every page of six indexes.
    connection.execute("PRAGMA cache_size = -200000")
    if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN EXCLUSIVE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            _create(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection) -> None:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        connection.execute(f'DROP TABLE "{table}"')
    for statement in filter(str.strip, _SCHEMA.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _connect_in_memory(repo: Repo) -> sqlite3.Connection:
    """Opens a copy of the file, if it can be read, else an empty database."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    path = index_path(repo)
    try:
        if path.is_file():
            _copy(path, connection)
        _prepare(connection)
    except sqlite3.DatabaseError:
        connection.close()
        connection = sqlite3.connect(":memory:", isolation_level=None)
        _prepare(connection)
    return connection


def _copy(path: Path, target: sqlite3.Connection) -> None:
    source = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        source.backup(target)
    finally:
        source.close()
