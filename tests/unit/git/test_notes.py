"""timelab/git/notes.py: lines on objects, a set union under all circumstances, readable by plain git."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from timelab.canonical import sha256_bytes
from timelab.git.notes import (
    FOREIGN,
    NOTES,
    add_lines,
    is_run_line,
    line_key,
    merge_remote,
    read_note,
    rebuild,
    remove_lines,
    targets,
)
from timelab.git.refs import read_ref, store_lock
from timelab.git.repo import discover, resolve
from timelab.git.trees import blob_oid, write_blob
from timelab.names import Oid

Git = Callable[..., str]

ADD = """
import sys
from pathlib import Path
from timelab.git.notes import add_lines
from timelab.git.refs import store_lock
from timelab.git.repo import discover
from timelab.git.trees import blob_oid
from timelab.names import Oid
repo, name, head = discover(Path(sys.argv[1])), sys.argv[2], Oid(sys.argv[3])
for number in range(40):
    line = f'{{"run_id":"{number:032x}{int(name):032x}","schema_version":1,"timestamp_start":"{number:06d}"}}'.encode()
    with store_lock(repo):
        add_lines(repo, [(head, line), (blob_oid(f"{name}/{number}".encode()), line)])
"""


def make_line(number: int, **more: Any) -> bytes:
    stamp = f"2026-11-20T10:23:{number // 1000 % 60:02d}.{number % 1000:06d}Z"
    record = {
        "run_id": sha256_bytes(str(number).encode()),
        "schema_version": 1,
        "timelab_version": "1",
        "timestamp_end": stamp,
        "timestamp_start": stamp,
        **more,
    }
    return json.dumps(record, separators=(",", ":"), sort_keys=True).encode()


def show(repo: Path, target: str) -> bytes:
    return subprocess.run(
        ["git", "notes", "--ref", "timelab", "show", target], cwd=repo, capture_output=True, check=True
    ).stdout


def test_plain_git_shows_the_bytes_of_every_run(repo: Path, git: Git) -> None:
    """A6: the note on commit and on the spec's blob, one line a run, in order of their start."""
    found = discover(repo)
    head = resolve(found, "HEAD")
    blob = Oid(git("rev-parse", "HEAD:README.md", cwd=repo))
    one, two, three = (make_line(number) for number in (1, 2, 3))
    with store_lock(found):
        add_lines(found, [(head, three), (blob, three)])
        add_lines(found, [(head, one + b"\n"), (blob, one)])
        tip = read_ref(found, NOTES)
        add_lines(found, [(head, one)])
        assert read_ref(found, NOTES) == tip, "what is there changes nothing"
        add_lines(found, [(head, two)])
    assert show(repo, "HEAD") == read_note(found, head) == b"".join(line + b"\n" for line in (one, two, three))
    assert show(repo, "HEAD:README.md") == one + b"\n" + three + b"\n"
    assert targets(found) == sorted([head, blob])
    assert git("log", "-1", "--format=%ae %cI", NOTES, cwd=repo).endswith("@timelab.invalid 2026-11-20T10:23:00+00:00")
    assert git("status", "--porcelain", cwd=repo) == ""
    git("fsck", "--strict", cwd=repo)


def test_keys_come_from_the_record_and_not_from_what_lies_in_it() -> None:
    assert line_key(make_line(1)) == ("2026-11-20T10:23:00.000001Z", sha256_bytes(b"1"))
    inner = {"run_id": "0" * 64, "timestamp_start": "1999"}
    assert line_key(make_line(1, params=inner)) == line_key(make_line(1))
    quoted = json.dumps(inner, separators=(",", ":"))
    assert line_key(make_line(1, name=quoted)) == line_key(make_line(1))
    for foreign in (
        b"",
        b"reviewed by Eve",
        b"{}",
        b"[1]",
        b'{"run_id":1',
        b"\xff\xfe",
        b'{"a":{"timestamp_start":""}}',
    ):
        assert line_key(foreign) == FOREIGN
        assert not is_run_line(foreign)


def test_a_damaged_run_line_still_counts_as_ours() -> None:
    line = make_line(1)
    for at in range(len(line)):
        flipped = bytearray(line)
        flipped[at] ^= 1
        assert is_run_line(bytes(flipped)), at


def test_foreign_lines_are_kept_in_their_order_by_everything(repo: Path, git: Git) -> None:
    found = discover(repo)
    head = resolve(found, "HEAD")
    git("notes", "--ref", "timelab", "add", "-m", "reviewed by Eve\nabove all suspicion", cwd=repo)
    foreign = b"reviewed by Eve\nabove all suspicion\n"
    one, two = make_line(1), make_line(2)
    with store_lock(found):
        add_lines(found, [(head, two)])
        git("notes", "--ref", "timelab", "append", "-m", "a third", cwd=repo)
        foreign += b"\na third\n"
        add_lines(found, [(head, one)])
        assert show(repo, "HEAD") == one + b"\n" + two + b"\n" + foreign
        remove_lines(found, [(head, one)])
        assert show(repo, "HEAD") == two + b"\n" + foreign
        rebuild(found, {head: [one]})
        assert show(repo, "HEAD") == one + b"\n" + foreign
        rebuild(found, {})
    assert show(repo, "HEAD") == foreign


def test_a_rebuild_leaves_exactly_the_wanted_run_lines(repo: Path, git: Git) -> None:
    found = discover(repo)
    head = resolve(found, "HEAD")
    one, two = make_line(1), make_line(2)
    gone, new = blob_oid(b"gone"), blob_oid(b"new")
    with store_lock(found):
        add_lines(found, [(head, one.replace(b'"1"', b'"2"')), (gone, one)])
        rebuild(found, {head: [two, one], new: [two]})
        assert (read_note(found, head), read_note(found, gone)) == (one + b"\n" + two + b"\n", None)
        assert targets(found) == sorted([head, new])
        remove_lines(found, [(head, one), (head, two), (new, two), (gone, two)])
    assert targets(found) == []
    assert git("ls-tree", "-r", NOTES, cwd=repo) == ""


def test_eight_processes_add_at_once_and_no_line_is_lost(repo: Path, git: Git) -> None:
    found = discover(repo)
    head = resolve(found, "HEAD")
    children = [subprocess.Popen([sys.executable, "-c", ADD, str(repo), str(name), head]) for name in range(8)]
    assert [child.wait(timeout=180) for child in children] == [0] * 8
    lines = show(repo, "HEAD").splitlines()
    assert len(set(lines)) == len(lines) == 8 * 40
    assert lines == sorted(lines, key=line_key)
    assert len(targets(found)) == 8 * 40 + 1
    git("fsck", "--strict", cwd=repo)


def test_a_note_added_by_git_itself_between_our_look_and_our_write_is_not_lost(
    repo: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    from timelab.git import notes

    found = discover(repo)
    head = resolve(found, "HEAD")
    other = write_blob(found, b"other")
    real, calls = notes.swap_ref, []

    def meddle(*args: Any) -> None:
        if not calls:
            git("notes", "--ref", "timelab", "add", "-m", "quick", other, cwd=repo)
        calls.append(args)
        real(*args)

    monkeypatch.setattr(notes, "swap_ref", meddle)
    with store_lock(found):
        add_lines(found, [(head, make_line(1))])
    assert len(calls) == 2
    assert show(repo, other) == b"quick\n"
    assert show(repo, "HEAD") == make_line(1) + b"\n"


def test_two_histories_unite_line_by_line(repo: Path, git: Git) -> None:
    """T9, G5: a set union, with both parents; the second merge is a no-op."""
    found = discover(repo)
    head = resolve(found, "HEAD")
    ours_only, theirs_only = blob_oid(b"ours"), blob_oid(b"theirs")
    one, two, three = (make_line(number) for number in (1, 2, 3))
    with store_lock(found):
        add_lines(found, [(head, one), (head, b"mine"), (theirs_only, two)])
        git("update-ref", "refs/timelab/remotes/o/notes", NOTES, cwd=repo)
        git("update-ref", "-d", NOTES, cwd=repo)
        merge_remote(found, "refs/timelab/remotes/absent/notes")
        assert read_ref(found, NOTES) is None
        add_lines(found, [(head, three), (head, b"theirs"), (head, b"mine"), (ours_only, two)])
        ours = read_ref(found, NOTES)
        merge_remote(found, "refs/timelab/remotes/o/notes")
        tip = read_ref(found, NOTES)
        merge_remote(found, "refs/timelab/remotes/o/notes")
        assert read_ref(found, NOTES) == tip
    parents = git("log", "-1", "--format=%P", NOTES, cwd=repo).split()
    assert parents == [ours, git("rev-parse", "refs/timelab/remotes/o/notes", cwd=repo)]
    assert show(repo, "HEAD") == b"\n".join([one, three, b"theirs", b"mine", b""])
    assert targets(found) == sorted([head, ours_only, theirs_only])
    git("fsck", "--strict", cwd=repo)


def test_what_only_one_side_has_is_taken_over_as_it_is(repo: Path, git: Git) -> None:
    found = discover(repo)
    head = resolve(found, "HEAD")
    with store_lock(found):
        add_lines(found, [(head, make_line(1))])
        first = read_ref(found, NOTES)
        add_lines(found, [(head, make_line(2))])
        second = read_ref(found, NOTES)
        git("update-ref", "refs/timelab/remotes/o/notes", str(second), cwd=repo)
        git("update-ref", NOTES, str(first), cwd=repo)
        merge_remote(found, "refs/timelab/remotes/o/notes")
        assert read_ref(found, NOTES) == second
        git("update-ref", "-d", NOTES, cwd=repo)
        merge_remote(found, "refs/timelab/remotes/o/notes")
    assert read_ref(found, NOTES) == second
