"""`timelab log`: runs, filters, and the versions of one spec."""

from __future__ import annotations

import pytest

from tests.cli.notebook import BAD, HELLO, Notebook
from timelab.cli.log import STATUSES
from timelab.manifest import Status


@pytest.mark.parametrize(
    "args",
    [
        ["log", "-n", "9" * 30],
        ["log", "--model", "a\udcff"],
        ["log", "--kind", "a\udcff"],
        ["log", "--same-as", "a\udcff"],
        ["log", "specs/a\udcff.yaml"],
        ["show", "a\udcff"],
        ["show", "specs/a\udcff.yaml"],
        ["diff", "specs/a\udcff.yaml"],
        ["verify", "a\udcff"],
        ["replay", "a\udcff"],
        ["replay", "last", "--set", "seed=" + "[" * 100_000],
        ["forget", "a\udcff", "--yes"],
    ],
    ids=lambda args: " ".join(args)[:24].encode("ascii", "backslashreplace").decode(),
)
def test_what_no_record_can_hold_is_a_wrong_call_and_no_bug(notebook: Notebook, args: list[str]) -> None:
    """A222: 64, with one line that says what is wrong."""
    said = notebook.timelab(*args)
    assert said.code == 64, said.err
    assert said.err.startswith("timelab: ") and "a bug" not in said.err


def test_runs_are_listed_newest_first(notebook: Notebook) -> None:
    said = notebook.timelab("log")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "RUN  STARTED  TOOK  STATUS  NAME  COMMIT  WHAT",
        "ID8  CLOCK  TOOK  ok  hello  ID8  command",
        "ID8  CLOCK  TOOK  failed  bad  ID8  command: exit-status",
        "ID8  CLOCK  TOOK  ok  hello  ID8  command",
    ]


def test_a_limit_says_how_many_are_left_out(notebook: Notebook) -> None:
    said = notebook.timelab("log", "-n", "1")
    assert len(said.out.splitlines()) == 2
    assert said.err == "… and 2 more: timelab log --all\n"
    assert notebook.timelab("log", "-n", "3").err == ""


def test_what_is_left_out_is_counted_with_the_filters(notebook: Notebook) -> None:
    said = notebook.timelab("log", "-n", "1", "--status", "ok")
    assert said.err == "… and 1 more: timelab log --all\n"


@pytest.mark.parametrize("length", [4, 7, 10])
def test_a_date_is_a_year_a_month_or_a_day(notebook: Notebook, length: int) -> None:
    """A8: what was done on a day is one call."""
    stamp = notebook.runs()[-1]["timestamp_start"]
    found = notebook.runs("--date", stamp[:length])
    assert [row["run_id"] for row in found] == [
        row["run_id"] for row in notebook.runs() if row["timestamp_start"].startswith(stamp[:length])
    ]
    assert found
    assert notebook.runs("--date", "1999-01-01"[:length]) == []


@pytest.mark.parametrize("date", ["", "today", "2026-13", "2026-1", "2026-01-32", "26", "2026-01-01T", "٢٠٢٦"])
def test_what_is_no_date_is_a_wrong_call(notebook: Notebook, date: str) -> None:
    said = notebook.timelab("log", "--date", date)
    assert (said.code, said.out) == (64, "")
    assert said.err == (f"timelab: --date wants YYYY, YYYY-MM or YYYY-MM-DD, not {date!r}\nhint: timelab log --help\n")


def test_filters_choose(notebook: Notebook) -> None:
    """A46: `--same-as` finds the same inputs at other times."""
    newest = notebook.runs()[0]
    assert [row["name"] for row in notebook.runs("--status", "failed")] == ["bad"]
    assert len(notebook.runs("--kind", "command")) == 3
    assert notebook.runs("--kind", "llm") == notebook.runs("--model", "builtin:extractive@1") == []
    assert [row["run_id"] for row in notebook.runs("--commit", "HEAD")] == [newest["run_id"]]
    assert len(notebook.runs("--commit", "HEAD~1")) == 2
    notebook.timelab("run", "specs/hello.yaml")
    again = notebook.runs("--same-as", newest["run_id"][:12])
    assert [row["run_id"] for row in again] == [notebook.runs()[0]["run_id"], newest["run_id"]]
    assert len({row["run_key"] for row in again}) == 1


def test_filters_that_nothing_fits_say_so(notebook: Notebook) -> None:
    said = notebook.timelab("log", "--status", "timeout")
    assert (said.code, said.out, said.err) == (0, "", "timelab: no run is like that\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--status", "good"], "invalid value for '--status': 'good' is not one of "),
        (["-n", "0"], "invalid value for '-n': 0 is not in the range 1<=x<=1000000000"),
        (["--commit", "nope"], "no such commit: 'nope'"),
        (["--commit", ""], "no such commit: ''"),
        (["--same-as", "nope"], "no such run: nope"),
        (["--same-as", ""], "no such run: "),
        (["specs"], "specs is a folder"),
        ([""], ". is a folder"),
        (["specs/none.yaml"], "no spec was ever at specs/none.yaml"),
        (["specs/none.yaml", "--json"], "no spec was ever at specs/none.yaml"),
    ],
    ids=str,
)
def test_what_is_not_there_is_a_wrong_call(notebook: Notebook, args: list[str], message: str) -> None:
    said = notebook.timelab("log", *args)
    assert (said.code, said.out) == (64, "")
    assert said.err.startswith(f"timelab: {message}")


def test_statuses_are_those_that_are_recorded() -> None:
    assert {*STATUSES, "running"} == {status.value for status in Status}


def test_versions_of_a_spec_have_their_runs_and_what_changed(notebook: Notebook) -> None:
    said = notebook.timelab("log", "specs/hello.yaml")
    assert (said.code, said.err) == (0, "")
    before, after = (f"['sh', '-c', 'echo {word} > $TIMELAB_OUTPUT/hello.txt']" for word in ("hello", "hallo"))
    assert said.out.splitlines() == [
        "ID8  CLOCK  in German",
        f"  argv: {before} → {after}",
        "  ID8  ok  TOOK  command  on ID8",
        "",
        "ID8  CLOCK  two specs",
        "  first version",
        "  ID8  ok  TOOK  command  on ID8",
    ]


def test_versions_are_found_from_a_folder_below(notebook: Notebook) -> None:
    assert notebook.timelab("log", "hello.yaml", cwd=notebook.root / "specs").code == 0


def test_versions_as_json_tell_moves_comments_and_what_was_never_committed(notebook: Notebook) -> None:
    notebook.git("mv", "specs/bad.yaml", "specs/worse.yaml")
    notebook.git("commit", "-q", "-m", "move")
    notebook.commit({"specs/worse.yaml": "# why\n" + BAD}, "a comment")
    notebook.write("specs/worse.yaml", BAD + "tags: [draft]\n")
    notebook.timelab("run", "specs/worse.yaml")
    versions = notebook.json("versions", "log", "specs/worse.yaml")
    assert [(version["subject"], version["changes"], len(version["runs"])) for version in versions] == [
        (None, [], 1),
        ("a comment", ["only comments or layout"], 0),
        ("move", ["moved from specs/bad.yaml"], 0),
        ("two specs", ["first version"], 1),
    ]


def test_an_empty_notebook_says_what_to_do(repo: object, tmp_path: object) -> None:
    from pathlib import Path

    said = Notebook(Path(str(repo))).timelab("log")
    assert (said.code, said.out) == (0, "")
    assert said.err == "timelab: no runs here yet; commit a spec, or fetch records with `timelab sync`\n"


def test_a_spec_without_runs_says_so(notebook: Notebook) -> None:
    notebook.commit({"specs/new.yaml": HELLO})
    assert notebook.timelab("log", "specs/new.yaml").out == "ID8  CLOCK  work\n  first version\n  no run of its own\n"
