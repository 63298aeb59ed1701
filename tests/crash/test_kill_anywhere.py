"""The command is killed at any moment; the next one leaves each run whole, or absent and reported, and never half."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import wreck
from tests.lab import Lab, make_lab
from tests.wreck import BUSY, Blow, draw_blows, wait_until
from timelab import queue
from timelab.git.repo import Repo
from timelab.manifest import Status
from timelab.store import standing
from timelab.store.reader import runs

NEXT = (("work",), ("run", "--pending"), ("doctor", "--repair"), ("run", "specs/a.yaml"))
"""The commands of which any may be the next one."""

WHOLE = ["output/1.txt", "output/2.txt", "output/3.txt"]
"""What a run of the spec leaves that was not broken off."""

MOST_BLOWS = 4
"""How many blows may be dealt for one that lands before the run is over."""

Left = Callable[[], list[str]]


@pytest.fixture
def left() -> Iterator[Left]:
    with wreck.reaping() as left:
        yield left


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A repository whose shell is built and in which one run stands."""
    lab = make_lab(tmp_path / "repo")
    lab.commit({"specs/a.yaml": BUSY.format(number=0)})
    return lab


def check(lab: Lab, repo: Repo, left: Left, following: tuple[str, ...]) -> None:
    """After a blow: the next command, then everything must hold."""
    wait_until(lambda: not left(), f"no process is left: {left()}")
    traces = wreck.traces(lab, repo)
    lab.timelab(*following)
    wreck.assert_nothing_lost(lab, repo, traces)
    wreck.assert_whole(lab, repo)
    for run in runs(wreck.fresh(repo)):
        manifest = run.manifest()
        outputs = [item.path for item in manifest.artifacts if item.path.startswith("output/")]
        assert (manifest.status, outputs) == (Status.OK, WHOLE), run.run_id


def kill_runs(lab: Lab, left: Left, seed: int, kills: int) -> None:
    """Kills `timelab run` at so many random moments, with another next command each time."""
    repo, mine = wreck.repo_of(lab), wreck.mine(lab)
    landed = 0
    for number, blow in enumerate(draw_blows(seed, MOST_BLOWS * kills)):
        landed += wreck.start_and_strike(lab, ("run", "specs/a.yaml"), blow) == -signal.SIGKILL
        check(lab, repo, left, NEXT[number % len(NEXT)])
        if landed == kills:
            break
    assert landed == kills
    assert wreck.mine(lab) == mine
    wreck.assert_derived(lab, repo)
    lab.timelab("verify")


def kill_workers(lab: Lab, left: Left, seed: int, kills: int) -> None:
    """Kills the worker that a commit's hook started, so many times; its job is done in the end, once."""
    repo = wreck.repo_of(lab)
    landed = 0
    for number, blow in enumerate(draw_blows(seed, MOST_BLOWS * kills), 1):
        commit = lab.commit({"specs/a.yaml": BUSY.format(number=f"{blow.sign}-{number}")}, wait=False)
        mine = wreck.mine(lab)
        landed += wreck.strike_worker(lab, left, blow)
        check(lab, repo, left, NEXT[number % (len(NEXT) - 1)])
        if queue.entries(repo):
            lab.timelab("work")
        assert queue.entries(repo) == []
        assert [line["status"] for line in lab.note(commit)] == ["ok"]
        wreck.assert_whole(lab, repo)
        assert wreck.mine(lab) == mine
        if landed == kills:
            break
    assert landed == kills
    wreck.assert_derived(lab, repo)
    lab.timelab("verify")


def test_a_killed_run_is_whole_or_absent_and_reported(lab: Lab, left: Left) -> None:
    """K8: SIGKILL to the process group of `timelab run` at random moments."""
    kill_runs(lab, left, seed=1, kills=5)


def test_a_killed_worker_of_a_hook_loses_nothing(lab: Lab, left: Left) -> None:
    """K8, design 3: the queue gives a killed worker's job to the next."""
    kill_workers(lab, left, seed=2, kills=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 15))
def test_a_hundred_killed_runs(lab: Lab, left: Left, seed: int) -> None:
    """K8: with the hundred workers, two hundred runs that SIGKILL ended; a blow that came too late does not count."""
    kill_runs(lab, left, seed, kills=20)
    # The moments are spread over the whole of a run: some came before its record, some too late.
    assert standing.set_aside(wreck.repo_of(lab))
    assert len(list(runs(wreck.repo_of(lab)))) > 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 25))
def test_a_hundred_killed_workers(lab: Lab, left: Left, seed: int) -> None:
    """K8."""
    kill_workers(lab, left, seed, kills=20)


# --- told to stop

LONG = """\
timelab: 1
kind: command
argv: [sh, -c, "echo begun > $TIMELAB_OUTPUT/begun.txt; touch $TIMELAB_TMP/x; sleep 300"]
"""


def test_a_run_that_is_told_to_stop_is_recorded_as_interrupted(lab: Lab, left: Left) -> None:
    """Design 2: Ctrl-C, kill and a closed terminal end the task; the record says so, exit 130."""
    lab.write({"specs/a.yaml": LONG})
    for count, number in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), 1):
        process = wreck.start(lab, "run", "specs/a.yaml")
        wait_until(lambda: wreck.has_task(left, "sleep 300"), "the task runs")
        os.killpg(process.pid, number)
        assert process.wait(wreck.BOUND_S) == 130
        ended = [row["error_slug"] for row in lab.log() if row["status"] == "interrupted"]
        assert ended == ["interrupted"] * count
    wait_until(lambda: not left(), "no process is left")
    wreck.assert_whole(lab, wreck.repo_of(lab))


def test_a_run_told_to_stop_at_any_moment_is_recorded(lab: Lab, left: Left) -> None:
    """Design 2: once it is staged a run is recorded, however often and whenever it is told to stop."""
    repo = wreck.repo_of(lab)
    signs = {name: bound for name, bound in wreck.SIGNS.items() if name != "start"}
    for blow in draw_blows(3, 2, signs):
        before = len(list(runs(wreck.fresh(repo))))
        process = wreck.start(lab, "run", "specs/a.yaml")
        wreck.strike(lab, process.pid, lambda: process.poll() is not None, blow, number=signal.SIGTERM)  # noqa: B023
        wreck.strike(lab, process.pid, lambda: True, Blow("start", 0.01), number=signal.SIGTERM)
        # At the very end Python has put the default back: then the signal ends what has nothing left to do.
        assert process.wait(wreck.BOUND_S) in (0, 130, -signal.SIGTERM)
        assert len(list(runs(wreck.fresh(repo)))) == before + 1
        assert not (repo.timelab_dir / "quarantine").exists()
    wait_until(lambda: not left(), "no process is left")
    wreck.assert_whole(lab, repo)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_killed_three_times_runs_nothing_a_fourth_time(lab: Lab, left: Left, number: signal.Signals) -> None:
    """Design 2: a killed job is tried twice more, then its run is recorded as interrupted, and what came after runs.

    A shutdown, which says SIGTERM, is such a kill.
    """
    repo = wreck.repo_of(lab)
    commit = lab.commit({"specs/a.yaml": LONG, "specs/b.yaml": BUSY.format(number="b")}, wait=False)
    workers = []
    for attempt in (1, 2, 3):
        wait_until(lambda: wreck.has_task(left, "sleep 300"), "the task runs")
        (job,) = json.loads(lab.timelab("status", "--json").out)["jobs"]
        assert (job["state"], job["attempts"]) == ("running", attempt)
        os.killpg(os.getpgid(worker_of(lab)), number)
        wait_until(lambda: not left(), "no process is left")
        assert lab.note(commit) == []
        if attempt < 3:
            workers.append(wreck.start(lab, "work"))
    for worker in workers:
        worker.wait()
    lab.timelab("work", code=130)
    records = {line["name"]: line for line in lab.note(commit)}
    assert {name: record["status"] for name, record in records.items()} == {"a": "interrupted", "b": "ok"}
    assert records["a"]["error"]["slug"] == "killed"
    status = json.loads(lab.timelab("status", "--json").out)
    assert (status["jobs"], len(status["set_aside"])) == ([], 3)
    shown = lab.timelab("doctor").out
    assert all(run_id[:8] in shown for run_id in status["set_aside"])
    wreck.assert_whole(lab, repo)


def worker_of(lab: Lab) -> int:
    (lease,) = (lab.root / ".git/timelab/queue").glob("*.lease")
    pid = json.loads(lease.read_bytes())["pid"]
    assert isinstance(pid, int) and pid
    return pid
