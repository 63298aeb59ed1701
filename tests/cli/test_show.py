"""`timelab show`: one run for people, or its exact record."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.cli.notebook import Notebook
from timelab.schemas import schema

# What is installed here, and how the sandbox is built here, differ from machine to machine.
_MACHINE = re.compile(r"  (tools|system|sandbox|logs/events.jsonl)  .*\n")


def test_a_run_is_shown_whole(notebook: Notebook) -> None:
    """A1, A16: where it came from, what it made, and where that lies."""
    said = notebook.timelab("show")
    assert (said.code, said.err) == (0, "")
    assert _MACHINE.sub("", said.out).splitlines() == [
        "run ID8  hello  ok",
        "  id  SHA256",
        "  started  TIME  took TOOK",
        "  spec  specs/hello.yaml  blob ID12",
        "  commit  ID12",
        "  command  sh -c 'echo hallo > $TIMELAB_OUTPUT/hello.txt'",
        "  exit code  0",
        "  shell  host host, not pinned  ID12",
        "  replays  held to none",
        "",
        "  input/spec.yaml  96 B  ID12",
        "  logs/stderr.txt  0 B  ID12",
        "  logs/stdout.txt  0 B  ID12",
        "  output/hello.txt  6 B  ID12",
        "",
        "  ROOT/YYYY/MM/DD/ai-team/artifacts/HHMMSS-hello-ID8",
        "",
        "  ── output/hello.txt",
        "  hallo",
    ]


def test_a_failed_run_says_why(notebook: Notebook) -> None:
    said = notebook.timelab("show", "specs/bad.yaml")
    assert "run ID8  bad  failed\n" in said.out
    assert "  error  exit-status: the command ended with 3\n" in said.out
    assert "  exit code  3\n" in said.out


@pytest.mark.parametrize("name", ["last", "prefix", "id", "commit", "commit:", "spec", "folder"])
def test_every_way_to_name_a_run_gives_its_exact_bytes(notebook: Notebook, name: str) -> None:
    """A48: what is printed is what the note, the chain and the folder hold."""
    row = notebook.runs()[0]
    given = {
        "last": "last",
        "prefix": row["run_id"][:6],
        "id": row["run_id"],
        "commit": row["git_sha"],
        "commit:": "commit:HEAD",
        "spec": "specs/hello.yaml",
        "folder": row["artifacts_path"],
    }[name]
    said = notebook.timelab("show", given, "--json")
    assert said.code == 0, said.err
    assert said.raw.encode() == (notebook.root / row["artifacts_path"] / "run.json").read_bytes()
    Draft202012Validator(schema("run")).validate(json.loads(said.raw))


def test_a_commit_with_two_runs_shows_both(notebook: Notebook) -> None:
    assert len(notebook.timelab("show", "HEAD~1", "--json").raw.splitlines()) == 2
    assert notebook.timelab("show", "HEAD~1").out.count("\nrun ") == 1


def test_the_path_alone_is_printed_for_scripts(notebook: Notebook) -> None:
    said = notebook.timelab("show", "--path")
    assert (Path(said.raw.removesuffix("\n")) / "run.json").is_file()


def test_a_missing_folder_is_said_to_be_absent(notebook: Notebook) -> None:
    (folder,) = notebook.root.glob("*/*/*/ai-team/artifacts/*-bad-*")
    folder.rename(notebook.root / "elsewhere")
    assert "(absent: timelab doctor --repair restores it)" in notebook.timelab("show", "specs/bad.yaml").out


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("zzzz", "a run id needs at least 4 digits; timelab log lists the runs"),
        ("abc", "a run id needs at least 4 digits; timelab log lists the runs"),
        ("specs/none.yaml", "a run id needs at least 4 digits; timelab log lists the runs"),
        ("HEAD~50", "a run id needs at least 4 digits; timelab log lists the runs"),
        ("", "a run id needs at least 4 digits; timelab log lists the runs"),
        ("--", "no runs here yet"),
    ][:-1],
)
def test_a_name_of_nothing_is_a_wrong_call(notebook: Notebook, name: str, hint: str) -> None:
    said = notebook.timelab("show", "--", name)
    assert (said.code, said.out, said.err) == (64, "", f"timelab: no such run: {name}\nhint: {hint}\n")


def test_a_commit_without_runs_says_so(notebook: Notebook) -> None:
    notebook.commit({"x.txt": "x\n"})
    said = notebook.timelab("show", "HEAD")
    assert said.code == 64
    assert said.err == "timelab: no such run: HEAD\nhint: commit ID12 has no runs; timelab log lists the runs\n"


def test_an_empty_notebook_says_what_to_do(repo: Path) -> None:
    said = Notebook(repo).timelab("show")
    assert said.code == 64
    assert said.err == "timelab: no such run: last\nhint: no runs here yet: commit a spec, or timelab run FILE\n"
