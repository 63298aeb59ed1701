from __future__ import annotations

import pytest

from tests.helpers import Lab
from tests.records import loose_path, own_ref
from timelab.git import notes
from timelab.git.refs import read_ref, store_lock, swap_ref
from timelab.store.index import open_index
from timelab.store.orphans import orphan_lines
from timelab.store.rebuild import rebuild_notes
from timelab.store.recover import refresh, reindex
from timelab.store.writer import carry, forget
from timelab.verify import verify


def set_back(lab: Lab) -> None:
    """Points our own chain at the entry before its newest."""
    ref = own_ref(lab)
    tip = read_ref(lab.repo, ref)
    assert tip is not None
    swap_ref(lab.repo, ref, lab.git("rev-parse", f"{tip}^"), tip)  # type: ignore[arg-type]


def found(lab: Lab, held: set[str]) -> list[bytes]:
    with open_index(lab.repo) as index:
        return [line for _, line in orphan_lines(lab.repo, index, held, {})]


@pytest.mark.parametrize("how", [reindex, refresh])
def test_a_line_that_is_the_last_copy_of_a_run_survives_every_rebuild(lab: Lab, how) -> None:  # type: ignore[no-untyped-def]
    """A chain that was set back: verify goes on finding what it lost, and the line stays where it stood."""
    lab.record(0)
    lost = lab.record(1)
    before = notes.read_note(lab.repo, lab.git_sha)
    set_back(lab)
    for _ in range(2):
        assert how(lab.repo) == 1
        assert notes.read_note(lab.repo, lab.git_sha) == before
    assert lost.manifest_bytes in (before or b"")
    findings = [each for each in verify(lab.repo).findings if each.run_id == lost.run_id and "note on" in each.place]
    assert [each.what for each in findings] == [f"records run {lost.run_id[:12]}, which is in no chain"] * 2
    assert all("from a remote" in (each.heal or "") and "--repair" not in (each.heal or "") for each in findings)


def test_a_line_stays_while_its_record_cannot_be_read(lab: Lab) -> None:
    """The chain names the run, but the bytes of its record are gone; the note of two runs is another object."""
    run = lab.record(0)
    lab.record(1)
    before = notes.read_note(lab.repo, lab.git_sha)
    with store_lock(lab.repo), open_index(lab.repo) as index:
        loose_path(lab, lab.git("rev-parse", f"{run.entry}:run.json")).unlink()
        rebuild_notes(lab.repo, index)
    assert notes.read_note(lab.repo, lab.git_sha) == before


def test_lines_of_known_and_of_forgotten_runs_are_no_orphans(lab: Lab) -> None:
    known, gone = lab.record(0), lab.record(1)
    line = gone.manifest_bytes
    new = lab.commit_file("more.txt")
    carry(lab.repo, lab.git_sha, new)
    forget(lab.repo, gone)
    with store_lock(lab.repo):
        notes.add_lines(lab.repo, [(lab.git_sha, line), (lab.git_sha, b"looks good to me")])
    assert found(lab, {known.run_id}) == []
    reindex(lab.repo)
    assert line.strip() not in (notes.read_note(lab.repo, lab.git_sha) or b"")


@pytest.mark.parametrize("damage", ["other id", "no id", "cut off"])
def test_a_damaged_copy_of_a_line_is_replaced_and_not_kept(lab: Lab, damage: str) -> None:
    """What the chain gives back whole is no last copy, whichever byte of it is wrong."""
    run = lab.record(0)
    whole = run.manifest_bytes
    line = {
        "other id": whole.replace(run.run_id.encode(), run.run_id[::-1].encode()),
        "no id": whole.replace(b'"run_id":"', b'"run_iD":"'),
        "cut off": whole[: whole.index(b'"timestamp_start"') - 1] + b"\n",
    }[damage]
    with store_lock(lab.repo):
        notes.remove_lines(lab.repo, [(lab.git_sha, whole)])
        notes.add_lines(lab.repo, [(lab.git_sha, line)])
    reindex(lab.repo)
    assert notes.read_note(lab.repo, lab.git_sha) == whole
