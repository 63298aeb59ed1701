from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers import start_of
from tests.records import TrueLab, make_true_lab
from timelab.canonical import canonical_bytes
from timelab.git import chain
from timelab.git.notes import NOTES
from timelab.git.raw import Missing
from timelab.git.refs import store_lock
from timelab.names import Oid
from timelab.store import journal, writer
from timelab.store.journal import Intent
from timelab.store.reader import StoredRun
from timelab.store.rebuild import reindex
from timelab.verify import verify
from timelab.verify.carries import Carry, check_carries
from timelab.verify.ledger import Ledger

NOWHERE = "f" * 40


@pytest.fixture
def true(repo: Path) -> TrueLab:
    return make_true_lab(repo)


def add_carry(true: TrueLab, run: StoredRun, **says: Any) -> None:
    """Appends a carry entry as somebody who knows the format would write it, and brings the notes up to it."""
    body = canonical_bytes({"run_id": run.run_id, **says}) + b"\n"
    with store_lock(true.lab.repo):
        chain.append_files(true.lab.repo, {"carry.json": body}, message="carry", when=start_of(run.manifest()))
    reindex(true.lab.repo)


def said(true: TrueLab) -> list[str]:
    return [finding.what for finding in verify(true.lab.repo).findings]


def test_carries_over_several_commits_hold(true: TrueLab) -> None:
    """G6: amended twice; one of the commits has the same tree."""
    true.record(0)
    second = true.lab.commit_file("later.txt")
    writer.carry(true.lab.repo, true.lab.git_sha, second)
    true.lab.git("commit", "-q", "--allow-empty", "-m", "again")
    writer.carry(true.lab.repo, second, true.lab.git("rev-parse", "HEAD"))  # type: ignore[arg-type]
    report = verify(true.lab.repo)
    assert report.ok, report.findings
    assert [warning.step for warning in report.warnings] == [6]


def test_a_carry_from_where_the_record_never_stood_is_wrong(true: TrueLab) -> None:
    """Its keys and its form are right; what it says is not."""
    run = true.record(0)
    add_carry(true, run, carried_from=NOWHERE, to=true.lab.commit_file("later.txt"), tree_equal=True)
    assert said(true) == ["carries from ffffffffffff, where the record never stood"]


def test_carries_that_only_follow_from_each_other_are_wrong(true: TrueLab) -> None:
    run = true.record(0)
    one, two = true.lab.commit_file("1.txt"), true.lab.commit_file("2.txt")
    add_carry(true, run, carried_from=one, to=two, tree_equal=False)
    add_carry(true, run, carried_from=two, to=one, tree_equal=False)
    assert len(said(true)) == 2 and all("never stood" in what for what in said(true))


def test_equal_trees_are_compared_where_both_commits_are_here(true: TrueLab) -> None:
    run = true.record(0)
    new = true.lab.commit_file("later.txt")
    add_carry(true, run, carried_from=true.lab.git_sha, to=new, tree_equal=True)
    assert said(true) == [f"says that the trees of {true.lab.git_sha[:12]} and {new[:12]} are equal, and they are not"]


def test_a_commit_that_is_not_here_leaves_its_tree_unknown(true: TrueLab) -> None:
    run = true.record(0)
    add_carry(true, run, carried_from=true.lab.git_sha, to=NOWHERE, tree_equal=True)
    report = verify(true.lab.repo)
    assert report.ok, report.findings
    assert report.steps[1].unknown == 1


def test_a_carry_that_says_less_than_is_so_is_worth_a_look(true: TrueLab) -> None:
    """Who carried it may not have had both commits."""
    run = true.record(0)
    true.lab.git("commit", "-q", "--allow-empty", "-m", "again")
    add_carry(true, run, carried_from=true.lab.git_sha, to=true.lab.git("rev-parse", "HEAD"), tree_equal=False)
    report = verify(true.lab.repo)
    assert report.ok, report.findings
    assert "says that the trees differ, and they are equal" in [warning.what for warning in report.warnings]


@pytest.mark.parametrize(
    ("says", "what"),
    [
        ({"to": "x", "tree_equal": True}, "not a git object id"),
        ({"to": NOWHERE, "tree_equal": "yes"}, "tree_equal is neither true nor false"),
    ],
)
def test_values_of_another_kind_are_wrong(true: TrueLab, says: dict[str, Any], what: str) -> None:
    run = true.record(0)
    add_carry(true, run, carried_from=true.lab.git_sha, **says)
    assert any(what in each for each in said(true))


def test_notes_that_are_gone_where_they_were_written_are_wrong(true: TrueLab) -> None:
    """A clone may come without notes; whoever recorded a run noted it."""
    run = true.record(0)
    true.record(1)
    true.lab.git("update-ref", "-d", NOTES)
    assert said(true) == ["is not here, though our own chain has 2 runs"]
    assert not verify(true.lab.repo, [run.run_id]).ok
    for each in verify(true.lab.repo).findings:
        assert each.heal is not None and "reindex" in each.heal
    reindex(true.lab.repo)
    assert said(true) == []


def test_the_first_run_of_all_is_no_finding_while_it_is_noted(true: TrueLab) -> None:
    run = true.record(0)
    true.lab.git("update-ref", "-d", NOTES)
    journal.announce(true.lab.repo, Intent(name=run.run_id, op="run", root=None, git_dir="x", run_id=run.run_id))
    assert verify(true.lab.repo).ok


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_record_that_was_carried_often_holds_in_whatever_order_one_looks(order: tuple[int, ...]) -> None:
    """G6: chains are read newest first, and the carries of one record may stand in several."""
    start, *steps = (Oid(f"{number}" * 40) for number in range(4))
    origins = [start, *steps[:-1]]
    group = [Carry("a" * 64, origins[at], steps[at], False, "") for at in order]
    known = {"a" * 64: SimpleNamespace(git_sha=start)}
    ledger = Ledger()
    check_carries(group, known, NoCommits(), ledger)  # type: ignore[arg-type]
    assert ledger.findings == []


class NoCommits:
    """Is a repository that has none of the commits."""

    def tree(self, commit: Oid) -> Oid:
        raise Missing(commit)
