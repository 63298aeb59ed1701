from __future__ import annotations

from tests.cli.notebook import Notebook

ALL_WELL = """\
 1 chain intact 3 entries passed
 2 schema 3 records passed
 3 run_id and run_key 3 records passed
 4 spec in commit 3 specs passed
 5 inputs 0 inputs skipped
 6 lock 3 locks passed
 7 artifacts 14 files passed
 8 note equals chain 6 lines passed
 9 folder equals chain 3 folders passed
10 nothing truncated 3 places passed
warning: step 6: run.json shell.kind: 3 runs in the unpinned shell `host`: a replay may meet other programs
 heal: pin a shell: env/default/uv.lock
"""


def test_the_steps_are_printed_with_their_counts(notebook: Notebook) -> None:
    """Design 7: to the letter."""
    said = notebook.timelab("verify")
    assert (said.code, said.err) == (0, "timelab: 3 runs in 1 chain, unsigned: all is well\n")
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert lines == [" ".join(line.split()) for line in ALL_WELL.splitlines()]
    assert notebook.timelab("verify", "--quiet").out == ""


def test_a_finding_names_step_run_place_and_cure_and_ends_with_65(notebook: Notebook) -> None:
    """A223."""
    (row,) = [row for row in notebook.runs() if row["name"] == "bad"]
    path = notebook.root / row["artifacts_path"] / "logs/stderr.txt"
    path.write_text("Trouble\n")
    said = notebook.timelab("verify", "--quiet")
    assert said.code == 65
    assert said.out == (
        "wrong: step 9: run ID8, YYYY/MM/DD/ai-team/artifacts/HHMMSS-bad-ID8/logs/stderr.txt byte 0: "
        "differs from the chain\n  heal: timelab doctor --repair restores the folder from the chain\n"
    )
    assert said.err == "timelab: 3 runs in 1 chain, unsigned: 1 finding\n"
    report = notebook.json("verify", "verify", code=65)
    assert [(each["step"], each["run_id"]) for each in report["findings"]] == [(9, row["run_id"])]
    assert [step["result"] for step in report["steps"]].count("wrong") == 1


def test_a_run_a_folder_a_spec_and_a_range_can_be_named(notebook: Notebook) -> None:
    row = notebook.runs()[0]
    names = [row["run_id"][:10], row["artifacts_path"], row["artifacts_path"] + "/output", "specs/hello.yaml", "last"]
    for name in names:
        report = notebook.json("verify", "verify", name)
        assert (report["ok"], report["runs"]) == (True, 1), name
    assert notebook.json("verify", "verify", "HEAD~1..HEAD")["runs"] == 1
    inside = notebook.timelab("verify", "hello.yaml", cwd=notebook.root / "specs")
    assert inside.code == 0
    said = notebook.timelab("verify", "nothing-like-it")
    assert said.code == 64 and said.err.startswith("timelab: no such run: nothing-like-it\n")


def test_where_nothing_was_recorded_nothing_is_proven(notebook: Notebook) -> None:
    notebook.git("update-ref", "-d", notebook.git("for-each-ref", "--format=%(refname)", "refs/timelab/runs"))
    notebook.git("update-ref", "-d", "refs/notes/timelab")
    for row in (notebook.root / "latest").resolve().parent.iterdir():
        row.rename(notebook.root / f"moved-{row.name}")
    said = notebook.timelab("verify")
    assert said.code == 65
    assert "nothing was checked: there is no record here" in said.out
