"""`timelab watch`: follow queue and runs until they are done."""

from __future__ import annotations

from pathlib import Path

from tests.cli.notebook import BAD, HELLO, Notebook
from tests.cli.test_work import enqueue
from timelab.git.repo import discover
from timelab.store.liveness import hold, release


def test_nothing_to_watch_is_said_at_once(notebook: Notebook) -> None:
    said = notebook.timelab("watch")
    assert (said.code, said.out, said.err) == (0, "", "timelab: nothing queued, nothing running\n")


def test_a_lost_worker_is_started_again_and_its_runs_are_printed(notebook: Notebook) -> None:
    """A225: 70 when one of them failed."""
    enqueue(notebook, {"specs/a.yaml": HELLO + "tags: [a]\n", "specs/b.yaml": BAD + "tags: [b]\n"})
    said = notebook.timelab("watch", "--timeout", "120")
    assert (said.code, said.err) == (70, "  trouble\n")
    assert said.out.splitlines() == [
        "ID8  ok  a",
        "  ROOT/YYYY/MM/DD/ai-team/artifacts/HHMMSS-a-ID8",
        "ID8  failed  b  exit-status",
        "  ROOT/YYYY/MM/DD/ai-team/artifacts/HHMMSS-b-ID8",
    ]


def test_a_watch_gives_up_when_its_time_is_up(notebook: Notebook) -> None:
    staging = discover(notebook.root).timelab_dir / "staging" / ("e" * 64)
    staging.mkdir(parents=True)
    (staging / "running.json").write_text("{}")
    hold(staging)
    said = notebook.timelab("watch", "--timeout", "0")
    release(staging)
    assert (said.code, said.err) == (70, "timelab: still 0 jobs in the queue, 1 run under way\n")


def test_a_timeout_is_a_number(notebook: Notebook, tmp_path: Path) -> None:
    said = notebook.timelab("watch", "--timeout", "soon")
    assert said.code == 64
    assert said.err == (
        "timelab: invalid value for '--timeout': 'soon' is not a valid float range\nhint: timelab watch --help\n"
    )
