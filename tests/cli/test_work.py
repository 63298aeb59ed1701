"""`timelab work`: drain the queue and exit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.cli.notebook import BAD, HELLO, TIMELAB, Notebook, normal
from timelab import queue
from timelab.git.repo import discover
from timelab.names import Oid
from timelab.trust import open_allow_list


def enqueue(notebook: Notebook, files: dict[str, str], *, allow: bool = True) -> str:
    commit = notebook.commit(dict(files))
    repo = discover(notebook.root)
    open_allow_list(repo).trust(repo)
    if allow:
        open_allow_list(repo).allow_tree(repo, Oid(notebook.git("rev-parse", "HEAD^{tree}")))
    queue.enqueue(repo, "allow", commit=Oid(commit))
    return commit


def work(notebook: Notebook, *args: str) -> tuple[int, str, str]:
    # In a process of its own: it takes signals over.
    done = subprocess.run([TIMELAB, "work", *args], cwd=notebook.root, capture_output=True, text=True, env=os.environ)
    return done.returncode, normal(done.stdout, notebook.root), normal(done.stderr, notebook.root)


def test_an_empty_queue_is_done_at_once_and_in_silence(notebook: Notebook) -> None:
    assert work(notebook) == (0, "", "")
    assert work(notebook, "--wait") == (0, "", "")


def test_what_is_queued_runs_and_the_queue_is_empty_then(notebook: Notebook) -> None:
    commit = enqueue(notebook, {"specs/a.yaml": HELLO + "tags: [a]\n", "specs/b.yaml": BAD + "tags: [b]\n"})
    code, out, err = work(notebook, "--wait")
    assert code == 70
    assert out.splitlines() == [f"ROOT/YYYY/MM/DD/ai-team/artifacts/HHMMSS-{name}-ID8" for name in ("a", "b")]
    assert err.splitlines() == [
        "timelab: ID8 specs/a.yaml ok",
        "timelab: ID8 specs/b.yaml failed: the command ended with 3",
        "  trouble",
    ]
    assert {row["git_sha"] for row in notebook.runs("-n", "2")[:2]} == {commit}
    assert queue.entries(discover(notebook.root)) == []


def test_what_is_not_allowed_is_held_and_named(notebook: Notebook) -> None:
    enqueue(notebook, {"specs/a.yaml": HELLO + "tags: [a]\n"}, allow=False)
    code, out, err = work(notebook, "--wait")
    assert (code, out) == (0, "")
    words = "specs/a.yaml not allowed yet: timelab allow specs/a.yaml"
    assert err == f"timelab: specs/a.yaml held: {words}\n"
    (held,) = notebook.json("held", "allow", "--list")
    assert (held["spec_path"], held["reason"]) == ("specs/a.yaml", words)
    allowed = notebook.json("allow", "allow", "specs/a.yaml")
    assert ([each["path"] for each in allowed["allowed"]], allowed["queued"]) == (["specs/a.yaml"], ["specs/a.yaml"])


def test_a_job_that_fails_is_told_of_and_the_others_run(notebook: Notebook) -> None:
    """A225."""
    queue.enqueue(discover(notebook.root), "nudge", commit=Oid("f" * 40), since=Oid("e" * 40))
    enqueue(notebook, {"specs/a.yaml": HELLO + "tags: [a]\n"})
    code, _, err = work(notebook, "--wait")
    assert code == 70
    assert err.splitlines()[0].startswith("timelab: failed: no such range: ")
    assert err.splitlines()[1:] == ["timelab: ID8 specs/a.yaml ok"]


def test_a_shallow_clone_runs_what_its_only_commit_brings(notebook: Notebook, tmp_path: Path) -> None:
    """Design 3: its parent is named by the commit and not there."""
    notebook.git("clone", "-q", "--depth", "1", f"file://{notebook.root}", str(tmp_path / "shallow"))
    clone = Notebook(tmp_path / "shallow")
    repo = discover(clone.root)
    open_allow_list(repo).trust(repo)
    open_allow_list(repo).allow_tree(repo, Oid(clone.git("rev-parse", "HEAD^{tree}")))
    said = clone.timelab("run", "--pending", "HEAD")
    assert (said.code, "specs/hello.yaml ok" in said.err) == (70, True)
    assert {row["name"]: row["status"] for row in clone.runs()} == {"hello": "ok", "bad": "failed"}
    clone.git("config", "user.name", "Ada")
    enqueue(clone, {"specs/a.yaml": HELLO + "tags: [a]\n"})
    assert work(clone, "--wait")[0] == 0
    assert queue.entries(repo) == []
