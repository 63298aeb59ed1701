"""`timelab sync`: exchange records with a remote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.notebook import HELLO, Notebook


@pytest.fixture
def hub(notebook: Notebook, tmp_path: Path) -> Path:
    """Returns a bare repository that is the notebook's origin and has its branch."""
    path = tmp_path / "hub.git"
    notebook.git("init", "-q", "--bare", str(path))
    notebook.git("remote", "add", "origin", str(path))
    notebook.git("push", "-q", "-u", "origin", "main")
    return path


def test_records_go_to_the_remote_and_come_to_another_clone(notebook: Notebook, hub: Path, tmp_path: Path) -> None:
    """T6: a plain clone brings no records; sync does."""
    said = notebook.timelab("sync")
    assert (said.code, said.out, said.err) == (0, "", "timelab: origin: 0 runs fetched, 3 pushed\n")
    assert notebook.timelab("sync").err == "timelab: origin: 0 runs fetched, 0 pushed\n"
    notebook.git("clone", "-q", "-b", "main", str(hub), str(tmp_path / "clone"))
    clone = Notebook(tmp_path / "clone")
    assert clone.runs() == []
    report = clone.json("sync", "sync")
    assert (report["remote"], report["fetched"], report["pushed"]) == ("origin", 3, 0)
    assert [row["run_id"] for row in clone.runs()] == [row["run_id"] for row in notebook.runs()]


def test_a_run_of_an_amended_commit_stays_here_until_asked_for(notebook: Notebook, hub: Path) -> None:
    """A20: what a person amended away does not travel by accident."""
    notebook.commit({"specs/bad.yaml": HELLO})
    notebook.timelab("run", "specs/bad.yaml")
    notebook.git("commit", "-q", "--amend", "-m", "other words")
    said = notebook.timelab("sync")
    assert said.code == 0
    assert said.err.splitlines()[-2:] == [
        "timelab: run ID8 stays here: its commit ID8 is on no branch",
        "hint: timelab sync --include-amended, or timelab forget RUN",
    ]
    assert [len(each["run_id"]) for each in notebook.json("sync", "sync")["withheld"]] == [64]
    assert notebook.timelab("sync", "--include-amended").err == "timelab: origin: 0 runs fetched, 4 pushed\n"


def test_without_a_remote_it_is_a_wrong_call(notebook: Notebook) -> None:
    said = notebook.timelab("sync")
    assert said.code == 64
    assert said.err == "timelab: this repository has no remote\nhint: git remote add origin URL\n"


def test_a_remote_that_is_not_configured_is_a_wrong_call(notebook: Notebook, hub: Path) -> None:
    said = notebook.timelab("sync", "upstream")
    assert said.code == 64
    assert said.err.startswith("timelab: no such remote: ")


def test_a_remote_that_cannot_be_reached_is_70(notebook: Notebook, hub: Path) -> None:
    """A225: nothing is lost by it."""
    hub.rename(hub.with_name("gone.git"))
    said = notebook.timelab("sync")
    assert said.code == 70
    assert "Traceback" not in said.err and said.err.startswith("timelab: ")
    assert len(notebook.runs()) == 3


def test_the_prefix_of_the_settings_is_where_records_go(notebook: Notebook, tmp_path: Path) -> None:
    """Git's configuration and the environment name it alike, and a bad one stops the call."""
    server = tmp_path / "server.git"
    notebook.git("init", "-q", "--bare", str(server))
    notebook.git("remote", "add", "away", str(server))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIMELAB_SYNC_PREFIX", "refs/heads/records")
        assert notebook.timelab("sync", "away").code == 0
    names = notebook.git("--git-dir", str(server), "for-each-ref", "--format=%(refname)").split()
    assert "refs/heads/records/notes" in names
    assert all(name.startswith("refs/heads/records/") for name in names)
    notebook.git("config", "timelab.syncPrefix", "--all")
    said = notebook.timelab("sync", "away")
    assert said.code == 65
    assert "must be a ref prefix" in said.err
