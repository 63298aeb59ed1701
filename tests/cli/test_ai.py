"""`timelab ai`: the sources' short form of `run`; `mine` and `summ` stand in for what is to come."""

from __future__ import annotations

import pytest

from tests.cli.notebook import Notebook


@pytest.mark.parametrize("given", ["specs/hello.yaml", "spec=specs/hello.yaml"])
def test_a_spec_runs_by_path_or_by_the_words_that_just_passes(notebook: Notebook, given: str) -> None:
    """A135, A151, T1."""
    said = notebook.timelab("ai", given)
    assert said.code == 0
    assert said.out == "ROOT/YYYY/MM/DD/ai-team/artifacts/HHMMSS-hello-ID8/output/hello.txt\n"


def test_a_missing_spec_is_a_wrong_call(notebook: Notebook) -> None:
    assert notebook.timelab("ai").err == "timelab: missing argument 'SPEC'\nhint: timelab ai --help\n"
    said = notebook.timelab("ai", "spec=none.yaml")
    assert (said.code, said.err) == (64, "timelab: no such file: none.yaml\nhint: timelab run --help\n")


@pytest.mark.parametrize("args", [["mine", "repo=owner", "name=repo", "limit=5"], ["summ", "sha=abcd123"], ["mine"]])
def test_what_is_not_in_this_version_says_so(notebook: Notebook, args: list[str]) -> None:
    said = notebook.timelab(*args)
    assert (said.code, said.out) == (64, "")
    assert said.err == (
        f"timelab: {args[0]} is not in this version of timelab\nhint: git log --numstat shows the raw facts meanwhile\n"
    )
