"""What an AI team, or anybody else, may rely on: everything about a run is in its folder and in git."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from tests.lab import HELLO, Lab, make_lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Returns a user's repository with timelab set up."""
    return make_lab(tmp_path / "repo")


def test_the_folder_alone_tells_and_holds_everything(lab: Lab, tmp_path: Path) -> None:
    """A2, A10, A23, A69, A227: spec, inputs, results, logs, and what they were made from, in one folder."""
    spec = {"timelab": 1, "kind": "command", "argv": ["sh", "-c", "cat data/in.txt; echo done > $TIMELAB_OUTPUT/out"]}
    text = json.dumps({**spec, "inputs": ["data/in.txt"]})
    lab.commit({"specs/hello.json": text, "data/in.txt": "given\n"})
    (row,) = lab.log()
    alone = tmp_path / "elsewhere"
    shutil.copytree(lab.folder(row), alone)
    record = json.loads((alone / "run.json").read_bytes())
    assert (alone / "input/spec.json").read_text() == text
    assert (alone / "input/files/data/in.txt").read_text() == "given\n"
    assert (alone / "logs/stdout.txt").read_text() == "given\n"
    assert (alone / "output/out").read_text() == "done\n"
    listed = {item["path"]: (item["sha256"], item["size_bytes"]) for item in record["artifacts"]}
    found = {
        path.relative_to(alone).as_posix(): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
        for path in alone.rglob("*")
        if path.is_file() and path.name != "run.json"
    }
    assert listed == found
    assert record["spec"]["blob"] == lab.git("hash-object", str(alone / "input/spec.json"))


def test_a_record_names_the_commit_that_holds_its_spec_and_never_its_own(lab: Lab) -> None:
    """A43, A57, T10: no commit can hold its own name, so the record stands beside the history and not in it."""
    commit = lab.commit({"specs/hello.yaml": HELLO})
    (record,) = lab.note()
    assert record["git_sha"] == commit
    assert lab.git("rev-parse", f"{commit}:specs/hello.yaml") == record["spec"]["blob"]
    assert "run.json" not in lab.git("ls-tree", "-r", "--name-only", commit)
    (chain,) = lab.git("for-each-ref", "--format=%(objectname)", "refs/timelab/runs/").splitlines()
    assert commit not in lab.git("rev-list", chain)
    assert "run.json" in lab.git("ls-tree", "--name-only", chain).splitlines()


def test_a_task_does_not_run_as_root(lab: Lab) -> None:
    """A192: whoever commits, the task is an ordinary user, and the record says so."""
    argv = [
        "sh",
        "-c",
        "id -u > $TIMELAB_OUTPUT/uid; touch /etc/x 2>/dev/null && echo wrote > $TIMELAB_OUTPUT/etc; true",
    ]
    lab.commit({"specs/who.json": json.dumps({"timelab": 1, "kind": "command", "profile": "host", "argv": argv})})
    (record,) = lab.note()
    (row,) = lab.log()
    assert record["sandbox"]["as_root"] is False
    assert int((lab.folder(row) / "output/uid").read_text()) != 0
    assert not (lab.folder(row) / "output/etc").exists()


def test_an_hour_without_any_of_the_optional_tools_is_an_hour_with_runs(lab: Lab, tmp_path: Path) -> None:
    """A27, A140: the hook needs git, sh and timelab; Nix, just and a network are not asked for."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "sh", "rm", "mv", "cat", "mkdir", "setsid", "env", "uname"):
        found = shutil.which(name)
        if found is not None:
            (tools / name).symlink_to(found)
    lab.write({"specs/hello.yaml": HELLO})
    lab.git("add", "-A")
    lab.git("commit", "-q", "-m", "work", PATH=str(tools))
    assert [row["status"] for row in lab.log()] == ["ok"]


def test_no_call_ends_with_a_code_that_is_not_in_the_contract(lab: Lab) -> None:
    """A222, A223, A224, A225: 0, 64, 65 and 70, whatever is asked."""
    lab.write({"specs/hello.yaml": HELLO, "specs/odd.yaml": "timelab: 1\nkind: comand\n"})
    for args, code in (
        (["log"], 0), (["check", "specs/hello.yaml"], 0), (["nonsense"], 64), (["check", "specs/none.yaml"], 64),
        (["check", "specs/odd.yaml"], 65), (["verify"], 65), (["replay", "last"], 64),
    ):  # fmt: skip
        lab.timelab(*args, code=code)
