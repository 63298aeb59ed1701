"""Names that somebody's shell, terminal or spreadsheet could trip over, from the commit to the last listing."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.lab import HELLO, TIMELAB, Lab, make_lab

HOST = HELLO.replace("kind: command", "kind: command\nprofile: host")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Returns a user's repository with timelab set up."""
    return make_lab(tmp_path / "repo")


SPECS = [
    "specs/with space.yaml",
    'specs/it\'s "quoted".yaml',
    "specs/$HOME `id` $(id).yaml",
    "specs/--help.yaml",
    "specs/-n.yaml",
    "specs/größe-日本語-🚀.yaml",
    "specs/*[a].yaml",
    "specs/:(glob)x;rm -rf &|.yaml",
    "specs/" + "n" * 200 + ".yaml",
    "specs/" + "deep/" * 30 + "x.yaml",
    "specs/#comment%s%n.yaml",
    "specs/=1+1.yaml",
]


def test_specs_with_odd_names_run_and_are_found_by_them(lab: Lab) -> None:
    """A63, A79: every one of them runs by its commit, once, and log, show, trace and replay take its name."""
    lab.commit({name: HOST.replace("echo hello", f"echo {number}") for number, name in enumerate(SPECS)})
    rows = {row["spec_path"]: row for row in lab.log()}
    assert set(rows) == set(SPECS)
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert len(lab.note()) == len(SPECS)
    for name, row in rows.items():
        assert [record["run_id"] for record in lab.note(f"HEAD:{name}")] == [row["run_id"]], name
        shown = lab.timelab("show", "--json", "--", name)
        assert json.loads(shown.out)["run_id"] == row["run_id"], name
        versions = json.loads(lab.timelab("log", "--json", "--", name).out)
        assert [run["run_id"] for version in versions for run in version["runs"]] == [row["run_id"]], name
    said = lab.timelab("run", "--", "specs/--help.yaml")
    assert Path(said.out.strip()).is_file()
    assert "identical" in lab.timelab("replay", "--", "specs/-n.yaml").out
    assert lab.timelab("verify").code == 0
    lab.timelab("run", "--pending")
    assert len(lab.log()) == len(SPECS) + 2


def test_the_days_csv_holds_odd_names_as_text(lab: Lab) -> None:
    """A79, A94: a spreadsheet reads the cells and takes none for a formula."""
    lab.commit({"=1+1.spec.yaml": HOST, '@SUM(A1), "x".spec.yaml': HOST.replace("hello >", "x >")})
    (day,) = {lab.folder(row).parents[2] for row in lab.log()}
    with (day / "runs.csv").open(newline="", encoding="utf-8") as file:
        cells = [row["spec_path"] for row in csv.DictReader(file)]
    assert sorted(cells) == ["'=1+1.spec.yaml", '\'@SUM(A1), "x".spec.yaml']


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"specs/new\nline.yaml", "new\\nline"),
        (b"specs/\x1b[31mred.yaml", "\\x1b[31mred"),
        (b"specs/\xff\xfe.yaml", ""),
    ],
    ids=["newline", "escape", "not-utf-8"],
)
def test_a_name_that_no_record_can_hold_is_refused_before_the_commit_and_ignored_after(
    lab: Lab, name: bytes, shown: str
) -> None:
    """A32: one clear line that no terminal obeys; what got past the check runs nothing and breaks nothing."""
    path = os.fsencode(lab.root) + b"/" + name
    Path(os.fsdecode(path)).parent.mkdir(exist_ok=True)
    Path(os.fsdecode(path)).write_text(HOST)
    lab.write({"specs/fine.yaml": HOST})
    lab.git("add", "-A")
    done = subprocess.run(["git", "commit", "-m", "odd"], cwd=lab.root, capture_output=True, check=False)
    assert done.returncode != 0
    words = done.stderr + done.stdout
    assert shown.encode() in words
    assert b"\x1b" not in words and b"Traceback" not in words
    lab.git("commit", "-q", "--no-verify", "-m", "odd")
    assert [row["spec_path"] for row in lab.log()] == ["specs/fine.yaml"]
    for command in (["log"], ["status", "--all"], ["run", "--pending"], ["verify"], ["doctor"]):
        said = lab.timelab(*command)
        assert "\x1b" not in said.out + said.err
    assert lab.timelab("run", os.fsdecode(name), code=65).err.count("\n") <= 2


ARTIFACTS = [
    "with space.txt",
    'it\'s "q".txt',
    "$HOME.txt",
    "-rf",
    "größe 日本.txt",
    "a*b?.txt",
    "=1+1.csv",
    "x" * 200,
    ".hidden",
]


def test_artifacts_with_odd_names_are_kept_shown_and_replayed(lab: Lab) -> None:
    """A69, A70: each is listed with its digest, found again by its bytes, and restored to the byte."""
    script = "import os\nfor at, name in enumerate(%r):\n"
    script += " open(os.path.join(os.environ['TIMELAB_OUTPUT'], name), 'w').write(f'{at}\\n')\n"
    spec = json.dumps(
        {"timelab": 1, "kind": "command", "profile": "host", "argv": ["python3", "-c", script % ARTIFACTS]}
    )
    lab.commit({"specs/odd.json": spec})
    (record,) = lab.note()
    assert record["status"] == "ok", record["error"]
    found = {item["path"] for item in record["artifacts"] if item["path"].startswith("output/")}
    assert found == {f"output/{name}" for name in ARTIFACTS}
    (row,) = lab.log()
    for number, name in enumerate(ARTIFACTS):
        path = lab.folder(row) / "output" / name
        assert path.read_text() == f"{number}\n"
        origins = json.loads(lab.timelab("trace", "--json", "--", str(path)).out)
        assert [origin["artifact"] for origin in origins] == [f"output/{name}"]
    assert "identical" in lab.timelab("replay", "last").out
    assert lab.timelab("verify").code == 0


def test_an_artifact_whose_name_no_record_can_hold_fails_the_run_and_says_so(lab: Lab) -> None:
    """A68: the run is recorded as failed; nothing of that name enters git."""
    names = [b"new\nline", b"\x1b[2Jclear", b"\xff\xfe", b"a\\b", b"con.txt"]
    script = "import os\nopen(os.path.join(os.environb[b'TIMELAB_OUTPUT'], %r), 'w').write('x')\n"
    lab.commit(
        {
            f"specs/odd{number}.json": json.dumps(
                {"timelab": 1, "kind": "command", "profile": "host", "argv": ["python3", "-c", script % name]}
            )
            for number, name in enumerate(names)
        }
    )
    records = lab.note()
    assert len(records) == len(names)
    for record in records:
        assert record["status"] == "failed"
        assert record["error"]["message"]
        assert not any(item["path"].startswith("output/") for item in record["artifacts"])
    for command in (["show"], ["log"], ["status"]):
        assert "\x1b" not in lab.timelab(*command).out
    assert lab.timelab("verify").code == 0


@pytest.mark.parametrize(
    "name", ['it\'s "$HOME" `id`', "-größe 日本;&|", "\udcff"], ids=["quotes", "letters", "not-utf-8"]
)
def test_a_repository_may_lie_anywhere(tmp_path: Path, name: str) -> None:
    """A150: init, commit, log, run, verify and replay work, and the paths that are printed are the real ones."""
    lab = make_lab(tmp_path / name)
    lab.commit({"specs/hello.yaml": HOST})
    (row,) = lab.log()
    assert (lab.folder(row) / "output/hello.txt").read_text() == "hello\n"
    assert lab.timelab("verify").code == 0
    assert "identical" in lab.timelab("replay", "last").out
    done = subprocess.run([TIMELAB, "show", "--path", row["run_id"]], cwd=lab.root, capture_output=True, check=True)
    assert Path(os.fsdecode(done.stdout.removesuffix(b"\n"))) == lab.folder(row)
    lab.timelab("doctor", "--repair")
    lab.timelab("init", "--undo")


def test_a_repository_whose_path_holds_a_line_break_is_refused_in_one_line(tmp_path: Path) -> None:
    """A223: git's own answers are lines, so that no call could be sure of the path."""
    lab = make_lab(tmp_path / "new\nline", init=False)
    for command in ("init", "log", "status"):
        said = lab.timelab(command, code=64)
        assert said.err == "timelab: the repository's path holds a line break, which git's answers cannot carry\n"


def test_a_user_may_have_any_name(lab: Lab) -> None:
    """D1, D2: trust compares names as git has them, so this user's own commit runs; the record names nobody."""
    for number, name in enumerate(['O\'Hara "Bo" $HOME `id`', "Größe 日本 🚀;|&", "x\\y =1+1\there"]):
        lab.git("config", "user.name", name)
        lab.commit({"specs/hello.yaml": HOST.replace("echo hello", f"echo {number}")})
        assert [row["status"] for row in lab.log()] == ["ok"] * (number + 1)
        assert name not in lab.git("notes", "show")


def test_words_of_a_spec_and_of_its_results_do_not_drive_the_terminal(lab: Lab) -> None:
    """A10: description, prompt, arguments and output are shown with their escape signs made visible."""
    evil = "\x1b]0;owned\x07\x1b[31m\u202egnp\r\u009b2J"
    script = f"import os; open(os.environ['TIMELAB_OUTPUT'] + '/out.txt', 'w').write({evil!r} + '%s')"
    spec = {"timelab": 1, "kind": "command", "profile": "host", "description": evil, "tags": ["a"]}
    lab.commit({"specs/evil.json": json.dumps({**spec, "argv": ["python3", "-c", script % 1]})}, message=evil)
    lab.commit({"specs/evil.json": json.dumps({**spec, "argv": ["python3", "-c", script % 2]})}, message=evil)
    assert [row["status"] for row in lab.log()] == ["ok", "ok"]
    for command in (
        ["log"], ["log", "specs/evil.json"], ["show"], ["diff", "specs/evil.json"],
        ["diff", "--all", "specs/evil.json"], ["status"], ["verify"], ["doctor"], ["check"],
    ):  # fmt: skip
        said = lab.timelab(*command)
        for sign in "\x1b\x07\u202e\u009b\r":
            assert sign not in said.out + said.err, (command, sign)
    assert "\\x1b]0;owned" in lab.timelab("show").out
