"""The reconciler: which versions of which specs run, and which say why they do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeExecutor, ended, make_services
from tests.helpers import Lab, make_lab
from timelab import queue
from timelab.executors.base import TaskContext, TaskResult
from timelab.git.config import set_config
from timelab.git.repo import Repo
from timelab.git.watch import watched
from timelab.interrupts import Terminated
from timelab.manifest import Status
from timelab.names import Oid
from timelab.pending import Candidate, Outcome, candidates, drain, job_commits, pending, reconcile, run_job
from timelab.process import Completed
from timelab.queue import MAX_ATTEMPTS, Job
from timelab.run import Services
from timelab.store.index import open_index
from timelab.trust import open_allow_list

SPEC = "timelab: 1\nkind: command\nscript: tools/run.sh\ninputs: ['data/*.csv']\n"


@pytest.fixture
def lab(repo: Path) -> Lab:
    """Returns a trusted repository; everything of HEAD is allowed."""
    lab = make_lab(repo)
    allow(lab)
    return lab


def allow(lab: Lab) -> None:
    allowed = open_allow_list(lab.repo)
    allowed.trust(lab.repo)
    allowed.allow_tree(lab.repo, Oid(lab.git("rev-parse", "HEAD^{tree}")))


def head(lab: Lab) -> Oid:
    return Oid(lab.git("rev-parse", "HEAD"))


def paths(found: list[Candidate]) -> list[str]:
    return [candidate.path for candidate in found]


def reconciled(lab: Lab, services: Services | None = None, *, retry: bool = False) -> list[Outcome]:
    services = services or make_services()
    return list(reconcile(lab.repo, services, pending(lab.repo, services), retry=retry))


def test_a_commit_brings_the_specs_that_it_changes(lab: Lab) -> None:
    """D1."""
    services = make_services()
    lab.commit_file("specs/b.yaml", "timelab: 1\nkind: command\nargv: [b]\n")
    assert paths(candidates(lab.repo, services, [head(lab)])) == ["specs/b.yaml"]
    lab.commit_file("readme.txt")
    assert candidates(lab.repo, services, [head(lab)]) == []
    assert paths(candidates(lab.repo, services, [head(lab)], whole_tree=True)) == ["specs/b.yaml", "specs/echo.yaml"]


def test_a_changed_file_that_a_spec_names_brings_the_spec(lab: Lab) -> None:
    """Design 3: the trigger is the closure."""
    services = make_services()
    lab.commit_file("tools/run.sh", "echo 1\n")
    lab.commit_file("data/a.csv", "1\n")
    lab.commit_file("specs/b.yaml", SPEC)
    first = candidates(lab.repo, services, [head(lab)])
    assert [path for path, _ in first[0].files] == ["specs/b.yaml", "data/a.csv", "tools/run.sh"]
    assert {":(top,literal)data/a.csv", ":(top,literal)tools/run.sh"} <= set(watched(lab.repo))
    for path in ("tools/run.sh", "data/a.csv", "data/b.csv"):
        lab.commit_file(path, f"{path}\n")
        (found,) = candidates(lab.repo, services, [head(lab)])
        assert (found.path, found.closure_sha256 == first[0].closure_sha256) == ("specs/b.yaml", False)
    lab.commit_file("data/c.txt")
    assert candidates(lab.repo, services, [head(lab)]) == []


def test_commits_that_bring_no_spec_are_not_looked_into(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process tells what all of them change; only what may bring a spec is described and listed."""
    commits = [Oid(lab.commit_file(f"notes{number}.txt")) for number in range(5)]
    commits.append(Oid(lab.commit_file("specs/b.yaml", "timelab: 1\nkind: command\nargv: [b]\n")))
    asked: list[str] = []
    real = type(lab.repo).git

    def listen(repo: Repo, args: Sequence[str], **more: Any) -> Completed:
        asked.append(str(args[0]))
        return real(repo, args, **more)

    monkeypatch.setattr(type(lab.repo), "git", listen)
    assert paths(candidates(lab.repo, make_services(), commits)) == ["specs/b.yaml"]
    assert [name for name in asked if name in ("diff-tree", "describe")] == ["diff-tree", "describe"]


def test_a_broken_spec_is_a_candidate_and_somebody_elses_file_is_none(lab: Lab) -> None:
    lab.commit_file("specs/api.yaml", "openapi: 3\n")
    lab.commit_file("specs/odd.yaml", "timelab: 1\nkind: comand\n")
    lab.commit_file("specs/artifacts/own.yaml", "timelab: 1\nkind: command\nargv: [x]\n")
    found = candidates(lab.repo, make_services(), [head(lab)], whole_tree=True)
    assert paths(found) == ["specs/echo.yaml", "specs/odd.yaml"]


def test_what_has_no_record_runs_once(lab: Lab) -> None:
    """A151: once by itself, then never again."""
    (ran,) = reconciled(lab)
    assert (ran.what, ran.path, ran.status, ran.commit) == ("ran", "specs/echo.yaml", "ok", head(lab))
    assert ran.folder is not None and (Path(ran.folder) / "run.json").is_file()
    (again,) = reconciled(lab)
    assert (again.what, again.earlier) == ("ran-before", ran.run_id)
    assert again.reason == f"ran before as {ran.run_id[:8]} on {head(lab)[:8]}"  # type: ignore[index]


def test_a_moved_spec_ran_before_and_a_copy_runs(lab: Lab) -> None:
    """Design 3."""
    (ran,) = reconciled(lab)
    lab.git("mv", "specs/echo.yaml", "specs/moved.yaml")
    lab.git("commit", "-q", "-m", "move")
    allow(lab)
    (moved,) = reconciled(lab)
    assert (moved.what, moved.path, moved.earlier) == ("ran-before", "specs/moved.yaml", ran.run_id)
    lab.commit_file("specs/copy.yaml", (lab.root / "specs/moved.yaml").read_text())
    allow(lab)
    assert {each.path: each.what for each in reconciled(lab)} == {
        "specs/copy.yaml": "ran",
        "specs/moved.yaml": "ran-before",
    }


def test_retry_runs_what_never_went_well(lab: Lab) -> None:
    failing = make_services(FakeExecutor(lambda context: ended(Status.FAILED)))
    assert [each.status for each in reconciled(lab, failing)] == ["failed"]
    assert [each.what for each in reconciled(lab)] == ["ran-before"]
    assert [each.what for each in reconciled(lab, retry=True)] == ["ran"]
    assert [each.what for each in reconciled(lab, retry=True)] == ["ran-before"]


def test_a_file_that_nobody_allowed_holds_the_spec_and_is_named(lab: Lab) -> None:
    """Design 4: every file of the closure must be allowed."""
    lab.commit_file("tools/run.sh", "echo 1\n")
    lab.commit_file("specs/b.yaml", SPEC)
    allow(lab)
    lab.commit_file("tools/run.sh", "echo evil\n")
    lab.commit_file("data/evil.csv", "1\n")
    outcomes = {each.path: each for each in reconciled(lab)}
    held = outcomes["specs/b.yaml"]
    assert (held.what, held.run_id) == ("held", None)
    assert held.reason == "data/evil.csv, tools/run.sh not allowed yet: timelab allow specs/b.yaml"


def test_pending_looks_at_history_since_init_and_at_head(lab: Lab) -> None:
    """Design 3: a version that a missed hook left behind is found."""
    set_config(lab.repo, "timelab.since", head(lab))
    for number in range(2):
        lab.commit_file("specs/b.yaml", f"timelab: 1\nkind: command\nargv: [b, '{number}']\n")
    found = pending(lab.repo, make_services())
    assert sorted(paths(found)) == ["specs/b.yaml", "specs/b.yaml", "specs/echo.yaml"]
    assert paths(pending(lab.repo, make_services(), "HEAD~1..HEAD")) == ["specs/b.yaml"]
    set_config(lab.repo, "timelab.since", "f" * 40)
    assert sorted(paths(pending(lab.repo, make_services()))) == ["specs/b.yaml", "specs/echo.yaml"]


def test_before_the_first_commit_nothing_is_pending(tmp_path: Path) -> None:
    import subprocess

    from timelab.git.repo import discover

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert pending(discover(tmp_path), make_services()) == []


def test_a_job_is_a_commit_or_what_a_merge_brought(lab: Lab) -> None:
    first = head(lab)
    second, third = lab.commit_file("a"), lab.commit_file("b")
    assert job_commits(lab.repo, Job(id="x", hook="post-commit", commit=third)) == [third]
    assert job_commits(lab.repo, Job(id="x", hook="post-merge", commit=third, since=first)) == [second, third]
    assert job_commits(lab.repo, Job(id="x", hook="nudge")) == []


def test_what_another_worker_has_for_too_long_is_postponed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest goes on, and the queue keeps the job."""
    lab.commit_file("specs/b.yaml", "timelab: 1\nkind: command\nargv: [b]\n")
    allow(lab)
    real = queue.claim
    monkeypatch.setattr(queue, "claim", lambda repo, key: real(repo, key, timeout_s=0.05))
    queue.enqueue(lab.repo, "nudge", commit=head(lab), since=lab.git_sha)
    queue.enqueue(lab.repo, "nudge", commit=lab.git_sha)
    taken = next(each for each in pending(lab.repo, make_services()) if each.path == "specs/b.yaml")
    with real(lab.repo, taken.closure_sha256):
        outcomes = list(drain(lab.repo, make_services(), progress=lambda path, done, total: None))
    assert [(each.path, each.what) for each in outcomes] == [("specs/b.yaml", "postponed"), ("specs/echo.yaml", "ran")]
    assert outcomes[0].reason is not None and "was held by another process" in outcomes[0].reason
    assert [(entry.job.commit, entry.job.attempts) for entry in queue.entries(lab.repo)] == [(head(lab), 0)]


def test_a_rewrite_carries_records_and_runs_nothing(lab: Lab) -> None:
    """T5: an amend loses no record."""
    (ran,) = reconciled(lab)
    old = head(lab)
    lab.git("commit", "-q", "--amend", "-m", "better")
    job = Job(id="x", hook="post-rewrite", rewrites=((old, head(lab)),))
    outcomes = list(run_job(lab.repo, make_services(), job, progress=lambda path, done, total: None))
    assert [each.what for each in outcomes] == ["carried", "ran-before"]
    assert outcomes[0].reason == f"records of {old[:8]} carried to {head(lab)[:8]}"
    assert outcomes[1].earlier == ran.run_id


def test_a_job_that_killed_its_workers_is_recorded_as_interrupted(lab: Lab) -> None:
    """Design 2: tried twice more, then recorded, so that it does not come back for ever."""
    executor = FakeExecutor()
    job = Job(id="x", hook="allow", commit=head(lab), attempts=MAX_ATTEMPTS + 1)
    (outcome,) = run_job(lab.repo, make_services(executor), job, progress=lambda path, done, total: None)
    assert (outcome.what, outcome.status, executor.asked) == ("ran", "interrupted", [])


def stopped(error: type[KeyboardInterrupt]) -> Services:
    def does(context: TaskContext) -> TaskResult:
        raise error

    return make_services(FakeExecutor(does))


def test_a_worker_that_is_told_to_end_is_tried_again_and_recorded_after_the_last_time(lab: Lab) -> None:
    """Design 2: a shutdown is no reason never to run a spec again."""
    queue.enqueue(lab.repo, "allow", commit=head(lab))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with pytest.raises(Terminated):
            list(drain(lab.repo, stopped(Terminated), progress=lambda path, done, total: None))
        with open_index(lab.repo) as index:
            assert list(index.select()) == []
        assert [(entry.state, entry.job.attempts) for entry in queue.entries(lab.repo)] == [("queued", attempt)]
    (outcome,) = drain(lab.repo, stopped(Terminated), progress=lambda path, done, total: None)
    assert (outcome.what, outcome.status) == ("ran", "interrupted")
    assert queue.entries(lab.repo) == []


def test_a_kill_is_counted_against_the_spec_that_it_met(lab: Lab) -> None:
    """Design 2: of several specs in one commit each is tried three times."""
    names = ["specs/b.yaml", "specs/echo.yaml"]
    lab.commit_file(names[0], "timelab: 1\nkind: command\nargv: [b]\n")
    allow(lab)
    queue.enqueue(lab.repo, "nudge", commit=head(lab), since=Oid(lab.git("rev-list", "--max-parents=0", "HEAD")))
    outcomes: list[Outcome] = []
    kills = 0
    while queue.entries(lab.repo):
        try:
            for outcome in drain(lab.repo, stopped(Terminated), progress=lambda path, done, total: None):
                outcomes.append(outcome)
        except Terminated:
            kills += 1
    ran = [(each.path, each.status) for each in outcomes if each.what == "ran"]
    assert (sorted(ran), kills) == ([(name, "interrupted") for name in names], 2 * MAX_ATTEMPTS)


@pytest.mark.parametrize("error", [KeyboardInterrupt, Terminated])
def test_what_no_queue_holds_is_recorded_when_it_is_stopped(lab: Lab, error: type[KeyboardInterrupt]) -> None:
    """Style E2."""
    with pytest.raises(error):
        reconciled(lab, stopped(error))
    (again,) = reconciled(lab)
    assert (again.what, again.status) == ("ran-before", "interrupted")


def test_ctrl_c_in_a_worker_is_recorded_and_not_tried_again(lab: Lab) -> None:
    queue.enqueue(lab.repo, "allow", commit=head(lab))
    with pytest.raises(KeyboardInterrupt):
        list(drain(lab.repo, stopped(KeyboardInterrupt), progress=lambda path, done, total: None))
    (again,) = drain(lab.repo, make_services(), progress=lambda path, done, total: None)
    assert (again.what, again.status) == ("ran-before", "interrupted")


def test_draining_empties_the_queue_and_holds_what_is_not_allowed(lab: Lab) -> None:
    queue.enqueue(lab.repo, "allow", commit=head(lab))
    other = lab.commit_file("specs/theirs.yaml", "timelab: 1\nkind: command\nargv: [b]\n")
    queue.enqueue(lab.repo, "allow", commit=other)
    outcomes = list(drain(lab.repo, make_services(), progress=lambda path, done, total: None))
    assert [(each.path, each.what) for each in outcomes] == [("specs/echo.yaml", "ran"), ("specs/theirs.yaml", "held")]
    assert queue.entries(lab.repo) == []
    assert [(held.spec_path, held.commit) for held in queue.held(lab.repo)] == [("specs/theirs.yaml", other)]


def unreadable_commit(lab: Lab) -> Oid:
    """Returns a commit whose tree is gone."""
    blob = lab.git("hash-object", "-w", "README.md")
    lab.git("update-index", "--add", "--cacheinfo", f"100644,{blob},gone.txt")
    tree = lab.git("write-tree")
    lab.git("reset", "-q")
    commit = lab.git("commit-tree", "-m", "gone", tree)
    (lab.repo.common_dir / "objects" / tree[:2] / tree[2:]).unlink()
    return Oid(commit)


def test_a_job_that_fails_keeps_no_other_waiting_and_ends(lab: Lab) -> None:
    """R3: it is told of, tried a bounded number of times, and put aside."""
    bad = unreadable_commit(lab)
    queue.enqueue(lab.repo, "nudge", commit=bad)
    queue.enqueue(lab.repo, "allow", commit=head(lab))
    failed, ran = drain(lab.repo, make_services(), progress=lambda path, done, total: None)
    assert (failed.what, failed.commit, ran.what, ran.path) == ("failed", bad, "ran", "specs/echo.yaml")
    assert failed.reason is not None and failed.reason.startswith("git diff-tree failed with 128")
    (left,) = queue.entries(lab.repo)
    assert (left.job.commit, left.state, left.job.attempts) == (bad, "queued", 1)
    for _ in range(MAX_ATTEMPTS):
        list(drain(lab.repo, make_services(), progress=lambda path, done, total: None))
    assert queue.entries(lab.repo) == []


def test_progress_names_the_spec(lab: Lab) -> None:
    seen: list[tuple[str, int, int]] = []

    def does(context: TaskContext) -> TaskResult:
        context.progress(1, 2)
        return ended()

    services = make_services(FakeExecutor(does))
    list(reconcile(lab.repo, services, pending(lab.repo, services), progress=lambda *each: seen.append(each)))
    assert seen == [("specs/echo.yaml", 1, 2)]
