from __future__ import annotations

import pytest

from tests.helpers import Lab
from timelab.errors import GitError
from timelab.store import feed


def test_new_entries_are_those_after_the_old_tip(lab: Lab) -> None:
    entries = [lab.record(number).entry for number in range(3)]
    assert feed.new_entries(lab.repo, entries[2], None) == entries[::-1]
    assert feed.new_entries(lab.repo, entries[2], entries[0]) == [entries[2], entries[1]]
    assert feed.new_entries(lab.repo, entries[2], entries[2]) == []


def test_a_tip_that_does_not_follow_is_told(lab: Lab) -> None:
    entries = [lab.record(number).entry for number in range(2)]
    assert feed.new_entries(lab.repo, entries[0], entries[1]) is None
    assert feed.new_entries(lab.repo, entries[1], lab.git_sha) is None
    assert feed.new_entries(lab.repo, entries[1], "0" * 39 + "1") is None
    with pytest.raises(GitError):
        feed.new_entries(lab.repo, "0" * 39 + "1", None)


def test_blobs_come_in_order_and_missing_ones_are_none(lab: Lab) -> None:
    run = lab.record(0)
    names = [
        f"{run.entry}:run.json",
        f"{run.entry}:no such file",
        "0" * 40,
        f"{run.entry}:output",
        f"{run.entry}:run.json",
    ]
    assert feed.read_blobs(lab.repo, names) == [run.manifest_bytes, None, None, None, run.manifest_bytes]
    assert feed.read_blobs(lab.repo, []) == []


def test_a_damaged_blob_costs_only_itself(lab: Lab) -> None:
    first, second = lab.record(0), lab.record(1)
    oid = lab.git("rev-parse", f"{first.entry}:run.json")
    path = lab.repo.common_dir / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(b"\x78\x01broken")
    names = [f"{run.entry}:run.json" for run in (second, first, second)]
    assert feed.read_blobs(lab.repo, names) == [second.manifest_bytes, None, second.manifest_bytes]
