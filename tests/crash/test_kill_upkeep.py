"""What is done to records later is killed too: sync, reindex, forget, and carrying after an amend."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import wreck
from tests.lab import HELLO, Lab, make_lab
from tests.wreck import Blow, wait_until
from timelab import queue
from timelab.git.repo import Repo
from timelab.store.index import open_index
from timelab.store.reader import runs

Left = Callable[[], list[str]]
FEW, MANY = 2, 12


@pytest.fixture
def left() -> Iterator[Left]:
    with wreck.reaping() as left:
        yield left


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = make_lab(tmp_path / "repo")
    lab.commit({"specs/a.yaml": HELLO})
    return lab


def counts(few: int = FEW) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("count", [few, pytest.param(MANY, marks=pytest.mark.slow)])


def recorded(repo: Repo) -> set[str]:
    return {run.run_id for run in runs(wreck.fresh(repo))}


def moments(seed: int, count: int, span_s: float) -> list[Blow]:
    """Returns random moments of a command that takes about so long; most of it is over when Python has started."""
    chance = random.Random(seed)
    return [Blow("start", chance.uniform(0.25, 1.0) * span_s) for _ in range(count)]


@counts(1)
def test_a_killed_sync_loses_nothing_on_either_side(lab: Lab, left: Left, tmp_path: Path, count: int) -> None:
    """K8, T6: killed while it fetches, unites or pushes; the next sync brings both sides to the union."""
    hub = tmp_path / "hub.git"
    lab.git("init", "-q", "--bare", str(hub), cwd=tmp_path)
    lab.git("remote", "add", "origin", str(hub))
    lab.git("push", "-q", "-u", "origin", "main")
    other = Lab(tmp_path / "other")
    lab.git("clone", "-q", str(hub), str(other.root), cwd=tmp_path)
    other.timelab("init")
    repo, mine = wreck.repo_of(lab), wreck.mine(lab)
    for number, blow in enumerate(moments(31, count, wreck.span_of(lab, "sync"))):
        lab.timelab("run", "specs/a.yaml")
        other.timelab("run", "specs/a.yaml")
        other.timelab("sync")
        before = recorded(repo)
        wreck.start_and_strike(lab, ("sync",), blow)
        wait_until(lambda: not left(), "no process is left")
        lab.timelab("doctor", "--repair") if number % 2 else lab.timelab("work")
        assert before <= recorded(repo)
        wreck.assert_sound(lab, repo)
        lab.timelab("sync")
        other.timelab("sync")
        assert recorded(repo) == recorded(wreck.repo_of(other)) == before | recorded(wreck.repo_of(other))
        for clone in (lab, other):
            clone.timelab("verify")
        assert lab.git("fsck", "--strict", "--no-dangling", cwd=hub) == ""
    assert wreck.mine(lab).refs == mine.refs
    assert wreck.mine(lab).index == mine.index


@counts()
def test_a_killed_reindex_is_done_by_the_next(lab: Lab, left: Left, count: int) -> None:
    """B5: what is derived may be lost half, and is made again."""
    for _ in range(3):
        lab.timelab("run", "specs/a.yaml")
    repo, mine = wreck.repo_of(lab), wreck.mine(lab)
    before = recorded(repo)
    for blow in moments(32, count, wreck.span_of(lab, "reindex")):
        wreck.start_and_strike(lab, ("reindex",), blow)
        wait_until(lambda: not left(), "no process is left")
        wreck.assert_whole(lab, repo)
        assert recorded(repo) == before
    wreck.assert_derived(lab, repo)
    assert wreck.mine(lab) == mine
    lab.timelab("verify")


@counts()
def test_a_killed_forget_is_finished_or_was_not_begun(lab: Lab, left: Left, count: int) -> None:
    """T6: the run is there as it was, or gone from chain, notes, folder and sheet."""
    repo = wreck.repo_of(lab)
    lab.timelab("run", "specs/a.yaml")
    blows = moments(33, count, wreck.span_of(lab, "forget", "last", "--yes"))
    blows = [blow if number % 2 else Blow("journal", blow.wait_s / 20) for number, blow in enumerate(blows)]
    for number, blow in enumerate(blows):
        lab.timelab("run", "specs/a.yaml")
        lab.timelab("run", "specs/a.yaml")
        mine, before = wreck.mine(lab), recorded(repo)
        newest, second, *_ = runs(wreck.fresh(repo))
        run = second if number % 3 else newest
        wreck.start_and_strike(lab, ("forget", run.run_id, "--yes"), blow)
        wait_until(lambda: not left(), "no process is left")
        lab.timelab(*(("work",), ("run", "--pending"), ("doctor", "--repair"))[number % 3])
        after = recorded(repo)
        assert before - after <= {run.run_id}
        assert run.folder is not None
        assert run.folder.exists() == (run.run_id in after)
        wreck.assert_whole(lab, repo)
        assert wreck.mine(lab) == mine
    wreck.assert_derived(lab, repo)
    lab.timelab("verify")


@counts()
def test_a_killed_carry_after_an_amend_is_done_once(lab: Lab, left: Left, count: int) -> None:
    """Design 1, 3: the record stands on the amended commit too, once, and nothing ran twice."""
    repo = wreck.repo_of(lab)
    chance = random.Random(34)
    before = recorded(repo)
    for number in range(count):
        lab.git("commit", "-q", "--amend", "-m", f"amended {number}", wait=False)
        mine = wreck.mine(lab)
        sign, bound = (("start", 0.3), ("journal", 0.04))[number % 2]
        wreck.strike_worker(lab, left, Blow(sign, chance.uniform(0.0, bound)))
        wait_until(lambda: not left(), "no process is left")
        lab.timelab(*(("work",), ("run", "--pending"), ("doctor", "--repair"))[number % 3])
        if queue.entries(repo):
            lab.timelab("work")
        assert queue.entries(repo) == []
        assert {line["run_id"] for line in lab.note()} == before == recorded(repo)
        assert len(lab.note()) == 1
        with open_index(wreck.fresh(repo)) as index:
            assert len(index.carries()) == number + 1
        wreck.assert_whole(lab, repo)
        assert wreck.mine(lab) == mine
    wreck.assert_derived(lab, repo)
    lab.timelab("verify")
