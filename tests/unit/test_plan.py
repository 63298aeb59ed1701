"""A plan is pure: the same spec at the same commit gives the same plan, and names everything it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from timelab.canonical import make_run_id, sha256_bytes, sha256_named
from timelab.errors import SpecError
from timelab.names import Oid, RepoPath
from timelab.plan import (
    CommitState,
    Plan,
    default_name,
    make_closure,
    make_invalid_plan,
    make_plan,
    matches_any,
    named_files,
)
from timelab.spec.load import load_spec
from timelab.spec.model import CommandSpec, LlmSpec

START = datetime(2026, 11, 20, 23, 59, 59, 7, tzinfo=UTC)
SPEC = b"timelab: 1\nkind: command\nscript: run.sh\nargs: [data/a.csv]\ninputs: ['data/*.csv']\n"
FILES = {
    "run.sh": b"#!/bin/sh\n",
    "data/a.csv": b"1\n",
    "data/b.csv": b"2\n",
    "data/deep/c.csv": b"3\n",
    "specs/a.yaml": SPEC,
}


def commit(files: Mapping[str, bytes] = FILES, **changes: Any) -> CommitState:
    fields = {
        "git_sha": Oid("1" * 40),
        "git_tree": Oid("2" * 40),
        "describe": None,
        "dirty": False,
        "committed_at": START,
        "paths": tuple(sorted(files)),
        "read": files.get,
        **changes,
    }
    return CommitState(**fields)


def spec_of(data: bytes) -> CommandSpec | LlmSpec:
    return load_spec(data, "specs/a.yaml").spec


def plan(data: bytes = SPEC, state: CommitState | None = None, **changes: Any) -> Plan:
    fields: dict[str, Any] = {"profile": "default", "params": None, "seed_drawn": False, "start": START, **changes}
    return make_plan(spec_of(data), data, RepoPath("specs/a.yaml"), Oid("3" * 40), state or commit(), **fields)


def test_planning_twice_gives_equal_plans() -> None:
    """K7."""
    state = commit()
    assert plan(state=state) == plan(state=state)


def test_a_plan_names_everything_it_stands_on() -> None:
    """A41, A64: run id, inputs and their hash."""
    found = plan()
    assert [(item.path, item.size_bytes) for item in found.inputs] == [
        ("data/a.csv", 2),
        ("data/b.csv", 2),
        ("run.sh", 10),
    ]
    assert found.run_id == make_run_id(sha256_bytes(SPEC), "1" * 40, None, "2026-11-20T23:59:59.000007Z")
    assert found.closure.paths == ("specs/a.yaml", "data/a.csv", "data/b.csv", "run.sh")
    assert found.closure.sha256 == sha256_named(
        (path, sha256_bytes(FILES[path])) for path in ("specs/a.yaml", "data/a.csv", "data/b.csv", "run.sh")
    )
    assert (found.spec_file, found.executes_user_code, found.allow_net) == ("input/spec.yaml", True, False)
    assert found.folder == f"2026/11/20/ai-team/artifacts/235959-a-{found.run_id[:8]}"


def test_the_flake_lock_is_in_the_run_id() -> None:
    lock = b"{}"
    found = plan(state=commit(flake_lock=lock))
    assert found.flake_lock_sha256 == sha256_bytes(lock)
    assert found.run_id == make_run_id(sha256_bytes(SPEC), "1" * 40, sha256_bytes(lock), found.timestamp_start)
    assert plan(state=commit(git_sha=None)).run_id == make_run_id(sha256_bytes(SPEC), None, None, found.timestamp_start)


def test_the_task_is_the_same_whatever_it_is_called() -> None:
    """A46: name, tags and description do not change what is asked; argv and parameters do."""
    renamed = plan(SPEC + b"name: other\ntags: [x]\ndescription: why\n")
    assert renamed.task.sha256 == plan().task.sha256
    assert renamed.name == "other"
    assert plan(SPEC + b"timeout_s: 5\n").task.sha256 != plan().task.sha256
    assert plan(params={"seed": 1}).task.sha256 != plan(params={"seed": 2}).task.sha256


def test_a_change_in_a_named_file_changes_the_closure_only_there() -> None:
    state = commit({**FILES, "data/deep/c.csv": b"4\n"})
    assert plan(state=state).closure.sha256 == plan().closure.sha256
    state = commit({**FILES, "data/b.csv": b"4\n"})
    assert plan(state=state).closure.sha256 != plan().closure.sha256


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("argv: [sh, run.sh]", ["run.sh"]),
        ("argv: [sh, ./run.sh]", []),
        ("argv: [a]\ninputs: [data]", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        ("argv: [a]\ninputs: [data/]", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        ("argv: [a]\ninputs: ['**/*.csv']", ["data/a.csv", "data/b.csv", "data/deep/c.csv"]),
        ("argv: [a]\ninputs: [data/b.csv, 'data/*']", ["data/a.csv", "data/b.csv"]),
    ],
)
def test_a_command_names_its_files(line: str, named: list[str]) -> None:
    spec = spec_of(f"timelab: 1\nkind: command\n{line}\n".encode())
    assert list(named_files(spec, tuple(sorted(FILES)))) == named


def test_an_llm_spec_names_prompt_cases_and_schema() -> None:
    spec = spec_of(b"timelab: 1\nkind: llm\nmodel: a:b\nprompt_file: p.txt\ncases: c.csv\nresponse_schema: s.json\n")
    assert named_files(spec, ("c.csv", "p.txt", "s.json")) == ("c.csv", "p.txt", "s.json")
    with pytest.raises(SpecError, match=r"^/cases: no such file in the commit: 'c\.csv'$"):
        named_files(spec, ("p.txt", "s.json"))


def test_a_missing_or_unreadable_file_is_told_with_the_spec() -> None:
    with pytest.raises(SpecError, match=r"^specs/a\.yaml: /script: no such file"):
        plan(state=commit({"data/a.csv": b""}))
    with pytest.raises(SpecError, match="cannot read"):
        plan(state=commit(read=lambda path: None))
    with pytest.raises(SpecError, match=r"/inputs/0: no file of the commit fits 'none\*'"):
        plan(b"timelab: 1\nkind: command\nargv: [a]\ninputs: ['none*']\n")


def test_the_spec_is_not_its_own_input() -> None:
    data = b"timelab: 1\nkind: command\nargv: [cat, specs/a.yaml]\n"
    state = commit({"specs/a.yaml": data})
    assert make_closure(spec_of(data), RepoPath("specs/a.yaml"), data, state).named == ()


def test_a_spec_that_cannot_be_read_has_a_plan_too() -> None:
    """G3: an invalid spec is recorded as such."""
    found = make_invalid_plan(b"timelab: [", RepoPath("specs/b c.yaml"), Oid("3" * 40), commit(), start=START)
    assert (found.spec.kind, found.name, found.inputs, found.executes_user_code) == ("unknown", "b-c", (), False)
    assert found.record.sha256 == sha256_bytes(b"timelab: [")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("specs/haiku.yaml", "haiku"),
        ("a/x.spec.json", "x"),
        ("specs/späte Notiz!.yaml", "sp-te-Notiz"),
        ("specs/....yaml", "spec"),
        ("specs/" + "a" * 99 + ".toml", "a" * 64),
    ],
)
def test_a_run_is_named_after_its_file(path: str, name: str) -> None:
    assert default_name(path) == name


def test_outputs_are_matched_by_name_or_glob() -> None:
    assert matches_any("a/b.json", ("*.json",))
    assert matches_any("a/b.json", ("**/b.*",))
    assert not matches_any("a/b.json", ("*.txt",))
