"""A record replayed elsewhere gives the same; with one thing changed it differs, and that thing is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab import TIMELAB, Lab, make_lab

ROOT = Path(__file__).parents[2]

TOOL = """\
import locale, os, pathlib, sys, time
import part
out = pathlib.Path(os.environ["TIMELAB_OUTPUT"])
lines = pathlib.Path("data/in.csv").read_text().splitlines()
facts = {"lines": len(lines), "cwd": os.getcwd(), "zone": time.tzname, "umask": oct(os.umask(0o22)), "x": part.X}
facts["locale"], facts["home"] = locale.setlocale(locale.LC_ALL), os.environ["HOME"]
facts["args"] = sys.argv[1:]
facts["set"] = list({"a", "b", "c", "d"})
facts["epoch"] = os.environ["SOURCE_DATE_EPOCH"]
facts["lock"] = len(pathlib.Path("env/default/uv.lock").read_bytes())
(out / "facts.txt").write_text(repr(facts) + "\\n")
"""
COMMAND = """\
timelab: 1
kind: command
script: tool.py
inputs: [data/in.csv]
"""
ASK = """\
timelab: 1
kind: llm
model: builtin:extractive@1
prompt: |
  Summarise in 1 sentence.

  {{ text }}
cases: data/cases.jsonl
"""
CASES = [
    "Git keeps every version of every file. A commit names a whole tree by its digest. Nobody needs a server.",
    "Rain fell all night. The river rose by a metre. In the morning the bridge was closed.",
]
CONFINE = """\
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.umask(0o77)
os.execv(sys.argv[1], sys.argv[1:])
"""
FILES = {
    "tool.py": TOOL,
    "part.py": "X = 0.1 + 0.2\n",
    "data/in.csv": "a,b\n1,2\n",
    "data/cases.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in CASES),
    "specs/count.yaml": COMMAND,
    "specs/ask.yaml": ASK,
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = make_lab(tmp_path / "here")
    made.commit(FILES)
    assert {row["status"] for row in made.log()} == {"ok"}
    return made


def run_ids(lab: Lab) -> dict[str, str]:
    return {row["name"]: row["run_id"] for row in lab.log() if not row["replay_of"]}


def replayed(lab: Lab, *args: str, code: int = 0, **env: str) -> dict[str, Any]:
    said = lab.timelab("replay", "--json", *args, code=code, **env)
    (report,) = json.loads(said.out)
    assert isinstance(report, dict)
    return report


def test_from_another_clone_under_other_circumstances_it_is_identical(lab: Lab, tmp_path: Path) -> None:
    """A12, A15, C5, C9: another path, umask, locale, time zone, number of processors, home and clock."""
    hub = tmp_path / "hub.git"
    lab.git("init", "-q", "--bare", str(hub), cwd=tmp_path)
    lab.git("remote", "add", "origin", str(hub))
    lab.git("push", "-q", "origin", "HEAD")
    lab.timelab("sync")
    there = tmp_path / "somewhere else entirely" / "déjà vu"
    there.parent.mkdir()
    lab.git("clone", "-q", str(hub), str(there), cwd=tmp_path)
    clone = Lab(there)
    clone.timelab("init")
    clone.timelab("sync")
    ids = run_ids(clone)
    assert ids == run_ids(lab)
    circumstances = {"TZ": "Asia/Kolkata", "LC_ALL": "C", "LANG": "C", "PYTHONHASHSEED": "3", "HOME": str(tmp_path)}
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Eve\n\temail = eve@example.invalid\n")
    one_processor = [sys.executable, "-c", CONFINE]
    done = subprocess.run(
        [*one_processor, TIMELAB, "replay", "--json", *ids.values()],
        cwd=there,
        env={**os.environ, **circumstances},
        capture_output=True,
        check=False,
    )
    reports = json.loads(done.stdout)
    assert [(each["verdict"], each["cause"]) for each in reports] == [("identical", None)] * 2, done.stderr.decode()
    assert all(each["artifacts"] for each in reports)
    clone.timelab("verify")


CHANGES = [
    ("count", "spec", {"specs/count.yaml": COMMAND + "args: [more]\n"}, True),
    ("count", "code", {"part.py": "X = 0.3\n"}, True),
    ("count", "code", {"tool.py": TOOL + "(out / 'more.txt').touch()\n"}, False),
    ("count", "inputs", {"data/in.csv": "a,b\n1,2\n3,4\n"}, True),
    ("count", "shell", {"env/default/uv.lock": None}, True),
    ("ask", "spec", {"specs/ask.yaml": ASK.replace("1 sentence", "2 sentences")}, True),
    ("ask", "inputs", {"data/cases.jsonl": json.dumps({"text": "Snow fell. It stayed."}) + "\n"}, True),
    ("ask", "params", {"specs/ask.yaml": ASK + "params: {temperature: 0.7}\n"}, True),
]


@pytest.mark.parametrize(
    ("name", "cause", "files", "shows"), CHANGES, ids=[f"{each[0]}-{each[1]}-{min(each[2])}" for each in CHANGES]
)
def test_one_thing_changed_is_the_cause_that_is_named(
    lab: Lab, name: str, cause: str, files: dict[str, str | None], shows: bool
) -> None:
    """A12: what today's repository would give, and why it is not what the record says."""
    run_id = run_ids(lab)[name]
    lab.write({path: data if data is not None else _longer(lab, path) for path, data in files.items()})
    lab.git("add", "-f", "--", *files)
    lab.git("commit", "-q", "--no-verify", "-m", "one thing", wait=False, TIMELAB_HOOK="off")
    report = replayed(lab, "--at", "HEAD", run_id, code=65)
    assert (report["verdict"], report["cause"]) == ("differs", cause), report
    assert report["causes"] == [cause], report["changes"]
    assert any(item["first"] for item in report["artifacts"]) or not shows
    # As recorded it is still the same.
    assert replayed(lab, run_id)["verdict"] == "identical"


def _longer(lab: Lab, path: str) -> str:
    """Returns a lock with other bytes that pins the same."""
    return (lab.root / path).read_text() + "# another lock\n"


OTHER_ALGORITHM = (
    ('_LABEL = "extractive summariser without weights, version 1"', '_LABEL = "extractive summariser, late first"'),
    ("shared * (1.25 - 0.5 * at / total)", "shared * (0.25 + 4.0 * at / total)"),
)
"""What another build of timelab does otherwise: it prefers late sentences, and its model's digest says so."""


def test_another_model_under_the_same_name_is_the_cause_that_is_named(lab: Lab, tmp_path: Path) -> None:
    """A12, A66: only the weights' digest tells that what answers now is not what answered then."""
    run_id = run_ids(lab)["ask"]
    package = tmp_path / "other build" / "timelab"
    shutil.copytree(ROOT / "timelab", package, ignore=shutil.ignore_patterns("__pycache__"))
    source = (package / "providers/builtin.py").read_text("utf-8")
    for old, new in OTHER_ALGORITHM:
        assert source.count(old) == 1
        source = source.replace(old, new)
    (package / "providers/builtin.py").write_text(source, "utf-8")

    def by_that_build(*args: str) -> subprocess.CompletedProcess[bytes]:
        env = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONSAFEPATH": "1"}
        argv = [sys.executable, "-m", "timelab", "replay", "--json", run_id, *args]
        return subprocess.run(argv, cwd=lab.root, env=env, capture_output=True, check=False)

    done = by_that_build()
    assert (done.returncode, done.stderr) == (65, b"")
    (report,) = json.loads(done.stdout)
    assert (report["verdict"], report["cause"], report["causes"]) == ("differs", "model", ["model"]), report
    (change,) = (each for each in report["changes"] if each["cause"] == "model")
    assert change["what"] == "weights" and change["before"] != change["after"]
    (artifact,) = report["artifacts"]
    assert artifact["verdict"] == "differs" and artifact["first"]["line"] == 1
    # The record's own answers are still to be had, whatever that build's model would say.
    again = by_that_build("--recorded")
    assert (again.returncode, json.loads(again.stdout)[0]["verdict"]) == (0, "identical")
    assert replayed(lab, run_id)["verdict"] == "identical"


def test_other_parameters_and_an_absent_model_by_option(lab: Lab) -> None:
    run_id = run_ids(lab)["ask"]
    report = replayed(lab, run_id, "--set", "seed=123", code=65)
    assert (report["verdict"], report["cause"]) == ("differs", "params")
    report = replayed(lab, run_id, "--model", "nobody:big", code=65)
    assert report["verdict"] == "cannot" and "nobody" in report["missing"]


def test_people_read_verdict_cause_and_first_difference(lab: Lab) -> None:
    run_id = run_ids(lab)["count"]
    lab.commit({"data/in.csv": "a,b\n"}, wait=False)
    said = lab.timelab("replay", run_id[:10], "--at", "HEAD", code=65)
    lines = said.out.splitlines()
    assert lines[0].startswith(f"replay of {run_id[:8]} count as ") and lines[0].endswith("  differs")
    assert lines[1] == "  output/facts.txt  differs"
    assert lines[2].startswith("  cause: inputs")
    assert lines[3].startswith("    data/in.csv: ")
    assert "  first difference: output/facts.txt, line 1" in lines
    assert f"replay of {run_id[:8]}" in lab.timelab("log").out


def test_a_commit_that_did_not_travel_is_named(lab: Lab, tmp_path: Path) -> None:
    run_id = run_ids(lab)["count"]
    other = tmp_path / "records"
    lab.git("init", "-q", str(other), cwd=tmp_path)
    lab.git("fetch", "-q", str(lab.root), "refs/timelab/runs/*:refs/timelab/runs/*", cwd=other)
    report = replayed(Lab(other), run_id, code=65)
    assert report["verdict"] == "cannot"
    assert report["missing"].startswith("commit ")
