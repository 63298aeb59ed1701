"""Several commands at once in one repository, and several clones at one remote: none lost, none twice."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import wreck
from tests.lab import HELLO, TIMELAB, Lab, make_lab
from tests.wreck import wait_until
from timelab import queue
from timelab.names import Oid
from timelab.store.reader import runs

PROCESSES = 8
SLOW = """\
timelab: 1
kind: command
description: version {number}
argv: [sh, -c, "echo begun > $TIMELAB_OUTPUT/begun.txt; sleep 2.5"]
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = make_lab(tmp_path / "repo")
    lab.commit({"specs/a.yaml": HELLO})
    return lab


def ids(lab: Lab) -> list[str]:
    return [run.run_id for run in runs(wreck.repo_of(lab))]


@pytest.mark.parametrize("each", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_eight_processes_run_one_spec_over_and_over(lab: Lab, each: int) -> None:
    """K8, T9: 200 runs through the command; every one that said it is there is there, once."""
    before = ids(lab)
    mine = wreck.mine(lab)

    def work(_: int) -> list[str]:
        done = [lab.timelab("run", "specs/a.yaml", "--json").out for _ in range(each)]
        return [line.partition('"run_id": "')[2][:64] for line in done]

    with ThreadPoolExecutor(PROCESSES) as pool:
        said = [run_id for some in pool.map(work, range(PROCESSES)) for run_id in some]
    assert len(set(said)) == PROCESSES * each
    assert Counter(ids(lab)) == Counter([*before, *said])
    wreck.assert_whole(lab, wreck.repo_of(lab))
    wreck.assert_derived(lab, wreck.repo_of(lab))
    assert wreck.mine(lab) == mine
    lab.timelab("verify")


def queue_only(lab: Lab, files: dict[str, str]) -> str:
    """Commits, and lets the hook queue it but start nobody."""
    command = lab.git("config", "timelab.command")
    lab.git("config", "timelab.command", "/bin/true")
    commit = lab.commit(files, wait=False)
    lab.git("config", "timelab.command", command)
    return commit


def test_several_workers_on_one_queue_run_each_spec_once(lab: Lab) -> None:
    """K8, design 3: jobs overlap (the same version comes by two of them), the runs do not."""
    repo = wreck.repo_of(lab)
    commits = [queue_only(lab, {f"specs/{name}.yaml": wreck.BUSY.format(number=name)}) for name in "bcdef"]
    for commit in commits:
        queue.enqueue(repo, "nudge", commit=Oid(commit))
    workers = [wreck.start(lab, "work") for _ in range(4)]
    assert [worker.wait(wreck.BOUND_S) for worker in workers] == [0] * len(workers)
    assert queue.entries(repo) == []
    assert [len(lab.note(commit)) for commit in commits] == [1] * len(commits)
    assert len(ids(lab)) == 1 + len(commits)
    wreck.assert_whole(lab, repo)


def test_a_commit_that_waits_waits_for_a_worker_that_was_quicker(lab: Lab, tmp_path: Path) -> None:
    """A150, design 3: TIMELAB_WAIT=1 means that the run is done and its paths are shown, whoever did it."""
    repo, gate, script = wreck.repo_of(lab), tmp_path / "gate", tmp_path / "late-timelab"
    hold = f'while [ "$1" = work ] && [ ! -e "{gate}" ]; do sleep 0.05; done'
    script.write_text(f'#!/bin/sh\n{hold}\nexec "{TIMELAB}" "$@"\n')
    script.chmod(0o755)
    lab.git("config", "timelab.command", str(script))
    lab.write({"specs/b.yaml": SLOW.format(number=1).replace("2.5", "6")})
    lab.git("add", "-A")
    environment = {**os.environ, "TIMELAB_WAIT": "1"}
    commit = subprocess.Popen(
        ["git", "commit", "-q", "-m", "waits"], cwd=lab.root, env=environment, stderr=subprocess.PIPE
    )
    try:
        wait_until(lambda: queue.entries(repo), "it is queued")
        quicker = wreck.start(lab, "work")
        wait_until(lambda: [entry.state for entry in queue.entries(repo)] == ["running"], "the other one has it")
    finally:
        gate.touch()
        said = commit.communicate(timeout=wreck.BOUND_S)[1].decode()
    done = len(lab.note())
    assert quicker.wait(wreck.BOUND_S) == 0
    assert done == 1
    assert "specs/b.yaml ok" in said


def test_an_amend_while_the_old_commit_runs_runs_nothing_twice(lab: Lab) -> None:
    """Design 3: the version runs once; its record is carried to the amended commit when it is there."""
    repo = wreck.repo_of(lab)
    old = lab.commit({"specs/b.yaml": SLOW.format(number=2)}, wait=False)
    wait_until(lambda: any((repo.timelab_dir / "scratch").iterdir()), "it runs")
    lab.git("commit", "-q", "--amend", "-m", "better words")
    wait_until(lambda: not queue.entries(repo), "the queue is empty")
    assert len(ids(lab)) == 2
    assert [line["run_id"] for line in lab.note(old)] == [line["run_id"] for line in lab.note()] != []
    wreck.assert_whole(lab, repo)


def test_an_amended_spec_runs_beside_the_old_one(lab: Lab) -> None:
    """Design 3: another version is another run, at once; the old one is recorded on the old commit and carried."""
    repo = wreck.repo_of(lab)
    old = lab.commit({"specs/b.yaml": SLOW.format(number=3)}, wait=False)
    wait_until(lambda: any((repo.timelab_dir / "scratch").iterdir()), "it runs")
    lab.write({"specs/b.yaml": SLOW.format(number=4)})
    lab.git("commit", "-q", "-a", "--amend", "-m", "better spec")
    wait_until(lambda: not queue.entries(repo), "the queue is empty")
    assert len(ids(lab)) == 3
    assert len(lab.note(old)) == 1
    assert len(lab.note()) == 2
    wreck.assert_whole(lab, repo)


@pytest.mark.parametrize("count", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_clones_that_sync_at_once_all_have_every_run(lab: Lab, tmp_path: Path, count: int) -> None:
    """T6, T9, design 8: 12 clones pushing to one remote lose nothing, and each ends with the union."""
    hub = tmp_path / "hub.git"
    lab.git("init", "-q", "--bare", str(hub), cwd=tmp_path)
    lab.git("remote", "add", "origin", str(hub))
    lab.git("push", "-q", "-u", "origin", "main")
    lab.timelab("sync")
    clones = [Lab(tmp_path / f"clone-{number}") for number in range(count)]

    def work(clone: Lab) -> None:
        clone.git("clone", "-q", str(hub), str(clone.root), cwd=tmp_path)
        for _ in range(2):
            clone.timelab("run", "specs/a.yaml")
            clone.timelab("sync")

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, clones))
        everyone = [*clones, lab]
        list(pool.map(lambda clone: clone.timelab("sync"), everyone))
        list(pool.map(lambda clone: clone.timelab("verify"), everyone))
    wanted = set(ids(lab))
    assert len(wanted) == 1 + 2 * count
    for clone in everyone:
        assert Counter(ids(clone)) == Counter(dict.fromkeys(wanted, 1))
        blob = clone.git("rev-parse", "HEAD:specs/a.yaml")
        lines = clone.git("notes", "--ref", "timelab", "show", blob).splitlines()
        assert len(lines) == len(set(lines)) == len(wanted)
        wreck.assert_sound(clone, wreck.repo_of(clone))
    assert lab.git("fsck", "--strict", "--no-dangling", cwd=hub) == ""
