"""`model: recorded:RUN`: the answers of a run of this repository, given again with the real command."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.cli.notebook import TIMELAB, Notebook

ASK = """\
timelab: 1
kind: llm
model: builtin:extractive@1
prompt: "Summarise in 1 sentence: {{ text }}"
cases: data/cases.jsonl
"""
CASES = '{"text": "Rain fell. The river rose by a metre."}\n{"text": "Snow fell. It stayed all winter."}\n'


@pytest.fixture
def asked(notebook: Notebook) -> dict[str, Any]:
    """Returns the record of a run of the built-in model on two cases; its seed was drawn."""
    notebook.commit({"specs/ask.yaml": ASK, "data/cases.jsonl": CASES})
    assert notebook.timelab("run", "specs/ask.yaml").code == 0
    return record(notebook)


def record(notebook: Notebook) -> dict[str, Any]:
    row = notebook.runs()[0]
    found = json.loads((notebook.root / row["artifacts_path"] / "run.json").read_bytes())
    assert isinstance(found, dict)
    return found


def output(notebook: Notebook) -> bytes:
    folder = notebook.root / str(notebook.runs()[0]["artifacts_path"])
    return (folder / "output/output.jsonl").read_bytes()


def run_again(notebook: Notebook, model: str, spec: str = ASK) -> tuple[int, str]:
    """Runs the spec with another model, by the installed command; returns its exit code and what it told."""
    notebook.write("specs/again.yaml", spec.replace("builtin:extractive@1", model, 1))
    call = [TIMELAB, "run", "specs/again.yaml"]
    done = subprocess.run(call, cwd=notebook.root, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_a_spec_gets_the_answers_of_an_earlier_run_and_the_record_says_so(
    notebook: Notebook, asked: dict[str, Any]
) -> None:
    """A135: same answers, same parameters (the drawn seed too), and the model is not passed off as another."""
    before, run_id = output(notebook), asked["run_id"]
    weights = asked["model"]["hash"]
    for name in (run_id[:8], run_id, f"{run_id[:8]}@{weights}"):
        code, said = run_again(notebook, f"recorded:{name}")
        assert code == 0, said
        again = record(notebook)["model"]
        assert output(notebook) == before
        assert again["name"] == f"recorded:{name.partition('@')[0]}"
        assert (again["hash"], again["params"]) == (weights, asked["model"]["params"])
        told = {"engine": "recorded", "provider": "recorded", "run": run_id, "model": "builtin:extractive@1"}
        assert again["details"] == told
    # What was answered from a record is a record to answer from.
    assert run_again(notebook, f"recorded:{notebook.runs()[0]['run_id'][:8]}")[0] == 0
    assert output(notebook) == before
    assert notebook.timelab("verify").code == 0


def test_a_request_that_was_not_recorded_gets_no_answer(notebook: Notebook, asked: dict[str, Any]) -> None:
    run_id = asked["run_id"]
    notebook.write("data/cases.jsonl", CASES + '{"text": "Hail fell."}\n')
    for spec, told in (
        (ASK, f"case 3: run {run_id[:8]} recorded no answer to this prompt and schema"),
        (ASK + "params: {temperature: 1}\n", f"case 1: run {run_id[:8]} recorded no answer with another temperature"),
    ):
        code, said = run_again(notebook, f"recorded:{run_id[:8]}", spec)
        assert code == 70
        assert record(notebook)["error"] == {"slug": "provider", "message": told}
        assert said.splitlines()[-1] == f"timelab: provider: {told}"
    # The spec may name who answers what the record cannot.
    code, said = run_again(notebook, f"recorded:{run_id[:8]}", ASK + "fallback: [builtin:extractive@1]\n")
    assert code == 0, said
    assert record(notebook)["model"]["degraded"] is True
    lines = [json.loads(line) for line in output(notebook).splitlines()]
    assert [line["model"] for line in lines] == ["builtin:extractive@1"] * 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("0000000000", "there is no run 0000000000 here; timelab sync fetches those of others"),
        ("last", "there is no run last here; timelab sync fetches those of others"),
        ("ab", "there is no run ab here; timelab sync fetches those of others"),
        ("hello", "run {id} is of kind command: it recorded no answers"),
    ],
)
def test_a_run_that_has_no_answers_is_told_in_one_line(notebook: Notebook, name: str, told: str) -> None:
    notebook.write("data/cases.jsonl", CASES)
    hello = next(row["run_id"] for row in notebook.runs() if row["name"] == "hello")
    code, said = run_again(notebook, f"recorded:{hello[:8] if name == 'hello' else name}")
    assert code == 70
    assert said.splitlines()[-1] == f"timelab: provider: {told.format(id=hello[:8])}"


def test_a_run_that_ended_before_its_first_answer_has_none(notebook: Notebook) -> None:
    notebook.write("data/cases.jsonl", CASES)
    assert run_again(notebook, "recorded:0000000000")[0] == 70
    failed = notebook.runs()[0]["run_id"]
    code, said = run_again(notebook, f"recorded:{failed[:8]}")
    assert code == 70 and f"run {failed[:8]} ended as failed: it recorded no answers" in said


def test_other_weights_than_those_pinned_are_told(notebook: Notebook, asked: dict[str, Any]) -> None:
    code, said = run_again(notebook, f"recorded:{asked['run_id'][:8]}@sha256:{'0' * 64}")
    assert code == 65 and "the spec pins sha256:0000" in said


def test_answers_that_are_gone_from_the_record_are_told(notebook: Notebook, asked: dict[str, Any]) -> None:
    run_id = asked["run_id"]
    (chain,) = notebook.git("for-each-ref", "--format=%(refname)", "refs/timelab/runs").splitlines()
    blob = notebook.git("rev-parse", f"{chain}:output/output.jsonl")
    (notebook.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    code, said = run_again(notebook, f"recorded:{run_id[:8]}")
    assert code == 70
    told = f"output/output.jsonl of run {run_id[:8]} is not what its record says: timelab verify"
    assert said.splitlines()[-1] == f"timelab: provider: {told}"
