"""`timelab trace`: which run, commit and spec made a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.notebook import Notebook
from timelab.canonical import sha256_bytes


def output(notebook: Notebook) -> Path:
    return notebook.root / notebook.runs()[0]["artifacts_path"] / "output/hello.txt"


def test_a_result_leads_to_run_spec_and_commit(notebook: Notebook) -> None:
    """A16."""
    said = notebook.timelab("trace", str(output(notebook)))
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "output/hello.txt  made by run ID8  TIME",
        "  spec  specs/hello.yaml  blob ID12",
        "  commit  OID",
    ]


def test_a_copy_elsewhere_and_a_bare_digest_are_traced_by_their_bytes(notebook: Notebook, tmp_path: Path) -> None:
    """A16."""
    shutil.copy(output(notebook), tmp_path / "copy.txt")
    digest = sha256_bytes(b"hallo\n")
    (run,) = {row["run_id"] for row in notebook.runs() if row["name"] == "hello"} - {notebook.runs()[2]["run_id"]}
    for name in (str(tmp_path / "copy.txt"), digest, f"sha256:{digest}", digest.upper()):
        (origin,) = notebook.json("trace", "trace", name)
        assert (origin["run_id"], origin["role"], origin["artifact"]) == (run, "made", "output/hello.txt")
        assert origin["git_sha"] == notebook.git("rev-parse", "HEAD")


def test_an_input_is_traced_to_the_runs_that_read_it(notebook: Notebook) -> None:
    (origin,) = notebook.json("trace", "trace", "specs/bad.yaml")
    assert (origin["role"], origin["status"]) == ("input", "failed")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing.txt", "timelab: no such file, and no sha256: nothing.txt\n"),
        ("specs", "timelab: specs is a folder\nhint: name a file in it\n"),
        ("", "timelab: . is a folder\nhint: name a file in it\n"),
    ],
)
def test_what_is_no_file_is_a_wrong_call(notebook: Notebook, name: str, words: str) -> None:
    said = notebook.timelab("trace", name)
    assert (said.code, said.out, said.err) == (64, "", words)


def test_a_file_that_no_run_made_says_so(notebook: Notebook) -> None:
    notebook.write("mine.txt", "typed by hand\n")
    said = notebook.timelab("trace", "mine.txt")
    assert said.code == 64
    assert said.err == "timelab: no run has a file with these bytes (sha256 ID12…)\nhint: timelab sync, then again\n"
