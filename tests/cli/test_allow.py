"""`timelab allow`: what waits, a look at it, and consent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli.notebook import HELLO, Notebook
from tests.conftest import Git
from timelab import queue
from timelab.cli import cli
from timelab.git.repo import Repo, discover
from timelab.names import Oid
from timelab.queue import Job
from timelab.trust import open_allow_list

SPEC = "timelab: 1\nkind: command\nargv: [python3, tool.py]\ninputs: [data.csv]\n"


def timelab(*args: str, cwd: Path) -> Result:
    return CliRunner().invoke(cli, ["-C", str(cwd), *args])


@pytest.fixture
def lab(repo: Path, git: Git) -> Repo:
    """Is a trusted repository without a program to start, to which a stranger's spec came by a merge."""
    found = discover(repo)
    allowed = open_allow_list(found)
    allowed.trust(found)
    allowed.allow_tree(found, Oid(git("rev-parse", "HEAD^{tree}", cwd=repo)))
    for name, text in {"specs/a.yaml": SPEC, "tool.py": "print(1)\n\x1b[31mred\n", "data.csv": "1,2\n"}.items():
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(text)
    git("add", "-A", cwd=repo)
    git("commit", "-q", "-m", "theirs", cwd=repo)
    job = Job(id="x", hook="post-merge", commit=Oid(git("rev-parse", "HEAD", cwd=repo)))
    queue.hold(found, job, "specs/a.yaml", "data.csv not allowed yet")
    return found


def blobs(repo: Path, git: Git) -> dict[str, str]:
    lines = git("ls-tree", "-r", "HEAD", cwd=repo).splitlines()
    return {line.split("\t")[1]: line.split()[2] for line in lines}


def test_what_waits_is_listed(lab: Repo, repo: Path, git: Git) -> None:
    head = git("rev-parse", "HEAD", cwd=repo)
    done = timelab("allow", "--list", cwd=repo)
    assert done.stdout.split() == [head[:8], "specs/a.yaml", "data.csv", "not", "allowed", "yet"]
    (entry,) = json.loads(timelab("allow", "--list", "--json", cwd=repo).stdout)
    assert (entry["spec_path"], entry["commit"]) == ("specs/a.yaml", head)


def test_a_look_shows_every_file_escaped_and_allows_none(lab: Repo, repo: Path, git: Git) -> None:
    done = timelab("allow", "--show", "specs/a.yaml", cwd=repo)
    assert done.exit_code == 0, done.stderr
    assert "  +print(1)\n" in done.stdout
    assert "  +1,2\n" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == "next: timelab allow specs/a.yaml\n"
    assert len(queue.held(lab)) == 1
    assert not any(
        open_allow_list(lab).is_allowed(path, blob) for path, blob in blobs(repo, git).items() if path != "README.md"
    )


def test_a_changed_file_is_shown_against_the_allowed_one(lab: Repo, repo: Path, git: Git) -> None:
    timelab("allow", "specs/a.yaml", cwd=repo)
    (repo / "data.csv").write_text("1,3\n")
    git("commit", "-q", "-am", "theirs again", cwd=repo)
    shown = timelab("allow", "--show", "specs/a.yaml", cwd=repo).stdout
    assert "  -1,2\n  +1,3\n" in shown
    assert "print" not in shown


@pytest.mark.parametrize("name", ["specs/a.yaml", "HEAD"])
def test_consent_allows_the_closure_and_queues_it(lab: Repo, repo: Path, git: Git, name: str) -> None:
    done = timelab("allow", name, cwd=repo)
    assert done.exit_code == 0, done.stderr
    found = blobs(repo, git)
    assert done.stdout.splitlines() == [
        f"allowed {p} ({found[p][:8]})" for p in ("data.csv", "specs/a.yaml", "tool.py")
    ]
    assert done.stderr == "timelab: queued specs/a.yaml\n"
    assert all(open_allow_list(lab).is_allowed(path, blob) for path, blob in found.items())
    assert queue.held(lab) == []
    assert [(e.job.hook, e.job.commit) for e in queue.entries(lab)] == [("allow", git("rev-parse", "HEAD", cwd=repo))]


def test_a_spec_that_came_unseen_is_queued_with_the_commit_that_brought_it(lab: Repo, repo: Path, git: Git) -> None:
    brought = git("rev-parse", "HEAD", cwd=repo)
    for path in (lab.timelab_dir / "queue/held").iterdir():
        path.unlink()
    git("commit", "-q", "--allow-empty", "-m", "later", cwd=repo)
    timelab("allow", "specs/a.yaml", cwd=repo)
    assert [entry.job.commit for entry in queue.entries(lab)] == [brought]


@pytest.mark.parametrize("name", ["HEAD", "specs/hello.yaml"])
def test_a_spec_that_ran_already_is_not_called_queued(repo: Path, git: Git, name: str) -> None:
    """Nothing would run: a version has one record."""
    notebook = Notebook(repo)
    open_allow_list(discover(repo)).trust(discover(repo))
    notebook.commit({"specs/hello.yaml": HELLO})
    notebook.timelab("run", "specs/hello.yaml")
    said = notebook.timelab("allow", name)
    assert said.out.splitlines() == ["allowed specs/hello.yaml (ID8)"]
    assert said.err == "timelab: specs/hello.yaml ran before as ID8: nothing to run\n"
    assert queue.entries(discover(repo)) == []
    again = notebook.timelab("allow", name)
    assert again.err == said.err + "timelab: it was allowed before\n"
    assert notebook.json("allow", "allow", name) == {"allowed": [], "queued": []}


def test_a_held_spec_that_was_run_by_hand_is_held_no_longer(lab: Repo, repo: Path, git: Git) -> None:
    notebook = Notebook(repo)
    notebook.timelab("run", "specs/a.yaml")
    said = notebook.timelab("allow", "specs/a.yaml")
    assert said.err == "timelab: specs/a.yaml ran before as ID8: nothing to run\n"
    assert queue.held(lab) == []


def test_a_look_at_what_is_allowed_says_that_nothing_is_held(lab: Repo, repo: Path) -> None:
    held = queue.held(lab)
    timelab("allow", "specs/a.yaml", cwd=repo)
    done = timelab("allow", "--show", "specs/a.yaml", cwd=repo)
    words = "timelab: every file of it is allowed, and nothing of it is held\n"
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", words)
    queue.hold(lab, Job(id="x", hook="post-merge", commit=Oid(held[0].commit)), "specs/a.yaml", "")
    done = timelab("allow", "--show", "specs/a.yaml", cwd=repo)
    assert done.stderr == "timelab: every file of it is allowed\nnext: timelab allow specs/a.yaml\n"


def test_consent_as_json(lab: Repo, repo: Path, git: Git) -> None:
    value = json.loads(timelab("allow", "--json", "specs/a.yaml", cwd=repo).stdout)
    assert [each["path"] for each in value["allowed"]] == ["data.csv", "specs/a.yaml", "tool.py"]
    assert value["queued"] == ["specs/a.yaml"]


def test_a_file_that_is_no_spec_can_be_allowed_too(lab: Repo, repo: Path, git: Git) -> None:
    timelab("allow", "data.csv", cwd=repo)
    found = blobs(repo, git)
    assert open_allow_list(lab).is_allowed("data.csv", found["data.csv"])
    assert not open_allow_list(lab).is_allowed("tool.py", found["tool.py"])


def test_a_name_that_is_nothing_is_a_wrong_call(lab: Repo, repo: Path) -> None:
    assert timelab("allow", "nothing-like-this", cwd=repo).exit_code == 64
    assert timelab("allow", cwd=repo).exit_code == 64


def test_consent_needs_a_repository_that_was_set_up(repo: Path) -> None:
    done = timelab("allow", "HEAD", cwd=repo)
    assert done.exit_code == 64
    assert done.stderr == "timelab: this repository is not set up to run specs by itself\nhint: timelab init\n"
