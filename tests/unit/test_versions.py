"""Every version of one spec, followed over `git mv`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import Lab, make_lab
from timelab.versions import spec_versions

V1 = "timelab: 1\nkind: llm\nmodel: builtin:extractive@1\nprompt: one\nparams: {seed: 1, stop: [a]}\n"


@pytest.fixture
def lab(repo: Path) -> Lab:
    return make_lab(repo)


def versions(lab: Lab, path: str) -> list[tuple[str, str | None, tuple[str, ...], int]]:
    return [(each.path, each.subject, each.changes, len(each.runs)) for each in spec_versions(lab.repo, path)]


def test_each_change_is_told_by_its_place_in_the_spec(lab: Lab) -> None:
    lab.commit_file("specs/ask.yaml", V1)
    lab.commit_file("specs/ask.yaml", V1.replace("seed: 1", "seed: 2").replace("prompt: one", "prompt: two\ntags: [x]"))
    lab.commit_file("specs/ask.yaml", V1.replace("seed: 1, ", ""))
    lab.commit_file("specs/ask.yaml", "# layout only\n" + V1.replace("seed: 1, ", ""))
    found = [changes for _, _, changes, _ in versions(lab, "specs/ask.yaml")]
    assert found == [
        ("only comments or layout",),
        ("params.seed: 2 → none", "prompt: 'two' → 'one'", "tags: ['x'] → none"),
        ("params.seed: 1 → 2", "prompt: 'one' → 'two'", "tags: none → ['x']"),
        ("first version",),
    ]


def test_a_move_is_followed_and_told(lab: Lab) -> None:
    lab.git("mv", "specs/echo.yaml", 'specs/größe "1".yaml')
    lab.git("commit", "-q", "-m", "move")
    assert versions(lab, 'specs/größe "1".yaml') == [
        ('specs/größe "1".yaml', "move", ("moved from specs/echo.yaml",), 0),
        ("specs/echo.yaml", "a spec", ("first version",), 0),
    ]


def test_runs_stand_beside_the_version_that_they_ran_newest_first(lab: Lab) -> None:
    lab.record(1)
    newest = lab.record(2)
    (version,) = spec_versions(lab.repo, "specs/echo.yaml")
    assert version.runs[0].run_id == newest.run_id
    assert len(version.runs) == 2


def test_a_version_that_was_never_committed_stands_first(lab: Lab) -> None:
    lab.record(1, spec_blob="3" * 40, dirty=True)
    first, second = spec_versions(lab.repo, "specs/echo.yaml")
    assert (first.commit, first.blob, len(first.runs)) == (None, "3" * 40, 1)
    assert (second.commit, second.runs) == (lab.git_sha, ())


def test_a_version_that_cannot_be_read_is_told_and_long_values_are_cut(lab: Lab) -> None:
    lab.commit_file("specs/ask.yaml", V1)
    lab.commit_file("specs/ask.yaml", "a: [\n")
    lab.commit_file("specs/ask.yaml", V1.replace("one", "x" * 500))
    lab.commit_file("specs/ask.yaml", V1.replace("one", "x\n\n  y"))
    changes = [each.changes for each in spec_versions(lab.repo, "specs/ask.yaml")]
    assert changes[1] == changes[2] == ("changed (one of the two cannot be read as a spec)",)
    assert all(len(line) < 150 for line in changes[0])


def test_a_path_that_never_was_has_no_versions(lab: Lab) -> None:
    assert spec_versions(lab.repo, "specs/none.yaml") == []


def test_a_deleted_spec_keeps_its_versions(lab: Lab) -> None:
    """A26: nothing that ran is forgotten."""
    lab.record(1)
    lab.git("rm", "-q", "specs/echo.yaml")
    lab.git("commit", "-q", "-m", "away")
    assert [(path, runs) for path, _, _, runs in versions(lab, "specs/echo.yaml")] == [("specs/echo.yaml", 1)]
