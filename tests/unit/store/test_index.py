from __future__ import annotations

import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.helpers import START, Lab, make_manifest, projections
from timelab.errors import StoreError
from timelab.git import chain
from timelab.git.refs import read_ref, store_lock
from timelab.git.repo import discover
from timelab.manifest import Status
from timelab.names import Oid
from timelab.store.index import Index, open_index
from timelab.store.layout import index_path
from timelab.store.recover import reindex
from timelab.store.rows import ParsedRun, parse_run


def ids(index: Index, **wanted: str | None) -> list[str]:
    return [row.run_id for row in index.select(**wanted)]


def test_runs_come_newest_first_and_by_every_filter(lab: Lab) -> None:
    """A46: `same_as` finds equal inputs at other times."""
    first = lab.record(0)
    failed = lab.record(1, status=Status.FAILED, spec_path="specs/b.yaml")
    asked = lab.record(86_400, model="builtin:extractive@1", kind="llm")
    same = lab.record(2, files={**lab.make(0)[1]})
    with open_index(lab.repo) as index:
        assert ids(index) == [asked.run_id, same.run_id, failed.run_id, first.run_id]
        assert [row.run_id for row in index.select(limit=1)] == [asked.run_id]
        assert ids(index, status="failed") == [failed.run_id]
        assert ids(index, spec_path="specs/b.yaml") == [failed.run_id]
        assert ids(index, kind="llm") == ids(index, model="builtin:extractive@1") == [asked.run_id]
        assert ids(index, date="2026-11-21") == [asked.run_id]
        assert len(ids(index, date="2026-11")) == len(ids(index, date="2026")) == 4
        assert ids(index, before=failed.manifest().timestamp_start) == [first.run_id]
        assert len(ids(index, commit=lab.git_sha)) == len(ids(index, blob=lab.spec_blob)) == 4
        assert ids(index, same_as=first.manifest().run_key) == [same.run_id, first.run_id]
        assert (index.count(), index.count(status="failed")) == (4, 1)
        assert index.day_counts("2026-11-20") == {"failed": 1, "ok": 2}
        assert index.days() == ["2026-11-20", "2026-11-21"]
        assert [row.run_id for row in index.by_prefix(first.run_id[:10])] == [first.run_id]
        with pytest.raises(StoreError):
            index.select(colour="red")


def test_an_artifact_leads_to_its_runs(lab: Lab) -> None:
    run = lab.record(0)
    lab.record(1)
    answer = next(item for item in run.manifest().artifacts if item.path == "output/answer.json")
    with open_index(lab.repo) as index:
        assert [row.run_id for row in index.with_artifact(answer.sha256)] == [run.run_id]
        assert index.with_artifact("0" * 64) == []


def test_a_new_index_reads_the_chains_and_nothing_else(lab: Lab) -> None:
    lab.record(0)
    lab.record(1)
    before = projections(lab)["rows"]
    index_path(lab.repo).unlink()
    assert projections(lab)["rows"] == before


def test_entries_that_others_wrote_are_read_from_where_we_stopped(lab: Lab, tmp_path: Path) -> None:
    run = lab.record(0)
    other = tmp_path / "clone"
    lab.git("clone", "-q", str(lab.root), str(other))
    away = Lab(discover(other), lab.git_sha, lab.spec_blob)
    theirs = away.record(5)
    lab.git("fetch", "-q", str(other), "refs/timelab/runs/*:refs/timelab/remotes/origin/runs/*")
    with open_index(lab.repo) as index:
        assert ids(index) == [theirs.run_id, run.run_id]
        assert index.select()[0].ref.startswith("refs/timelab/remotes/origin/runs/")
    assert read_ref(lab.repo, run.ref) == run.entry


def test_our_own_chain_takes_precedence_over_its_remote_copy(lab: Lab) -> None:
    run = lab.record(0)
    copy = run.ref.replace("refs/timelab/", "refs/timelab/remotes/origin/")
    lab.git("update-ref", copy, run.entry)
    with open_index(lab.repo) as index:
        assert [(row.run_id, row.ref) for row in index.select()] == [(run.run_id, run.ref)]
    before = projections(lab)
    reindex(lab.repo)
    assert projections(lab) == before


def test_one_run_on_two_chains_counts_once_in_whatever_order_they_come(lab: Lab) -> None:
    run = lab.record(0)
    (lab.repo.timelab_dir / "writer").write_text("zz-other-writer\n")
    with store_lock(lab.repo):
        tree = Oid(lab.git("rev-parse", f"{run.entry}^{{tree}}"))
        chain.append_tree(lab.repo, tree, message="again", when=START + timedelta(days=2))
    with open_index(lab.repo) as index:
        (row,) = index.select()
    assert row.ref.endswith("/zz-other-writer")
    index_path(lab.repo).unlink()
    with open_index(lab.repo) as index:
        assert index.select() == [row]


def test_what_is_not_ours_on_a_chain_is_stepped_over(lab: Lab) -> None:
    first = lab.record(0)
    when = START
    with store_lock(lab.repo):
        chain.append_files(lab.repo, {"run.json": b"not json"}, message="x", when=when)
        chain.append_files(lab.repo, {"README": b"hello"}, message="x", when=when)
        chain.append_files(lab.repo, {"carry.json": b"[]"}, message="x", when=when)
        chain.append_files(lab.repo, {"tombstone.json": b"{}"}, message="x", when=when)
    second = lab.record(1)
    with open_index(lab.repo) as index:
        assert ids(index) == [second.run_id, first.run_id]
        assert (len(index.entries("broken")), len(index.entries("tombstone"))) == (3, 1)


def test_a_chain_that_was_set_back_makes_the_index_anew(lab: Lab) -> None:
    first = lab.record(0)
    second = lab.record(1)
    lab.git("update-ref", first.ref, first.entry)
    with open_index(lab.repo) as index:
        assert ids(index) == [first.run_id]
    lab.git("update-ref", "-d", first.ref)
    with open_index(lab.repo) as index:
        assert ids(index) == []
    lab.git("update-ref", first.ref, second.entry)
    with open_index(lab.repo) as index:
        assert ids(index) == [second.run_id, first.run_id]


def test_a_chain_that_cannot_be_read_does_not_hide_the_others(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    run = lab.record(0)
    lab.git("update-ref", "refs/timelab/runs/broken-one", lab.git("commit-tree", "-m", "x", f"{run.entry}^{{tree}}"))
    oid = lab.git("rev-parse", "refs/timelab/runs/broken-one")
    path = lab.repo.common_dir / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(b"broken")
    index_path(lab.repo).unlink()
    with open_index(lab.repo) as index:
        assert ids(index) == [run.run_id]
    assert "refs/timelab/runs/broken-one" in caplog.text


@pytest.mark.parametrize("damage", ["garbage", "cut", "other version", "no table", "empty"])
def test_a_damaged_or_foreign_file_is_rebuilt(lab: Lab, damage: str) -> None:
    """B5: the index is a projection."""
    for number in range(3):
        lab.record(number)
    before = projections(lab)["rows"]
    path = index_path(lab.repo)
    if damage == "garbage":
        path.write_bytes(b"this is no database" * 1000)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:8192])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99" if damage == "other version" else "DROP TABLE run")
        db.close()
    assert projections(lab)["rows"] == before


def test_a_git_dir_that_cannot_be_written_gets_an_index_in_memory(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.record(0)
    with open_index(lab.repo) as index:
        before = index.select()
    real = sqlite3.connect

    def read_only(name: object, **options: object) -> sqlite3.Connection:
        # As root every file can be written, so SQLite is told what the file system would tell it.
        if name == index_path(lab.repo):
            return real(f"{index_path(lab.repo).as_uri()}?mode=ro", uri=True, isolation_level=None)
        return real(name, **options)  # type: ignore[call-overload, no-any-return]

    lab.record(1)
    index_path(lab.repo).unlink()
    monkeypatch.setattr(sqlite3, "connect", read_only)
    with open_index(lab.repo) as index:
        assert index.in_memory
        assert index.select()[1:] == before
    assert not index_path(lab.repo).exists()


def test_log_needs_neither_libgit2_nor_pydantic(lab: Lab) -> None:
    """S3: cold, on a missing index and on a current one."""
    lab.record(0)
    index_path(lab.repo).unlink()
    code = (
        "import sys; from pathlib import Path; from timelab.git.repo import discover;"
        "from timelab.store.index import open_index; from timelab.store.reader import StoredRun;"
        "index = open_index(discover(Path(sys.argv[1]))); assert len(index.select(limit=50)) == 1; index.close();"
        "heavy = {'pygit2', 'pydantic', 'jsonschema', 'yaml', 'rfc8785', 'detect_secrets'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(lab.root)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


def test_select_looks_up_and_does_not_scan(lab: Lab) -> None:
    lab.record(0)
    with open_index(lab.repo):
        plans = {
            "newest": "SELECT * FROM run ORDER BY timestamp_start DESC, run_id DESC LIMIT 50",
            "path": "SELECT * FROM run WHERE spec_path = 'x' ORDER BY timestamp_start DESC, run_id DESC",
            "commit": "SELECT * FROM run WHERE git_sha = '' OR run_id IN (SELECT run_id FROM carry WHERE target = '')",
        }
        db = sqlite3.connect(index_path(lab.repo))
        for name, query in plans.items():
            steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
            assert all("USING" in step and "INDEX" in step for step in steps if step.startswith(("SCAN", "SEARCH"))), (
                name,
                steps,
            )
        db.close()


def test_extend_takes_only_what_follows(lab: Lab) -> None:
    run = lab.record(0)
    parsed = parse_run(make_manifest(start=START + timedelta(seconds=9)).to_bytes(), "f" * 40, run.ref)
    assert isinstance(parsed, ParsedRun)
    with open_index(lab.repo) as index:
        assert not index.extend(run.ref, "0" * 40, "f" * 40, [parsed])
        assert index.count() == 1
        assert index.extend(run.ref, run.entry, "f" * 40, [parsed])
        assert index.count() == 2
