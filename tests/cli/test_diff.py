from __future__ import annotations

import json

import pytest

from tests.cli.notebook import Notebook
from timelab.cli import columns, render

ASK = """\
timelab: 1
kind: llm
model: builtin:extractive@1
params: {seed: 1}
prompt: |
  Summarise in 1 sentence.

  {{ text }}
cases: data/cases.jsonl
"""
CASES = [
    "Git keeps every version of every file. A commit names a whole tree by its digest. Nobody needs a server.",
    "Rain fell all night. The river rose by a metre. In the morning the bridge was closed.",
    "One.",
]


def test_an_output_that_is_gone_from_a_record_is_wrong_data(notebook: Notebook) -> None:
    """65, and the command that says what else is; never `identical`."""
    row = next(row for row in notebook.runs() if row["name"] == "hello")
    notebook.timelab("replay", row["run_id"])
    blob = notebook.git("rev-parse", f"{row['entry']}:output/hello.txt")
    (notebook.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    said = notebook.timelab("diff", row["run_id"], "last")
    assert (said.code, said.out) == (65, "")
    assert said.err == "timelab: output/hello.txt of the record is missing or damaged\nhint: timelab verify\n"


def test_a_spec_shows_its_last_two_runs_by_cause(notebook: Notebook) -> None:
    """T1: what changed stands first, then the spec, then what came of it."""
    said = notebook.timelab("diff", "specs/hello.yaml")
    assert (said.code, said.err) == (0, "")
    lines = [line.rstrip("─") for line in said.out.splitlines()]
    assert lines[:2] == ["A  ID8  CLOCK  ok  ID8  specs/hello.yaml", "B  ID8  CLOCK  ok  ID8  specs/hello.yaml"]
    assert lines[3] == "what changed"
    assert lines[4].startswith("  spec  argv: [sh, -c, echo hello")
    assert "── specs/hello.yaml " in lines
    assert '-argv: [sh, -c, "echo hello > $TIMELAB_OUTPUT/hello.txt"]' in lines
    assert '+argv: [sh, -c, "echo hallo > $TIMELAB_OUTPUT/hello.txt"]' in lines
    assert lines[-6:] == ["  output/hello.txt  differs", "", "── output/hello.txt ", "@@ -1 +1 @@", "-hello", "+hallo"]


def test_without_a_name_it_is_the_last_run_against_the_one_before_it(notebook: Notebook) -> None:
    assert notebook.timelab("diff").out == notebook.timelab("diff", "specs/hello.yaml").out
    last = notebook.runs()[0]["run_id"]
    assert notebook.timelab("diff", last[:10]).out == notebook.timelab("diff").out


def test_two_runs_can_be_named_and_the_facts_fit_their_schema(notebook: Notebook) -> None:
    hallo, bad, hello = (row["run_id"] for row in notebook.runs())
    found = notebook.json("diff", "diff", hello, hallo)
    assert (found["before"]["run_id"], found["after"]["run_id"]) == (hello, hallo)
    assert found["causes"] == ["spec"]
    assert [(item["path"], item["verdict"]) for item in found["outputs"]] == [("output/hello.txt", "differs")]
    found = notebook.json("diff", "diff", bad, hallo)
    assert found["outputs"] == [{"path": "output/hello.txt", "verdict": "new", "first": None}]


def test_a_run_and_its_replay_are_the_same_work_twice(notebook: Notebook) -> None:
    last = notebook.runs()[0]["run_id"]
    assert notebook.timelab("replay", last).code == 0
    said = notebook.timelab("diff", last, notebook.runs()[0]["run_id"])
    assert "no cause differs: the same work, done twice" in said.out
    assert "replay of ID8" in said.out
    # Replays are passed over unless named.
    assert notebook.json("diff", "diff", "specs/hello.yaml")["after"]["run_id"] == last


def test_answers_stand_side_by_side_case_by_case(notebook: Notebook) -> None:
    """T1: two versions of a prompt."""
    lines = "".join(json.dumps({"text": text}) + "\n" for text in CASES)
    notebook.commit({"data/cases.jsonl": lines, "specs/ask.yaml": ASK})
    assert notebook.timelab("run", "specs/ask.yaml").code == 0
    notebook.commit({"specs/ask.yaml": ASK.replace("1 sentence", "2 sentences")})
    assert notebook.timelab("run", "specs/ask.yaml").code == 0
    found = notebook.json("diff", "diff", "specs/ask.yaml")
    assert [(case["case"], case["verdict"]) for case in found["cases"]] == [
        ("1", "changed"),
        ("2", "changed"),
        ("3", "same"),
    ]
    said = notebook.timelab("diff", "specs/ask.yaml").raw
    assert "answers  1 same, 2 changed" in said
    assert "Rain fell all night.                   │ Rain fell all night. The river rose by\n" in said
    assert "case 3" not in said
    assert "case 3, same" in notebook.timelab("diff", "--all", "specs/ask.yaml").raw
    assert all(columns.text_width(line) <= 80 for line in said.splitlines())


def test_with_one_run_there_is_nothing_to_compare(notebook: Notebook) -> None:
    said = notebook.timelab("diff", "specs/bad.yaml")
    assert (said.code, said.err) == (
        64,
        "timelab: specs/bad.yaml has only one run: there is nothing to compare\nhint: timelab run specs/bad.yaml\n",
    )
    assert notebook.timelab("diff", "a", "b", "c").code == 64


@pytest.mark.parametrize("width", [40, 61, 80])
def test_columns_never_leave_their_width(width: int) -> None:
    texts = ("word " * 30, "漢字かな交じり文" * 12 + " e\u0301" * 9, "x" * 200, "", "a\n\nb\n", "\x1b[31mred\x07")
    for before in texts:
        for after in texts:
            lines = columns.side_by_side(before, after, width)
            assert all(columns.text_width(line) <= width for line in lines)
            assert not any("\x1b" in line or "\x07" in line for line in lines)


def test_changed_words_are_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """O1: colour is never the only carrier of meaning."""
    plain = columns.side_by_side("the red fox", "the blue fox", 60)
    monkeypatch.setattr(render, "is_colourful", lambda: True)
    coloured = columns.side_by_side("the red fox", "the blue fox", 60)
    assert "\x1b[31mred\x1b[0m" in coloured[0] and "\x1b[32mblue\x1b[0m" in coloured[0]
    assert [columns.text_width(line) for line in coloured] == [columns.text_width(line) for line in plain]


def test_a_side_that_is_not_there_says_so() -> None:
    assert columns.side_by_side(None, "new", 20) == ["(none)   │ new"]


def test_what_changed_in_the_files_of_a_spec_is_shown_and_why_a_run_failed(notebook: Notebook) -> None:
    """A script and its data are what people change most; their digests alone would say little."""
    spec = "timelab: 1\nkind: command\nscript: tools/count.sh\ninputs: [data/odd name.txt]\nprofile: host\n"
    script = 'cp "data/odd name.txt" "$TIMELAB_OUTPUT/n.txt"\n'
    files = {"specs/count.yaml": spec, "tools/count.sh": script, "data/odd name.txt": "one\n"}
    notebook.commit(files)
    assert notebook.timelab("run", "specs/count.yaml").code == 0
    notebook.commit({"tools/count.sh": script + "exit 3\n", "data/odd name.txt": "two\n"})
    assert notebook.timelab("run", "specs/count.yaml").code == 70
    lines = [line.rstrip("─") for line in notebook.timelab("diff", "specs/count.yaml").out.splitlines()]
    assert "B  exit-status  the command ended with 3" in lines
    assert "+exit 3" in lines[lines.index("── tools/count.sh ") :]
    data = lines.index("── data/odd name.txt ")
    assert lines[data : data + 4] == ["── data/odd name.txt ", "@@ -1 +1 @@", "-one", "+two"]
