"""`timelab forget`: take back a record that was not pushed yet."""

from __future__ import annotations

import json

from tests.cli.notebook import Notebook


def test_a_run_is_forgotten_after_a_yes_and_leaves_a_tombstone(notebook: Notebook) -> None:
    row = notebook.runs()[0]
    said = notebook.timelab("forget", row["run_id"][:8], input="y\n")
    assert (said.code, said.out) == (0, "")
    assert said.err.endswith("timelab: forgot ID8 hello (ok, TIME)\n")
    assert row["run_id"] not in {each["run_id"] for each in notebook.runs()}
    assert not (notebook.root / row["artifacts_path"]).exists()
    assert row["run_id"] not in notebook.git("notes", "--ref", "timelab", "show", "HEAD", check=False)
    assert notebook.timelab("verify").code == 0


def test_a_no_forgets_nothing(notebook: Notebook) -> None:
    """A20: nothing is lost by accident."""
    said = notebook.timelab("forget", "last", input="n\n")
    assert (said.code, said.err) == (
        0,
        "Forget run ID8 hello (ok, TIME)? [y/N]: timelab: nothing was forgotten\n",
    ) or said.err.endswith("timelab: nothing was forgotten\n")
    assert len(notebook.runs()) == 3


def test_for_programs_the_run_is_told_whether_it_went_or_not(notebook: Notebook) -> None:
    """O1: the question is talk, the answer is data."""
    row = notebook.runs()[0]
    said = json.loads(notebook.timelab("forget", "last", "--json", input="n\n").raw)
    assert said == {
        "run_id": row["run_id"],
        "name": "hello",
        "status": "ok",
        "timestamp_start": row["timestamp_start"],
        "is_forgotten": False,
    }
    assert notebook.json("forget", "forget", "last", "--yes") == {**said, "is_forgotten": True}
    assert len(notebook.runs()) == 2


def test_without_anybody_to_ask_yes_must_be_said(notebook: Notebook) -> None:
    """A20."""
    said = notebook.timelab("forget", "last")
    assert said.code == 64
    assert said.err.endswith("timelab: nobody is here to ask\nhint: timelab forget RUN --yes\n")
    assert len(notebook.runs()) == 3
    assert notebook.timelab("forget", "last", "--yes").code == 0
    assert len(notebook.runs()) == 2


def test_a_name_of_several_runs_is_a_wrong_call(notebook: Notebook) -> None:
    said = notebook.timelab("forget", "HEAD~1", "--yes")
    assert said.code == 64
    assert said.err.startswith("timelab: HEAD~1 has 2 runs: name one\nhint: ID12 (specs/bad.yaml), ID12 (specs/hello")
    assert notebook.timelab("forget", "zzzz").code == 64
    assert len(notebook.runs()) == 3
