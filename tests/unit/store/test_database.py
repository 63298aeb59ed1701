from __future__ import annotations

import sqlite3

import pytest

from tests.helpers import Lab
from timelab.errors import StoreError
from timelab.store.database import VERSION, Database, drop_index
from timelab.store.layout import index_path


def test_a_transaction_takes_effect_as_a_whole(lab: Lab) -> None:
    database = Database(lab.repo)
    with pytest.raises(RuntimeError), database.transaction():
        database.execute("INSERT INTO tip VALUES ('a', 'b')")
        raise RuntimeError
    assert database.execute("SELECT * FROM tip").fetchall() == []
    database.close()


def test_another_version_is_dropped_and_not_migrated(lab: Lab) -> None:
    database = Database(lab.repo)
    database.execute("INSERT INTO tip VALUES ('a', 'b')")
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    database = Database(lab.repo)
    assert database.execute("SELECT * FROM tip").fetchall() == []
    database.close()


def test_a_busy_file_is_said_and_not_dropped(lab: Lab) -> None:
    database = Database(lab.repo)
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorname = "SQLITE_BUSY"
    with pytest.raises(StoreError, match="busy"):
        database.renew(busy)
    assert index_path(lab.repo).exists()


def test_an_index_in_memory_is_not_replaced_again(lab: Lab) -> None:
    drop_index(lab.repo)
    index_path(lab.repo).mkdir()
    database = Database(lab.repo)
    assert database.in_memory
    with pytest.raises(sqlite3.DatabaseError):
        database.renew(sqlite3.DatabaseError("x"))
    database.close()
