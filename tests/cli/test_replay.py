from __future__ import annotations

from tests.cli.notebook import Notebook


def test_an_identical_replay_says_so_and_is_a_run_of_its_own(notebook: Notebook) -> None:
    """A12, A16."""
    said = notebook.timelab("replay", "last")
    assert (said.code, said.err) == (0, "")
    assert said.out == "replay of ID8 hello as ID8  identical\n  output/hello.txt  identical\n"
    newest, replayed = notebook.runs()[:2]
    assert newest["replay_of"] == replayed["run_id"]


def test_several_runs_are_replayed_each_with_its_verdict(notebook: Notebook) -> None:
    first, second, third = (row["run_id"] for row in notebook.runs())
    reports = notebook.json("replay", "replay", first, second[:9], third, first)
    assert [each["run_id"] for each in reports] == [first, second, third]
    assert {each["verdict"] for each in reports} == {"identical"}


def test_a_difference_is_told_with_cause_and_first_place(notebook: Notebook) -> None:
    """A223: 65, and people read why."""
    notebook.commit({"specs/hello.yaml": (notebook.root / "specs/hello.yaml").read_text().replace("hallo", "salut")})
    said = notebook.timelab("replay", "specs/hello.yaml", "--at", "HEAD")
    assert said.code == 65
    assert [line.strip() for line in said.out.splitlines()] == [
        "replay of ID8 hello as ID8  differs",
        "output/hello.txt  differs",
        "cause: spec",
        "argv: [sh, -c, echo hallo > $TIMELAB_OUTPUT/hello.txt] → [sh, -c, echo salut > $TIMELAB_OUTPUT/hello.txt]",
        "first difference: output/hello.txt, line 1",
        "- hallo",
        "+ salut",
    ]


def test_what_cannot_be_had_is_named(notebook: Notebook) -> None:
    notebook.git("rm", "-q", "specs/bad.yaml")
    notebook.git("commit", "-q", "-m", "gone")
    said = notebook.timelab("replay", "specs/bad.yaml", "--at", "HEAD")
    assert said.code == 65
    assert said.out == "replay of ID8 bad  cannot\n  missing: there is no specs/bad.yaml at HEAD\n"


def test_a_run_that_never_got_into_its_shell_cannot_be_replayed(notebook: Notebook) -> None:
    """Nothing ran then, and nothing now: two times nothing is not `identical`."""
    files = {"env/lost/pyproject.toml": "not TOML\n", "env/lost/uv.lock": "not TOML\n"}
    notebook.commit({**files, "specs/lost.yaml": "timelab: 1\nkind: command\nprofile: lost\nargv: [sh, -c, 'true']\n"})
    assert notebook.timelab("run", "specs/lost.yaml").code == 70
    said = notebook.timelab("replay", "last")
    assert said.code == 65
    assert said.out.startswith("replay of ID8 lost as ID8  cannot\n  missing: the pinned shell is not here: ")


def test_outputs_may_differ_where_the_record_claims_none(notebook: Notebook) -> None:
    """Design 6: told as it is, and no failure; `host` is no pinned shell."""
    argv = 'argv: [sh, -c, "cat /proc/sys/kernel/random/uuid > $TIMELAB_OUTPUT/x.txt"]'
    notebook.commit({"specs/dice.yaml": f"timelab: 1\nkind: command\nprofile: host\n{argv}\n"})
    assert notebook.timelab("run", "specs/dice.yaml").code == 0
    said = notebook.timelab("replay", "last")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0].endswith("  differs")
    assert "  cause: nondeterminism" in said.out
    assert "the record claims none: " in said.out and ", so this is no failure" in said.out


def test_wrong_calls_end_with_64_and_run_nothing(notebook: Notebook) -> None:
    """A222–A224."""
    before = len(notebook.runs())
    for args in (
        ["last", "--set", "seed"],
        ["last", "--set", "seed=1"],
        ["last", "--model", "x:y"],
        [],
        ["last", "--at", "nowhere"],
    ):
        said = notebook.timelab("replay", *args)
        assert said.code == 64, args
        assert said.err.startswith("timelab: ")
    assert len(notebook.runs()) == before


ASK = """\
timelab: 1
kind: llm
model: builtin:extractive@1
prompt: "Summarise in 1 sentence: {{ text }}"
cases: data/cases.jsonl
"""


def test_a_replay_from_the_record_asks_no_model_and_says_so(notebook: Notebook) -> None:
    """A12: what is made of the answers is put to the test, not the answers."""
    notebook.commit({"specs/ask.yaml": ASK, "data/cases.jsonl": '{"text": "Rain fell. It was wet."}\n'})
    assert notebook.timelab("run", "specs/ask.yaml").code == 0
    run_id = notebook.runs()[0]["run_id"]
    said = notebook.timelab("replay", "last", "--recorded")
    assert (said.code, said.err) == (0, "")
    assert [line.strip() for line in said.out.splitlines()] == [
        "replay of ID8 ask as ID8  identical",
        "the answers came from the record: no model was asked",
        "output/output.jsonl  identical",
    ]
    (report,) = notebook.json("replay", "replay", run_id, "--recorded")
    assert report["reasons"] == ["the answers came from the record: no model was asked"]
    named = next(change for change in report["changes"] if change["what"] == "model")
    assert (named["cause"], named["after"]) == ("label", f"recorded:{run_id[:12]}")
    assert notebook.runs()[0]["model"] == f"recorded:{run_id[:12]}"

    # Another prompt was never answered.
    notebook.commit({"specs/ask.yaml": ASK.replace("1 sentence", "2 sentences")})
    said = notebook.timelab("replay", run_id, "--recorded", "--at", "HEAD")
    assert said.code == 65 and said.out.splitlines()[0].endswith("  cannot")
    assert "missing: the record's answer is not here: case 1: run ID8 recorded no answer to this prompt" in said.out

    for wrong in (["--recorded", "--model", "x:y"], ["--recorded"]):
        said = notebook.timelab("replay", run_id if len(wrong) > 1 else "specs/hello.yaml", *wrong)
        assert said.code == 64 and said.err.startswith("timelab: "), wrong
