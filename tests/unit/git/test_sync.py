"""timelab/git/sync.py: clones that push at once, copies that part, and what does not travel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from timelab.canonical import sha256_bytes
from timelab.errors import GitError, NotFound
from timelab.git.chain import HEADS, REMOTES, RUNS, append_files, read_file, tips, walk, writer_id
from timelab.git.notes import NOTES, add_lines, read_note, split_lines
from timelab.git.refs import list_refs, read_ref, store_lock, swap_ref
from timelab.git.repo import Repo, discover, resolve
from timelab.git.sync import INCOMING, SyncReport, sync
from timelab.git.trees import blob_oid
from timelab.names import Oid

Git = Callable[..., str]
WHEN = datetime(2026, 11, 20, tzinfo=UTC)
BLOB = blob_oid(b"the spec that all of them run")

SYNC = """
import sys
from pathlib import Path
from timelab.git.repo import discover
from timelab.git.sync import sync
report = sync(discover(Path(sys.argv[1])), "origin")
print(report.attempts)
"""


def record(found: Repo, name: str, *, commit: Oid | None = None, noted: bool = True) -> bytes:
    """Records a run as the store does: chain first, then the notes."""
    commit = commit or resolve(found, "HEAD")
    body = {
        "git_sha": commit,
        "run_id": sha256_bytes(name.encode()),
        "schema_version": 1,
        "spec": {"blob": BLOB},
        "timelab_version": "1",
        "timestamp_start": f"2026-11-20T00:00:00.{int(sha256_bytes(name.encode())[:4], 16):06d}Z",
    }
    line = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    with store_lock(found):
        append_files(found, {"run.json": line + b"\n", "output/name": name.encode()}, message=name, when=WHEN)
        if noted:
            add_lines(found, [(commit, line), (BLOB, line)])
    return line


@pytest.fixture
def server(repo: Path, tmp_path: Path, git: Git) -> Path:
    path = tmp_path / "server.git"
    git("clone", "-q", "--bare", str(repo), str(path), cwd=tmp_path)
    return path


@pytest.fixture
def clone(server: Path, tmp_path: Path, git: Git) -> Callable[[str], Repo]:
    def make(name: str) -> Repo:
        git("clone", "-q", str(server), str(tmp_path / name), cwd=tmp_path)
        return discover(tmp_path / name)

    return make


Clone = Callable[[str], Repo]


def recorded_names(found: Repo) -> list[str]:
    """Returns the names of all runs that this repository's chains hold, each entry once."""
    seen: dict[Oid, str] = {}
    for ref, tip in tips(found).items():
        for entry in walk(found, tip, ref=ref):
            seen[entry.oid] = (read_file(found, entry, "output/name") or b"").decode()
    return sorted(seen.values())


def test_a_run_goes_from_clone_to_clone_with_its_notes_and_nothing_else(server: Path, clone: Clone, git: Git) -> None:
    """T9: chains and notes travel by explicit refspecs; branches, tags and configuration stay as they are."""
    ada, bob = clone("ada"), clone("bob")
    assert ada.root is not None
    git("tag", "mine", cwd=ada.root)
    line = record(ada, "one")
    config = (ada.git_dir / "config").read_bytes()
    refs = list_refs(ada, "refs/heads", "refs/remotes", "refs/tags")
    report = sync(ada, "origin")
    assert (report.fetched, report.pushed, report.notes_pushed, report.withheld, report.parted) == (
        0,
        1,
        True,
        (),
        None,
    )
    assert sorted(list_refs(discover(server), "refs/")) == sorted(["refs/heads/main", NOTES, f"{RUNS}{writer_id(ada)}"])
    again = sync(ada, "origin")
    assert (again.fetched, again.pushed, again.notes_pushed, again.attempts) == (0, 0, False, 1)

    report = sync(bob, "origin")
    assert (report.fetched, report.pushed, report.notes_pushed) == (1, 0, False)
    assert recorded_names(bob) == ["one"]
    assert git("notes", "--ref", "timelab", "show", "HEAD", cwd=bob.git_dir).encode() == line
    assert read_note(bob, BLOB) == line + b"\n"
    assert (ada.git_dir / "config").read_bytes() == config
    assert list_refs(ada, "refs/heads", "refs/remotes", "refs/tags") == refs
    assert not (ada.git_dir / "FETCH_HEAD").exists()
    for found in (ada, bob, discover(server)):
        git("fsck", "--strict", cwd=found.git_dir)


def test_twelve_clones_push_at_once_and_every_record_arrives_once(server: Path, clone: Clone, git: Git) -> None:
    clones = [clone(f"clone-{number}") for number in range(12)]
    lines = [record(found, f"{number}-{turn}") for number, found in enumerate(clones) for turn in range(3)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SYNC, str(found.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for found in clones
    ]
    said = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0] * 12, said
    there = discover(server)
    expected = sorted(f"{number}-{turn}" for number in range(12) for turn in range(3))
    assert recorded_names(there) == expected
    assert sorted(split_lines(read_note(there, BLOB) or b"")) == sorted(lines)
    assert sorted(split_lines(read_note(there, resolve(there, "HEAD")) or b"")) == sorted(lines)
    for found in clones:
        sync(found, "origin")
        assert read_ref(found, NOTES) == read_ref(there, NOTES), "all come to the same notes"
        assert recorded_names(found) == expected
    git("fsck", "--strict", cwd=server)


def test_a_copied_clone_takes_a_new_writer_and_keeps_every_run(clone: Clone, tmp_path: Path, git: Git) -> None:
    ada = clone("ada")
    record(ada, "shared and pushed")
    sync(ada, "origin")
    record(ada, "shared")
    assert ada.root is not None
    shutil.copytree(ada.root, tmp_path / "copy")
    copy = discover(tmp_path / "copy")
    assert writer_id(copy) == writer_id(ada)
    record(ada, "ada's")
    record(copy, "copy's")
    record(copy, "copy's second")
    assert sync(ada, "origin").parted is None
    old = writer_id(copy)
    report = sync(copy, "origin")
    assert report.parted == (old, writer_id(copy))
    assert writer_id(copy) != writer_id(ada)
    assert report.pushed == 2
    assert sync(copy, "origin").parted is None
    sync(ada, "origin")
    everything = sorted(["shared and pushed", "shared", "ada's", "copy's", "copy's second"])
    assert recorded_names(copy) == recorded_names(ada) == everything
    tip = read_ref(copy, RUNS + writer_id(copy))
    assert git("log", "--format=%s %ae %cI", str(tip), cwd=copy.git_dir).splitlines() == [
        f"{name} {writer_id(copy)}@timelab.invalid 2026-11-20T00:00:00+00:00" for name in ("copy's second", "copy's")
    ]
    record(copy, "after")
    assert sync(copy, "origin").pushed == 1
    for found in (ada, copy):
        git("fsck", "--strict", cwd=found.git_dir)


def test_a_chain_set_back_behind_its_remote_copy_is_not_pushed_over(clone: Clone, server: Path) -> None:
    ada = clone("ada")
    for name in ("one", "two"):
        record(ada, name)
    sync(ada, "origin")
    old = writer_id(ada)
    tip = read_ref(ada, RUNS + old)
    assert tip is not None
    parent = next(walk(ada, tip, ref="")).parent
    swap_ref(ada, RUNS + old, parent, tip)
    report = sync(ada, "origin")
    assert report.parted == (old, writer_id(ada))
    record(ada, "three")
    sync(ada, "origin")
    assert recorded_names(ada) == recorded_names(discover(server)) == ["one", "three", "two"]


def test_runs_of_an_amended_commit_do_not_travel_by_accident(server: Path, clone: Clone, git: Git) -> None:
    """A20, design 3: they are listed, and chain and notes stay here until they are asked for."""
    ada = clone("ada")
    assert ada.root is not None
    git("commit", "-q", "--allow-empty", "-m", "with a slip", cwd=ada.root)
    slip = resolve(ada, "HEAD")
    record(ada, "slip")
    git("commit", "-q", "--amend", "--allow-empty", "-m", "without", cwd=ada.root)
    record(ada, "good")
    report = sync(ada, "origin")
    assert [(item.run_id, item.commit) for item in report.withheld] == [(sha256_bytes(b"slip"), slip)]
    assert (report.pushed, report.notes_pushed) == (0, False)
    assert list_refs(discover(server), "refs/notes", "refs/timelab") == {}
    report = sync(ada, "origin", include_amended=True)
    assert (report.pushed, report.notes_pushed, report.withheld) == (2, True, ())
    assert sync(ada, "origin").withheld == (), "what is pushed already is not held again"


def test_a_commit_that_gc_removed_counts_as_amended_away(clone: Clone) -> None:
    ada = clone("ada")
    record(ada, "lost", commit=Oid("1" * 40))
    assert [item.commit for item in sync(ada, "origin").withheld] == ["1" * 40]


def test_notes_are_completed_from_chains_and_foreign_lines_kept(clone: Clone, git: Git) -> None:
    ada, bob = clone("ada"), clone("bob")
    line = record(ada, "without a note", noted=False)
    git("notes", "--ref", "timelab", "add", "-m", "reviewed", "HEAD", cwd=ada.git_dir)
    with store_lock(ada):
        carried = {"run_id": sha256_bytes(b"without a note"), "to": "2" * 40, "carried_from": resolve(ada, "HEAD")}
        append_files(ada, {"carry.json": json.dumps(carried).encode()}, message="carry", when=WHEN)
    git("notes", "--ref", "timelab", "add", "-m", "seen", "HEAD", cwd=bob.git_dir)
    sync(ada, "origin")
    report = sync(bob, "origin")
    assert (report.fetched, report.notes_pushed) == (2, True)
    assert read_note(bob, resolve(bob, "HEAD")) == line + b"\nreviewed\nseen\n"
    assert read_note(bob, Oid("2" * 40)) == line + b"\n"
    sync(ada, "origin")
    assert read_ref(ada, NOTES) == read_ref(bob, NOTES)


def test_a_carry_of_an_earlier_sync_finds_its_line_in_the_notes(clone: Clone) -> None:
    ada, bob = clone("ada"), clone("bob")
    line = record(ada, "run")
    sync(ada, "origin")
    sync(bob, "origin")
    with store_lock(ada):
        carried = {"run_id": sha256_bytes(b"run"), "to": "2" * 40, "carried_from": resolve(ada, "HEAD")}
        append_files(ada, {"carry.json": json.dumps(carried).encode()}, message="carry", when=WHEN)
    sync(ada, "origin")
    sync(bob, "origin")
    assert read_note(bob, Oid("2" * 40)) == line + b"\n"


def test_a_host_that_takes_branches_only_gets_branches(server: Path, clone: Clone, git: Git) -> None:
    hook = server / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase $1 in refs/heads/*) exit 0;; esac\necho "branches only" >&2\nexit 1\n')
    hook.chmod(0o755)
    ada, bob = clone("ada"), clone("bob")
    record(ada, "one")
    with pytest.raises(GitError, match="origin refuses our refs") as caught:
        sync(ada, "origin")
    assert caught.value.hint == "if the host takes branches only: git config timelab.syncPrefix refs/heads/timelab/"
    assert sync(ada, "origin", prefix=HEADS).pushed == 1
    assert sync(bob, "origin", prefix=HEADS).fetched == 1
    assert sorted(list_refs(discover(server), "refs/")) == [
        "refs/heads/main",
        "refs/heads/timelab/notes",
        f"refs/heads/timelab/runs/{writer_id(ada)}",
    ]
    assert recorded_names(bob) == recorded_names(discover(server)) == ["one"]


def test_several_remotes_and_bare_repositories_work(server: Path, clone: Clone, tmp_path: Path, git: Git) -> None:
    git("init", "-q", "--bare", str(tmp_path / "second"), cwd=tmp_path)
    git("clone", "-q", "--bare", str(server), str(tmp_path / "bare"), cwd=tmp_path)
    ada, bare = clone("ada"), discover(tmp_path / "bare")
    git("remote", "add", "team/second", str(tmp_path / "second"), cwd=ada.git_dir)
    record(ada, "one")
    record(bare, "two")
    sync(ada, "origin")
    sync(bare, "origin")
    sync(ada, "origin")
    sync(ada, "team/second")
    assert recorded_names(ada) == recorded_names(bare) == ["one", "two"]
    assert len(list_refs(ada, f"{REMOTES}team/second/runs/")) == 1


def test_a_mirror_clone_pushes_only_what_is_ours(server: Path, clone: Clone, tmp_path: Path, git: Git) -> None:
    git("clone", "-q", "--mirror", str(server), str(tmp_path / "mirror"), cwd=tmp_path)
    mirror = discover(tmp_path / "mirror")
    git("update-ref", "refs/heads/private", "HEAD", cwd=tmp_path / "mirror")
    record(mirror, "one")
    assert sync(mirror, "origin").pushed == 1
    assert list_refs(discover(server), "refs/heads").keys() == {"refs/heads/main"}
    assert list_refs(mirror, "refs/heads/private")


def test_a_remote_that_is_unknown_or_away_is_named(clone: Clone, git: Git) -> None:
    ada = clone("ada")
    for name in ("absent", "--upload-pack=touch pwned", "/some/path"):
        with pytest.raises(NotFound, match="no such remote"):
            sync(ada, name)
    git("remote", "set-url", "origin", "/no/such/place", cwd=ada.git_dir)
    with pytest.raises(GitError, match="cannot fetch from origin: fatal: '/no/such/place' does not appear"):
        sync(ada, "origin")


def test_a_hostile_chain_cannot_make_lines_of_its_own(clone: Clone, git: Git) -> None:
    ada, eve = clone("ada"), clone("eve")
    bad = [b"", b"[]", b"{", b'{"run_id":1,"git_sha":7,"spec":3}', b"[" * 100_000, b'{"git_sha":"HEAD"}\nx\n']
    for number, data in enumerate(bad):
        with store_lock(eve):
            append_files(eve, {"run.json": data}, message=str(number), when=WHEN)
            append_files(eve, {"carry.json": data}, message=str(number), when=WHEN)
    sync(eve, "origin")
    assert sync(ada, "origin").fetched == 2 * len(bad)
    assert read_ref(ada, NOTES) is None


def fetched_two(server: Path, clone: Clone) -> tuple[Repo, Repo, str]:
    """Returns Ada, who recorded two runs, Bob, who has them, and the ref of Ada's chain."""
    ada, bob = clone("ada"), clone("bob")
    for name in ("one", "two"):
        record(ada, name)
    sync(ada, "origin")
    assert sync(bob, "origin").fetched == 2
    assert list_refs(bob, INCOMING) == {}
    return ada, bob, RUNS + writer_id(ada)


def states(report: SyncReport) -> list[tuple[str, str]]:
    return [(lag.writer, lag.state) for lag in report.lagging]


def test_a_remote_whose_chain_was_set_back_takes_no_run_from_a_clone(server: Path, clone: Clone, git: Git) -> None:
    """T9: fetching is a union too; whoever wrote the chain gives the remote back what it lost."""
    ada, bob, ref = fetched_two(server, clone)
    git("update-ref", ref, f"{ref}~1", cwd=server)
    notes = read_ref(bob, NOTES)
    for _ in range(2):
        report = sync(bob, "origin")
        assert (report.fetched, states(report)) == (0, [(writer_id(ada), "behind")])
        assert recorded_names(bob) == ["one", "two"]
        assert read_ref(bob, NOTES) == notes
    report = sync(ada, "origin")
    assert (report.pushed, report.parted, report.lagging) == (1, None, ())
    assert recorded_names(discover(server)) == ["one", "two"]
    assert sync(bob, "origin").lagging == ()


def test_a_chain_and_notes_that_were_deleted_on_the_remote_stay_here(server: Path, clone: Clone, git: Git) -> None:
    ada, bob, ref = fetched_two(server, clone)
    git("update-ref", "-d", ref, cwd=server)
    git("update-ref", "-d", NOTES, cwd=server)
    git("config", "fetch.prune", "true", cwd=bob.git_dir)
    report = sync(bob, "origin")
    assert (states(report), report.notes_pushed) == ([(writer_id(ada), "gone")], True)
    assert recorded_names(bob) == ["one", "two"]
    assert sync(ada, "origin").pushed == 2
    assert sync(bob, "origin").lagging == ()


def test_a_chain_that_was_rewritten_on_the_remote_is_not_taken(server: Path, clone: Clone, git: Git) -> None:
    """The clone that wrote it keeps its runs too, under a new name."""
    ada, bob, ref = fetched_two(server, clone)
    forged = git("commit-tree", f"{ref}^{{tree}}", "-p", f"{ref}~1", "-m", "forged", cwd=server)
    git("update-ref", ref, forged, cwd=server)
    old = writer_id(ada)
    report = sync(bob, "origin")
    assert (report.fetched, states(report)) == (0, [(old, "parted")])
    assert recorded_names(bob) == ["one", "two"]
    report = sync(ada, "origin")
    assert (report.parted, report.pushed, report.lagging) == ((old, writer_id(ada)), 1, ())
    assert recorded_names(ada) == ["one", "two", "two"]
    assert sync(bob, "origin").fetched == 1


def test_what_a_killed_sync_left_is_not_taken_for_the_remote_s(server: Path, clone: Clone, git: Git) -> None:
    _, bob, ref = fetched_two(server, clone)
    tip = read_ref(discover(server), ref)
    assert tip is not None
    git("update-ref", f"{INCOMING}origin/runs/{'0' * 16}", tip, cwd=bob.git_dir)
    assert sync(bob, "origin").fetched == 0
    assert list_refs(bob, INCOMING) == {}
    assert recorded_names(bob) == ["one", "two"]
