"""`timelab doctor`: what is wrong, and the command that mends it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.notebook import HELLO, Notebook
from timelab.git.repo import discover


def states(notebook: Notebook, code: int = 0) -> dict[str, str]:
    return {check["what"]: check["state"] for check in notebook.json("doctor", "doctor", code=code)}


def test_a_sound_notebook_passes(notebook: Notebook) -> None:
    said = notebook.timelab("doctor")
    assert said.code == 0
    assert said.out.splitlines()[1:] == [
        "unknown  hooks  missing or not ours: commits do not run specs here",
        "passed  notes  records show with `git notes --ref timelab show`",
        "passed  journal  nothing half done",
        "passed  queue  0 queued, 0 running",
        "passed  records  3 runs verified",
    ]
    assert said.err == "hint: timelab init\n"


def test_what_passed_needs_no_healing(notebook: Notebook) -> None:
    assert [c for c in notebook.json("doctor", "doctor") if c["state"] == "passed" and c["heal"]] == []


def test_a_run_that_was_cut_off_is_found_and_set_aside(notebook: Notebook) -> None:
    """A75: a crash leaves a running manifest that doctor finds."""
    staging = discover(notebook.root).timelab_dir / "staging" / ("f" * 64)
    (staging / "output").mkdir(parents=True)
    (staging / "running.json").write_text(json.dumps({"pid": 1, "pid_start": "never", "run_id": "f" * 64}))
    (staging / "output/half.txt").write_text("half\n")
    said = notebook.timelab("doctor")
    assert said.code == 65
    assert "wrong  journal  1 run was cut off\n" in said.out
    assert "hint: timelab doctor --repair\n" in said.err
    said = notebook.timelab("doctor", "--repair")
    assert said.code == 0, said.out
    assert "ffffffff was cut off before its record; its files are in " in said.err
    assert len(list(discover(notebook.root).timelab_dir.rglob("half.txt"))) == 1
    assert states(notebook)["journal"] == "passed"


def test_a_folder_that_is_gone_is_restored(notebook: Notebook) -> None:
    """B4: from the chain, to the byte."""
    folder = notebook.root / notebook.runs()[0]["artifacts_path"]
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    said = notebook.timelab("doctor", "--repair")
    assert said.err.splitlines()[0] == "timelab: restored YYYY/MM/DD/ai-team/artifacts/HHMMSS-hello-ID8"
    assert {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_changed_result_is_wrong_and_kept_aside_by_the_repair(notebook: Notebook) -> None:
    """A20: nothing that somebody wrote is thrown away."""
    folder = notebook.root / notebook.runs()[0]["artifacts_path"]
    (folder / "output/hello.txt").write_text("forged\n")
    assert states(notebook, code=65)["records"] == "wrong"
    said = notebook.timelab("doctor", "--repair")
    assert said.code == 0
    assert (folder / "output/hello.txt").read_text() == "hallo\n"
    assert [path.read_text() for path in discover(notebook.root).timelab_dir.rglob("hello.txt")] == ["forged\n"]


def test_secrets_must_be_private_and_ignored(notebook: Notebook) -> None:
    """A185, A186, A187: `secrets/` is 0700 and outside of git."""
    folder = notebook.root / "secrets"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    said = notebook.timelab("doctor")
    assert said.code == 65
    assert "wrong  secrets  secrets/ is 0755\nwrong  secrets  not ignored by git\n" in said.out
    assert said.err == "hint: timelab init\nhint: chmod 700 secrets\nhint: echo /secrets/ >> .gitignore\n"
    folder.chmod(0o700)
    notebook.write(".gitignore", "/secrets/\n")
    assert states(notebook)["secrets"] == "passed"


def test_an_empty_repository_passes(repo: Path) -> None:
    assert "passed  records  no runs yet\n" in Notebook(repo).timelab("doctor").out


@pytest.mark.parametrize("gone", ["chains", "chains and notes", "chains and folders"])
def test_chains_that_are_gone_are_wrong_as_long_as_a_copy_speaks_of_runs(notebook: Notebook, gone: str) -> None:
    """Doctor and verify agree: runs that only notes or folders know are lost, not absent."""
    for ref in notebook.git("for-each-ref", "--format=%(refname)", "refs/timelab/runs").splitlines():
        notebook.git("update-ref", "-d", ref)
    if gone == "chains and notes":
        notebook.git("update-ref", "-d", "refs/notes/timelab")
    elif gone == "chains and folders":
        for folder in notebook.root.glob("2*"):
            shutil.rmtree(folder)
    assert notebook.timelab("verify").code == 65
    assert states(notebook, code=65)["records"] == "wrong"
    assert notebook.timelab("doctor", "--repair").code == 65
    assert notebook.timelab("verify").code == 65


def test_a_notebook_whose_only_run_was_forgotten_passes(repo: Path) -> None:
    notebook = Notebook(repo)
    notebook.commit({"specs/hello.yaml": HELLO})
    notebook.timelab("run", "specs/hello.yaml")
    assert notebook.timelab("forget", "last", "--yes").code == 0
    assert states(notebook)["records"] == "passed"


def test_a_changed_result_that_git_tracks_stays_and_the_repair_says_so(notebook: Notebook) -> None:
    """Design 1: we never rewrite a tracked file; `git checkout` is its owner's to say."""
    folder = notebook.root / notebook.runs()[0]["artifacts_path"]
    place = f"{folder.relative_to(notebook.root).as_posix()}/output/hello.txt"
    notebook.commit({place: "forged\n"})
    said = notebook.timelab("doctor", "--repair")
    assert said.code == 65
    assert any(line.startswith("timelab: not restored: ") and "hello.txt" in line for line in said.err.splitlines())
    assert (folder / "output/hello.txt").read_text() == "forged\n"
