"""The queue: entries from sh, leases, attempts, held specs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from timelab import queue
from timelab.errors import DataError, GitError, StoreError
from timelab.git.repo import Repo, discover
from timelab.interrupts import Terminated
from timelab.names import Oid
from timelab.queue import Job, enqueue, entries, held, hold, lease, parse_entry, release

A, B, C = (Oid(sign * 40) for sign in "abc")
ENTRY = f"""timelab-queue 1
hook post-commit
commit {A}
reflog commit: a haiku
committer-name Ada
committer-email ada@example.invalid
commit {B}
reflog commit (initial): first
committer-name Eve
committer-email eve@example.invalid
remote {C}
fetched {B}
top /home/ada/lab
end
""".encode()


@pytest.fixture
def lab(repo: Path) -> Repo:
    return discover(repo)


def test_an_entry_of_the_hook_is_understood() -> None:
    assert parse_entry(ENTRY, id="x") == Job(
        id="x",
        hook="post-commit",
        commit=A,
        reflog_subject="commit: a haiku",
        previous=B,
        committer="Ada <ada@example.invalid>",
        top_level=Path("/home/ada/lab"),
        remote_ids=frozenset({B, C}),
    )


def test_a_place_may_hold_anything_and_forges_nothing() -> None:
    top = b"/odd\ncommit " + C.encode() + b"\nend\n\xff"
    job = parse_entry(ENTRY.replace(b"/home/ada/lab", top), id="x")
    assert job.top_level == Path(os.fsdecode(top))
    assert job.commit == A


@pytest.mark.parametrize(
    "data",
    [
        b"",
        ENTRY[:-1],
        ENTRY[:-5],
        ENTRY.replace(b"timelab-queue 1", b"timelab-queue 2"),
        ENTRY.replace(b"post-commit", b"pre-push"),
        ENTRY.replace(A.encode(), b"HEAD"),
        ENTRY.replace(b"remote " + C.encode(), b"remote --output=x"),
        ENTRY.replace(b"\ntop ", b"\npot "),
        b"timelab-queue 1\nhook post-commit\ntop /x\nend\n",
        b"timelab-queue 1\nhook post-rewrite\nrewrite " + A.encode() + b"\ntop /x\nend\n",
        ENTRY.replace(b"Ada", b"A\0a"),
    ],
)
def test_what_is_not_a_whole_entry_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="queue entry 'x'"):
        parse_entry(data, id="x")


@given(st.binary(max_size=400))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    for entry in (data, b"timelab-queue 1\nhook post-commit\n" + data + b"\ntop /x\nend\n"):
        try:
            job = parse_entry(entry, id="x")
        except DataError as error:
            assert error.message.startswith("queue entry 'x'") and error.message.isprintable()
        else:
            assert entry.endswith(b"\nend\n") and job.id == "x" and job.top_level.is_absolute()


def test_what_we_enqueue_is_what_we_lease(lab: Repo) -> None:
    enqueue(lab, "nudge", commit=A, since=B, rewrites=[(A, C)])
    leased = lease(lab)
    assert leased is not None
    with leased as job:
        assert (job.hook, job.commit, job.since, job.rewrites, job.attempts) == ("nudge", A, B, ((A, C),), 1)
        assert job.top_level == lab.root
        assert [(entry.state, entry.pid) for entry in entries(lab)] == [("running", os.getpid())]
    assert entries(lab) == []
    assert lease(lab) is None
    assert [path.name for path in (lab.timelab_dir / "queue").iterdir()] == [".lock"]


def test_the_oldest_job_comes_first(lab: Repo) -> None:
    for number, commit in enumerate((B, A, C)):
        job = enqueue(lab, "nudge", commit=commit)
        os.utime(lab.timelab_dir / "queue" / f"{job.id}.job", ns=(number, number))
    leased = [lease(lab) for _ in range(3)]
    assert [each.job.commit for each in leased if each] == [B, A, C]


def test_an_interruption_costs_no_attempt_and_an_error_does(lab: Repo) -> None:
    """R3: a job is tried a bounded number of times, then it is put aside and not lost."""
    enqueue(lab, "nudge", commit=A)
    for expected, error in ((1, KeyboardInterrupt), (1, ValueError), (2, ValueError), (3, ValueError)):
        leased = lease(lab)
        assert leased is not None
        assert leased.job.attempts == expected
        with pytest.raises(error), leased:
            raise error
    last = lease(lab)
    assert last is not None
    assert last.job.attempts > queue.MAX_ATTEMPTS
    with pytest.raises(ValueError), last:
        raise ValueError
    assert entries(lab) == []
    assert len(list((lab.timelab_dir / "quarantine/queue").iterdir())) == 1


def test_a_killed_worker_gives_its_job_back(lab: Repo) -> None:
    """Design 2: a killed job is tried twice more; the fourth time says so."""
    enqueue(lab, "nudge", commit=A)
    code = (
        "import sys; from pathlib import Path; from timelab.git.repo import discover; from timelab import queue\n"
        "queue.lease(discover(Path(sys.argv[1]))); print('leased', flush=True); sys.stdin.read()\n"
    )
    for attempt in (1, 2, 3):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(lab.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"leased\n"
            assert lease(lab) is None
            assert [(e.state, e.job.attempts) for e in entries(lab)] == [("running", attempt)]
            worker.send_signal(signal.SIGKILL)
    last = lease(lab)
    assert last is not None
    assert last.job.attempts == queue.MAX_ATTEMPTS + 1


def test_a_process_that_got_a_dead_worker_s_number_holds_nothing(lab: Repo) -> None:
    job = enqueue(lab, "nudge", commit=A)
    lease_file = lab.timelab_dir / "queue" / f"{job.id}.lease"
    lease_file.write_text(f'{{"pid": {os.getpid()}, "start": "another life", "attempts": 1}}')
    again = lease(lab)
    assert again is not None
    assert again.job.attempts == 2


def test_a_rewrite_waits_for_the_job_whose_record_it_carries(lab: Repo) -> None:
    enqueue(lab, "nudge", commit=A)
    first = lease(lab)
    enqueue(lab, "post-rewrite", rewrites=[(A, B)])
    assert lease(lab) is None
    assert first is not None
    with first:
        pass
    second = lease(lab)
    assert second is not None
    assert second.job.hook == "post-rewrite"


def test_a_rewrite_waits_for_a_job_that_was_left_for_later(lab: Repo) -> None:
    job = enqueue(lab, "nudge", commit=A)
    rewrite = enqueue(lab, "post-rewrite", rewrites=[(A, B)])
    assert lease(lab, skip={job.id}) is None
    other = enqueue(lab, "nudge", commit=B)
    leased = lease(lab, skip={job.id})
    assert leased is not None
    assert leased.job.id == other.id
    assert rewrite.id in {entry.job.id for entry in entries(lab)}


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), StoreError("locked"), GitError("git add: No space left on device")],
)
def test_a_store_that_cannot_be_written_costs_no_attempt(lab: Repo, error: Exception) -> None:
    """K8: a full disk says nothing of the job; else four commits on one would put it aside."""
    enqueue(lab, "nudge", commit=A)
    for _ in range(queue.MAX_ATTEMPTS + 2):
        leased = lease(lab)
        assert leased is not None
        assert leased.job.attempts == 1
        with pytest.raises(type(error)), leased:
            raise error


def test_what_git_says_of_a_job_costs_an_attempt_so_that_it_ends(lab: Repo) -> None:
    """R3: a commit that git cannot read would come back for ever."""
    enqueue(lab, "nudge", commit=A)
    for expected in range(1, queue.MAX_ATTEMPTS + 2):
        leased = lease(lab)
        assert leased is not None
        assert leased.job.attempts == expected
        with pytest.raises(GitError), leased:
            raise GitError("bad object")
    assert entries(lab) == []


def test_a_worker_that_is_told_to_end_costs_an_attempt_and_never_the_job(lab: Repo) -> None:
    """Design 2: as a killed one does; after the last its run is recorded as interrupted, so the job must stay."""
    enqueue(lab, "nudge", commit=A)
    for expected in range(1, queue.MAX_ATTEMPTS + 3):
        leased = lease(lab)
        assert leased is not None
        assert leased.job.attempts == expected
        with pytest.raises(Terminated), leased:
            raise Terminated
    assert [entry.state for entry in entries(lab)] == ["queued"]


def test_a_job_that_is_kept_goes_back_as_if_it_had_not_been_begun(lab: Repo) -> None:
    enqueue(lab, "nudge", commit=A)
    leased = lease(lab)
    assert leased is not None
    with leased:
        leased.keep()
    (entry,) = entries(lab)
    assert (entry.state, entry.job.attempts) == ("queued", 0)


def test_a_malformed_entry_is_put_aside_and_stops_nobody(lab: Repo) -> None:
    folder = lab.timelab_dir / "queue"
    folder.mkdir(parents=True)
    (folder / "post-commit.bad.job").write_bytes(ENTRY[:-5])
    (folder / "odd name.job").write_bytes(ENTRY)
    (folder / "link.job").symlink_to("/dev/null")
    enqueue(lab, "nudge", commit=A)
    leased = lease(lab)
    assert leased is not None
    assert leased.job.commit == A
    aside = sorted(path.name.rsplit(".", 1)[0] for path in (lab.timelab_dir / "quarantine/queue").iterdir())
    assert aside == ["link.job", "odd name.job", "post-commit.bad.job"]


def _drain(root: Path, results: multiprocessing.Queue[list[str]]) -> None:
    lab, done = discover(root), []
    while (leased := lease(lab)) is not None:
        with leased as job:
            done.append(job.id)
    results.put(done)


def test_many_workers_share_the_jobs_and_do_none_twice(lab: Repo) -> None:
    """K8: N workers, every job once."""
    ids = {enqueue(lab, "nudge", commit=A).id for _ in range(60)}
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_drain, args=(lab.root, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    done = [each for _ in workers for each in results.get(timeout=120)]
    for worker in workers:
        worker.join(60)
    assert sorted(done) == sorted(ids)
    assert entries(lab) == []


def test_a_held_spec_is_listed_once_and_released_into_the_queue(lab: Repo) -> None:
    job = Job(id="x", hook="post-merge", commit=A, since=B)
    for _ in range(2):
        hold(lab, job, "specs/a.yaml", "not allowed yet")
    hold(lab, job, "specs/b.yaml", "not allowed yet", commit=C)
    first, second = held(lab)
    assert (first.spec_path, first.commit, first.since, first.reason) == ("specs/a.yaml", A, B, "not allowed yet")
    assert (second.commit, second.since) == (C, None)
    release(lab, first)
    assert [each.spec_path for each in held(lab)] == ["specs/b.yaml"]
    assert [(e.job.hook, e.job.commit, e.job.since) for e in entries(lab)] == [("allow", A, B)]


def test_a_held_entry_that_leaves_the_repository_is_left_out(lab: Repo) -> None:
    folder = lab.timelab_dir / "queue/held"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text(f'{{"spec_path": "../x", "commit": "{A}", "reason": "", "since": null}}')
    (folder / "y.json").write_text("{")
    assert held(lab) == []


def test_one_closure_is_claimed_by_one_worker_at_a_time(lab: Repo) -> None:
    from timelab.errors import StoreError

    with queue.claim(lab, "0" * 64):
        with queue.claim(lab, "1" * 64):
            pass
        with pytest.raises(StoreError), queue.claim(lab, "0" * 64, timeout_s=0.05):
            pass
    assert list((lab.timelab_dir / "claims").iterdir()) == []
