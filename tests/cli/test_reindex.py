"""`timelab reindex`: rebuild everything that is derived from the chains."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cli.notebook import Notebook


def test_all_that_is_derived_comes_back_to_the_byte(notebook: Notebook) -> None:
    """D7, A79, A149: the chain is the record, everything else a rebuildable cache."""
    (day,) = {(notebook.root / row["artifacts_path"]).parents[2] for row in notebook.runs()}
    derived = {day / "runs.csv", day / "README.md"}
    before = {path: path.read_bytes() for path in derived}
    rows, notes = notebook.runs(), notebook.git("notes", "--ref", "timelab", "show", "HEAD")
    for path in derived:
        path.unlink()
    (notebook.root / "latest").unlink()
    (notebook.root / ".git/timelab/index.sqlite").unlink()
    notebook.git("update-ref", "-d", "refs/notes/timelab")
    said = notebook.timelab("reindex")
    assert (said.code, said.out, said.err) == (0, "", "timelab: rebuilt from 3 runs\n")
    assert {path: path.read_bytes() for path in derived} == before
    assert (notebook.root / "latest").readlink() == Path(rows[0]["artifacts_path"])
    assert notebook.runs() == rows
    assert notebook.git("notes", "--ref", "timelab", "show", "HEAD") == notes


def test_for_programs_the_number_of_runs_is_told(notebook: Notebook) -> None:
    assert notebook.json("reindex", "reindex") == {"runs": 3}


def test_an_empty_repository_has_nothing_to_rebuild(repo: Path) -> None:
    assert Notebook(repo).timelab("reindex").err == "timelab: rebuilt from 0 runs\n"
    shutil.rmtree(repo / ".git/timelab")
    assert Notebook(repo).timelab("reindex").code == 0
