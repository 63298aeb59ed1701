"""`timelab status`: what is queued, running, held or broken."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.notebook import HELLO, Notebook
from timelab import queue
from timelab.git.repo import discover
from timelab.names import Oid
from timelab.queue import Job
from timelab.trust import open_allow_list


def test_a_quiet_notebook_shows_its_last_runs(notebook: Notebook) -> None:
    said = notebook.timelab("status")
    assert (said.code, said.err) == (0, "hint: commits run nothing here yet: timelab init\n")
    assert said.out.splitlines() == [
        "nothing queued, nothing running, nothing held",
        "",
        "last runs",
        "  ID8  CLOCK  ok  hello",
        "  ID8  CLOCK  failed  bad  exit-status",
        "  ID8  CLOCK  ok  hello",
    ]


def test_an_empty_repository_is_quiet(repo: Path) -> None:
    assert Notebook(repo).timelab("status").out == "nothing queued, nothing running, nothing held\n"


def test_queued_held_and_cut_off_are_listed(notebook: Notebook) -> None:
    """T4: git says nothing of a failed hook, so status does."""
    repo, head = discover(notebook.root), Oid(notebook.git("rev-parse", "HEAD"))
    queue.enqueue(repo, "allow", commit=head)
    queue.hold(repo, Job(id="x", hook="post-merge", commit=head), "specs/theirs.yaml", "tool.py not allowed yet")
    staging = repo.timelab_dir / "staging" / ("f" * 64)
    staging.mkdir(parents=True)
    (staging / "running.json").write_text(json.dumps({"pid": 1, "pid_start": "never"}))
    said = notebook.timelab("status")
    assert said.out.splitlines()[:3] == [
        "queued  ID8  allow",
        "held  ID8  specs/theirs.yaml  tool.py not allowed yet",
        "wrong  SHA256  a run was cut off: timelab doctor --repair",
    ]
    view = notebook.json("status", "status")
    assert [job["state"] for job in view["jobs"]] == ["queued"]
    assert view["waiting"][0]["path"] == "specs/theirs.yaml"
    assert view["unfinished"] == ["f" * 64]
    assert len(view["last"]) == 3


def test_all_finds_versions_without_a_record_in_history(notebook: Notebook) -> None:
    notebook.commit({"specs/new.yaml": HELLO + "tags: [new]\n"})
    assert "specs/new.yaml" not in notebook.timelab("status").out
    said = notebook.timelab("status", "--all")
    why = "specs/new.yaml not allowed yet: timelab allow specs/new.yaml"
    assert said.out.startswith(f"held  ID8  specs/new.yaml  {why}\n")


def test_the_reason_is_the_same_with_and_without_a_look_at_history(notebook: Notebook) -> None:
    notebook.commit({"specs/new.yaml": HELLO + "inputs: [data.csv]\n", "data.csv": "1\n"})
    repo = discover(notebook.root)
    queue.enqueue(repo, "post-merge", commit=Oid(notebook.git("rev-parse", "HEAD")))
    notebook.timelab("work")
    first = notebook.timelab("status").out.splitlines()[0]
    why = "specs/new.yaml, data.csv not allowed yet: timelab allow specs/new.yaml"
    assert first == f"held  ID8  specs/new.yaml  {why}"
    assert notebook.timelab("status", "--all").out.splitlines()[0] == first
    allowed = open_allow_list(repo)
    allowed.trust(repo)
    allowed.allow_tree(repo, Oid(notebook.git("rev-parse", "HEAD^{tree}")))
    said = notebook.timelab("status", "--all").out.splitlines()[0]
    assert said == "held  ID8  specs/new.yaml  has no record: timelab run --pending"
