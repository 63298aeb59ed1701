"""K8: the store is stopped by SIGKILL after every step; the next command makes the record whole, or there is none."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import START, Lab, is_equal, make_lab, projections
from timelab.git import chain, notes
from timelab.git.refs import read_ref
from timelab.store import writer
from timelab.store.reader import runs
from timelab.store.recover import Report, heal, reindex

Act = Callable[[Callable[[str], None]], object]
FORK = multiprocessing.get_context("fork")

COMMIT_STEPS = (
    "run.json", "tree", "journal", "chain", "folder", "notes", "keep", "index", "csv", "readme", "latest", "withdraw",
)  # fmt: skip
BATCH_STEPS = (
    "run.json",
    "journal",
    "chain",
    "index",
    "folder",
    "notes",
    "keep",
    "csv",
    "readme",
    "latest",
    "withdraw",
)
CARRY_STEPS = ("journal", "chain", "notes", "keep", "index", "withdraw")
FORGET_STEPS = (
    "journal", "chain", "notes", "notes history", "index", "folder", "csv", "readme", "latest", "withdraw",
)  # fmt: skip


@pytest.fixture
def lab(repo: Path) -> Lab:
    return make_lab(repo)


def die_at(step: str, count: int, act: Act) -> None:
    """Does `act` in a child process that kills itself when it reaches `step` for the `count`th time."""

    def body() -> None:
        left = [count]

        def reached(name: str) -> None:
            left[0] -= name == step
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        act(reached)

    child = FORK.Process(target=body)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL, f"{step} was not reached"


def steps_of(act: Act) -> set[str]:
    seen: set[str] = set()
    act(seen.add)
    return seen


def assert_whole(lab: Lab, expected: set[str]) -> None:
    """Every record has its folder, its note lines and its projections; nothing else stands anywhere."""
    found = list(runs(lab.repo))
    assert {run.run_id for run in found} == expected
    assert len(found) == len(expected)
    for run in found:
        entry = chain.read_entry(lab.repo, run.entry, ref=run.ref)
        assert run.folder is not None
        assert is_equal(lab.repo, entry.tree, run.folder)
        for target in (lab.git_sha, lab.spec_blob):
            assert (notes.read_note(lab.repo, target) or b"").count(run.manifest_bytes) == 1
    if found:
        assert read_ref(lab.repo, chain.KEEP + lab.git_sha) == lab.git_sha
        assert (lab.root / "latest/run.json").read_bytes() == found[0].manifest_bytes
    folders = {path.name for path in lab.root.glob("2026/*/*/ai-team/artifacts/*")}
    assert folders == {run.folder.name for run in found if run.folder}
    assert [path.name for path in lab.root.rglob(".*.tmp")] == []
    before = projections(lab)
    reindex(lab.repo)
    assert projections(lab) == before
    assert lab.git("fsck", "--strict", "--no-dangling") == ""
    assert heal(lab.repo) == Report()
    assert list((lab.repo.timelab_dir / "staging").iterdir()) == []


def test_the_steps_are_all_of_them(lab: Lab) -> None:
    manifest, staging = lab.stage(0)
    assert steps_of(lambda reached: writer.commit(lab.repo, manifest, staging, reached=reached)) == set(COMMIT_STEPS)
    batch = [lab.make(number) for number in (1, 2)]
    assert steps_of(lambda reached: writer.commit_many(lab.repo, batch, reached=reached)) == set(BATCH_STEPS)
    new = lab.commit_file("x")
    carry = steps_of(lambda reached: writer.carry(lab.repo, lab.git_sha, new, reached=reached))
    assert carry == set(CARRY_STEPS)
    forget = steps_of(lambda reached: writer.forget(lab.repo, manifest.run_id, reached=reached))
    assert forget == set(FORGET_STEPS)


@pytest.mark.parametrize("step", COMMIT_STEPS)
def test_a_killed_commit_leaves_a_whole_record(lab: Lab, step: str) -> None:
    """K8: run.json is complete before the first step, so what was done is never lost."""
    before = lab.record(0)
    manifest, staging = lab.stage(1)
    die_at(step, 1, lambda reached: writer.commit(lab.repo, manifest, staging, reached=reached))
    heal(lab.repo)
    assert_whole(lab, {before.run_id, manifest.run_id})


@pytest.mark.parametrize("step", ["run.json", "journal", "chain", "notes", "csv"])
def test_the_next_commit_finishes_the_killed_one(lab: Lab, step: str) -> None:
    manifest, staging = lab.stage(1)
    die_at(step, 1, lambda reached: writer.commit(lab.repo, manifest, staging, reached=reached))
    after = lab.record(2)
    heal(lab.repo)
    assert_whole(lab, {manifest.run_id, after.run_id})


@pytest.mark.parametrize("step", ["chain", "notes", "index", "latest", "withdraw"])
def test_healing_may_be_killed_too(lab: Lab, step: str) -> None:
    manifest, staging = lab.stage(0)
    die_at("journal", 1, lambda reached: writer.commit(lab.repo, manifest, staging, reached=reached))
    other, other_staging = lab.stage(1)
    die_at(step, 1, lambda reached: writer.commit(lab.repo, other, other_staging, reached=reached))
    heal(lab.repo)
    assert_whole(lab, {manifest.run_id, other.run_id})


@pytest.mark.parametrize("step", BATCH_STEPS)
def test_a_killed_batch_is_recorded_whole_or_not_at_all(lab: Lab, step: str) -> None:
    before = lab.record(0)
    staged, given = lab.stage(1), lab.make(2)
    die_at(step, 1, lambda reached: writer.commit_many(lab.repo, [staged, given], reached=reached))
    report = heal(lab.repo)
    recorded = step not in ("run.json", "journal")
    if recorded:
        assert_whole(lab, {before.run_id, staged[0].run_id, given[0].run_id})
    else:
        # The one whose files were staged is complete, and so is recorded by itself.
        assert report.finished == (staged[0].run_id,)
        assert_whole(lab, {before.run_id, staged[0].run_id})


@pytest.mark.parametrize(("step", "count"), [*((step, 1) for step in CARRY_STEPS), ("chain", 2)])
def test_a_killed_carry_is_finished_once(lab: Lab, step: str, count: int) -> None:
    records = [lab.record(number) for number in (0, 1)]
    new = lab.commit_file("x")
    die_at(step, count, lambda reached: writer.carry(lab.repo, lab.git_sha, new, reached=reached))
    heal(lab.repo)
    assert notes.read_note(lab.repo, new) == b"".join(run.manifest_bytes for run in records)
    assert lab.git("rev-list", "--count", records[0].ref) == "4"
    assert_whole(lab, {run.run_id for run in records})


@pytest.mark.parametrize("step", FORGET_STEPS)
def test_a_killed_forget_is_finished(lab: Lab, step: str) -> None:
    gone, kept = lab.record(0), lab.record(1)
    die_at(step, 1, lambda reached: writer.forget(lab.repo, gone, when=START, reached=reached))
    heal(lab.repo)
    assert_whole(lab, {kept.run_id})
    assert lab.git("rev-list", "--count", kept.ref) == "2"
