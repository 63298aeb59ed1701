"""`timelab work`: drain the queue and exit."""

from __future__ import annotations

import os
import subprocess

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
