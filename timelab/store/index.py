"""The SQLite projection of the chains: what `log` reads. Deletable, versioned, rebuilt whenever it does not fit.

It is current when the tips that it has read are the tips of the chains, which one `git for-each-ref` tells. No libgit2
and no pydantic on this path.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from timelab.errors import GitError, StoreError
from timelab.names import RunId
from timelab.store import feed
from timelab.store.database import TABLES, Database
from timelab.store.layout import day_of
from timelab.store.rows import COLUMNS, CarryRow, ParsedRun, parse_carry, parse_run
from timelab.store.rows import RunRow as RunRow

if TYPE_CHECKING:
    from timelab.git.repo import Repo

logger = logging.getLogger(__name__)

Term = tuple[str, tuple[Any, ...]]
_LIST = ", ".join(COLUMNS)
_ADD_RUN = f"INSERT INTO run ({_LIST}) VALUES ({', '.join('?' * len(COLUMNS))})"


class Index:
    """Is an open index. Close it, or use it as a context manager."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._db = Database(repo)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @property
    def in_memory(self) -> bool:
        """Says whether this index is lost when it is closed."""
        return self._db.in_memory

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
        return int(self._query(f"SELECT count(*) FROM run WHERE {where}", values)[0][0])

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
        found = self._query(f"SELECT run_id, carried_from, target, tree_equal, entry FROM carry {asked[0]}", asked[1])
        return [CarryRow(run_id, origin, to, bool(equal), entry) for run_id, origin, to, equal, entry in found]

    def day_counts(self, date: str) -> dict[str, int]:
        """Returns how many runs of a UTC day (`YYYY-MM-DD`) ended with each status."""
        query = "SELECT status, number FROM day_count WHERE day = ? AND number > 0 ORDER BY status"
        return dict(self._query(query, (date,)))

    def days(self) -> list[str]:
        """Returns the UTC days (`YYYY-MM-DD`) on which runs started."""
        return [day for (day,) in self._query("SELECT DISTINCT substr(timestamp_start, 1, 10) FROM run ORDER BY 1")]

    def targets_of(self, run_id: str) -> list[str]:
        """Returns the commits that a run's record was carried to."""
        return [to for (to,) in self._query("SELECT DISTINCT target FROM carry WHERE run_id = ?", (run_id,))]

    def newest_folders(self, limit: int) -> list[str]:
        """Returns the paths of the run folders of the newest runs, newest first."""
        query = "SELECT artifacts_path FROM run ORDER BY timestamp_start DESC, run_id DESC LIMIT ?"
        return [path for (path,) in self._query(query, (limit,))]

    def tip(self, ref: str) -> str | None:
        """Returns up to where a chain has been read."""
        found = self._query("SELECT oid FROM tip WHERE ref = ?", (ref,))
        return str(found[0][0]) if found else None

    def entries(self, kind: str) -> list[str]:
        """Returns the entries of a kind: `run`, `carry`, `tombstone` or `broken`."""
        return [oid for (oid,) in self._query("SELECT oid FROM entry WHERE kind = ? ORDER BY oid", (kind,))]

    def _rows(self, terms: Sequence[Term], limit: int | None) -> list[RunRow]:
        where, values = _where(terms)
        found = self._query(
            f"SELECT {_LIST} FROM run WHERE {where} ORDER BY timestamp_start DESC, run_id DESC LIMIT ?",
            (*values, -1 if limit is None else limit),
        )
        return [_row_of(values) for values in found]

    def _query(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Reads; a file that turns out to be damaged is made anew from the chains first."""
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._db.renew(error)
            self.refresh()
            return self._db.execute(query, values).fetchall()

    # -- how far runs.csv has been written

    def csv_size(self, root: str, day: str) -> int | None:
        """Returns how large we left a day's runs.csv, or None when it must be written anew."""
        found = self._query("SELECT size_bytes FROM day_log WHERE root = ? AND day = ?", (_text(root), day))
        return int(found[0][0]) if found else None

    def set_csv_size(self, root: str, day: str, size_bytes: int) -> None:
        """Remembers how large a day's runs.csv is."""
        self._db.execute("INSERT OR REPLACE INTO day_log VALUES (?, ?, ?)", (_text(root), day, size_bytes))

    def drop_csv_sizes(self, day: str, *, but: str) -> None:
        """Lets a day's runs.csv be written anew in every work tree but one: they lack what was recorded there."""
        self._db.execute("DELETE FROM day_log WHERE day = ? AND root <> ?", (day, _text(but)))

    # -- writing

    def refresh(self) -> None:
        """Reads what is new in the chains; does nothing when their tips are the ones it knows."""
        try:
            self._refresh()
        except sqlite3.DatabaseError as error:
            self._db.renew(error)
            self._refresh()

    def _refresh(self) -> None:
        if self._tips() == feed.chain_tips(self._repo):
            return
        with self._db.transaction():
            # Again, now that nobody else can read further meanwhile.
            tips, known = feed.chain_tips(self._repo), self._tips()
            gone = known.keys() - tips.keys()
            if gone or not all(self._read_chain(ref, tip, known.get(ref)) for ref, tip in tips.items()):
                logger.debug("a chain was rewritten or is gone: the index is read anew")
                for table in TABLES:
                    self._db.execute(f"DELETE FROM {table}")
                for ref, tip in tips.items():
                    self._read_chain(ref, tip, None)

    def extend(self, ref: str, old: str | None, new: str, runs: Iterable[ParsedRun]) -> bool:
        """Adds the runs that were just appended to a chain; False when the index did not stand at `old`."""
        try:
            with self._db.transaction():
                if self._db.execute("SELECT oid FROM tip WHERE ref = ?", (ref,)).fetchone() != (old and (old,)):
                    return False
                for run in runs:
                    self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, 'run')", (run.row.entry, ref))
                    self._add_run(run)
                self._db.execute("INSERT OR REPLACE INTO tip VALUES (?, ?)", (ref, new))
        except sqlite3.DatabaseError as error:
            self._db.renew(error)
            self._refresh()
        return True

    def _read_chain(self, ref: str, tip: str, old: str | None) -> bool:
        """Reads a chain's new entries; False when it no longer holds what was read before."""
        if tip == old:
            return True
        try:
            oids = feed.new_entries(self._repo, tip, old)
        except GitError as error:
            # `verify` says what is wrong with it; the other chains can still be read.
            logger.warning("%s: %s", ref, error.message)
            return True
        if oids is None:
            return False
        fresh = [oid for oid in oids if not self._claim(oid, ref)]
        for item in feed.read_entries(self._repo, fresh):
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
        query = "SELECT id, ref, entry, timestamp_start, status FROM run WHERE run_id = ?"
        found = self._db.execute(query, (row.run_id,)).fetchone()
        if found is not None:
            if (found[1], found[2]) >= (row.ref, row.entry):
                return False
            self._count(found[3], found[4], -1)
            self._db.execute("DELETE FROM artifact WHERE run = ?", (found[0],))
            self._db.execute("DELETE FROM run WHERE id = ?", (found[0],))
        added = self._db.execute(_ADD_RUN, [_plain(getattr(row, column)) for column in COLUMNS]).lastrowid
        self._count(row.timestamp_start, row.status, 1)
        pairs = {(_prefix(sha256), added) for sha256 in run.artifacts}
        self._db.executemany("INSERT OR IGNORE INTO artifact VALUES (?, ?)", pairs)
        return True

    def _count(self, timestamp_start: str, status: str, change: int) -> None:
        # Kept, because a day may have thousands of runs and each of them rewrites the day's README.
        query = "INSERT INTO day_count VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number"
        self._db.execute(query, (timestamp_start[:10], status, change))

    def _tips(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT ref, oid FROM tip").fetchall())


def open_index(repo: Repo, *, refresh: bool = True) -> Index:
    """Opens the index, and reads what is new in the chains unless told not to.

    A damaged or foreign file is dropped and rebuilt; where the git dir cannot be written the index lives in memory.

    Raises:
        StoreError: another process has kept it busy for 30 s.
    """
    index = Index(repo)
    try:
        if refresh or index.in_memory:
            index.refresh()
    except BaseException:
        index.close()
        raise
    return index


def _terms(wanted: Mapping[str, str | None]) -> list[Term]:
    terms: list[Term] = []
    for name, value in wanted.items():
        column = {"blob": "spec_blob", "same_as": "run_key"}.get(name, name)
        if value is None:
            continue
        if not _is_text(value):
            # SQLite takes no lone surrogates, so no row holds one.
            terms.append(("0", ()))
        elif name == "before":
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


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _where(terms: Sequence[Term]) -> tuple[str, list[Any]]:
    return " AND ".join(term for term, _ in terms) or "1", [value for _, given in terms for value in given]


def _row_of(values: Sequence[Any]) -> RunRow:
    named = dict(zip(COLUMNS, values, strict=True))
    named["run_id"], named["dirty"] = str.__new__(RunId, named["run_id"]), bool(named["dirty"])
    return RunRow(**named)


def _text(path: str) -> str:
    """Returns a path of this machine as SQLite can hold it: its text is UTF-8, a path need not be."""
    return path.encode("utf-8", "backslashreplace").decode()


def _prefix(sha256: str) -> int:
    return int(sha256[:15], 16)


def _plain(value: Any) -> Any:
    # SQLite takes `str`, and not what is derived from it.
    return str(value) if isinstance(value, str) else value
