from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from timelab.clock import SystemClock
from timelab.errors import TaskError
from timelab.executors.base import TaskContext, TaskResult
from timelab.executors.command import CommandExecutor, find_faults, make_argv, resolve_limits
from timelab.manifest import Environment, SandboxRecord, ShellRecord, Status, Usage
from timelab.names import Oid, RepoPath
from timelab.plan import CommitState, make_plan
from timelab.shell.base import Session
from timelab.shell.task import Outcome, Task
from timelab.spec.model import CommandSpec

START = datetime(2026, 11, 20, 10, 23, tzinfo=UTC)
COMMITTED = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def make_spec(**fields: Any) -> CommandSpec:
    return CommandSpec.model_validate_json(json.dumps({"timelab": 1, "kind": "command", **fields}))


def make_context(
    tmp_path: Path, files: dict[str, str] | None = None, *, pinned: bool = True, **fields: Any
) -> TaskContext:
    """Returns what the conductor hands over: a plan, a filled staging folder, the commit's files."""
    spec = make_spec(**fields)
    known = files or {}
    commit = CommitState(
        git_sha=Oid("1" * 40),
        git_tree=None,
        describe=None,
        dirty=False,
        committed_at=COMMITTED,
        paths=tuple(sorted(known)),
        read=lambda path: known[path].encode() if path in known else None,
    )
    plan = make_plan(
        spec,
        b"{}",
        RepoPath("specs/task.json"),
        Oid("2" * 40),
        commit,
        profile="default",
        params=None,
        seed_drawn=False,
        start=START,
    )
    for name in ("staging/input", "staging/output", "staging/logs", "source"):
        (tmp_path / name).mkdir(parents=True)
    for name, text in known.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    record = ShellRecord(
        kind="uv" if pinned else "host", profile="default", pinned=pinned, lock_sha256=None, fingerprint="0" * 64
    )
    session = Session((), {}, (), record, Environment(system="x", apps=(), tools={}))
    return TaskContext(
        plan=plan,
        session=session,
        staging=tmp_path / "staging",
        source=tmp_path / "source",
        providers={},
        clock=SystemClock(),
        best_effort_sandbox=False,
    )


def execute(tmp_path: Path, files: dict[str, str] | None = None, **fields: Any) -> TaskResult:
    return CommandExecutor().execute(make_context(tmp_path, files, **fields))


def outputs(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "staging/output"
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_command_runs_on_the_files_of_the_commit(tmp_path: Path) -> None:
    """A56, A183: `cmd` is the argv as run inside; offline and pinned it claims to be exact."""
    argv = ["sh", "-c", 'cat data.txt; echo note >&2; sort data.txt > "$TIMELAB_OUTPUT/sorted.txt"']
    result = execute(tmp_path, {"data.txt": "b\na\n"}, argv=argv)
    assert result.status is Status.OK
    assert result.error is None
    assert result.exit_code == 0
    assert result.cmd == tuple(argv)
    assert outputs(tmp_path) == {"sorted.txt": "a\nb\n"}
    assert (tmp_path / "staging/logs/stdout.txt").read_text() == "b\na\n"
    assert (tmp_path / "staging/logs/stderr.txt").read_text() == "note\n"
    assert (result.determinism.level, result.determinism.reasons) == ("exact", ())
    assert result.sandbox.enforced
    assert result.sandbox.network == "none"


@pytest.mark.parametrize(
    ("path", "text", "cmd"),
    [
        ("bin/tool", '#!/bin/sh\necho "$0 $1"\n', ("./bin/tool", "a b")),
        ("tool.sh", 'echo "$0 $1"\n', ("sh", "./tool.sh", "a b")),
    ],
)
def test_a_script_runs_by_its_first_line_or_its_suffix(
    tmp_path: Path, path: str, text: str, cmd: tuple[str, ...]
) -> None:
    result = execute(tmp_path, {path: text}, script=path, args=["a b"])
    assert result.cmd == cmd
    assert (tmp_path / "staging/logs/stdout.txt").read_text() == f"./{path} a b\n"


def test_a_script_that_nothing_can_run_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    assert make_argv(make_spec(script="x.py"), _with(tmp_path, "x.py")) == ("python", "./x.py")
    for path, message in (("data", "nothing says what runs"), ("gone", "no such script")):
        with pytest.raises(TaskError, match=message):
            make_argv(make_spec(script=path), tmp_path)


def _with(folder: Path, name: str) -> Path:
    (folder / name).write_text("")
    return folder


@pytest.mark.parametrize(
    ("command", "slug", "code"),
    [
        ("exit 3", "exit-status", 3),
        ("kill -9 $$", "signal", None),
        ("sleep 60", "timeout", None),
        ("sleep 600 & exit 0", "left-over", 0),
        ('ln -s /etc/passwd "$TIMELAB_OUTPUT/link"', "output-kind", 0),
        ('echo > "$TIMELAB_OUTPUT/$(printf "a\\tb")"', "output-name", 0),
        ('head -c 3000000 /dev/zero > "$TIMELAB_OUTPUT/big"', "output-limit", None),
    ],
)
def test_each_bad_end_has_its_slug(tmp_path: Path, command: str, slug: str, code: int | None) -> None:
    """A191, G3: stopped and recorded."""
    result = execute(tmp_path, argv=["sh", "-c", command], timeout_s=2.0, limits={"output_bytes": 1_000_000})
    assert result.error is not None
    assert result.error.slug == slug
    assert result.status is (Status.TIMEOUT if slug == "timeout" else Status.FAILED)
    assert code is None or result.exit_code == code
    assert "\n" not in result.error.message


def test_a_command_that_is_not_there_is_told_from_one_that_fails(tmp_path: Path) -> None:
    result = execute(tmp_path, argv=["no-such-program"])
    assert result.error is not None
    assert (result.error.slug, result.exit_code) == ("not-started", None)
    assert "no-such-program" in result.error.message


def test_only_the_named_outputs_are_kept(tmp_path: Path) -> None:
    command = 'cd "$TIMELAB_OUTPUT"; mkdir a; touch a/x.csv top.csv other.txt'
    result = execute(tmp_path, argv=["sh", "-c", command], outputs=["**/*.csv"])
    assert result.status is Status.OK
    assert sorted(outputs(tmp_path)) == ["a/x.csv", "top.csv"]


def test_a_pattern_that_names_nothing_fails_the_run(tmp_path: Path) -> None:
    command = 'touch "$TIMELAB_OUTPUT/a.csv"'
    result = execute(tmp_path, argv=["sh", "-c", command], outputs=["a.csv", "b.csv", "c/*"])
    assert result.error is not None
    assert result.error.slug == "output-missing"
    assert result.error.message == "no output fits 'b.csv'; no output fits 'c/*'"
    assert sorted(outputs(tmp_path)) == ["a.csv"]


def test_the_environment_is_ours_but_for_what_the_spec_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A8: date, zone, locale and hash seed are fixed; the user's variables come by name only and win over nothing."""
    monkeypatch.setenv("LEAK", "secret")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    context = make_context(tmp_path, argv=["env"], env=["TOKEN", "PATH"])
    result = CommandExecutor().execute(replace(context, user_env={"TOKEN": "t", "PATH": "/evil"}))
    seen = dict(line.split("=", 1) for line in (tmp_path / "staging/logs/stdout.txt").read_text().splitlines())
    assert seen["TOKEN"] == "t"
    assert seen["SOURCE_DATE_EPOCH"] == str(int(COMMITTED.timestamp()))
    assert (seen["TZ"], seen["LANG"], seen["PYTHONHASHSEED"]) == ("UTC", "C.UTF-8", "0")
    assert "/evil" not in seen["PATH"]
    assert "LEAK" not in seen
    assert result.determinism.level == "none"
    assert "TOKEN" in result.determinism.reasons[0]


@pytest.mark.parametrize("fields", [{"allow_net": True}, {"pinned": False}])
def test_what_is_open_claims_nothing(tmp_path: Path, fields: dict[str, Any]) -> None:
    """A15: with the reason."""
    result = execute(tmp_path, argv=["true"], **fields)
    assert result.determinism.level == "none"
    assert len(result.determinism.reasons) == 1


def test_two_runs_give_the_same_under_another_umask_and_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A8: the bytes and modes of outputs and logs."""
    command = (
        "date -d @0; umask; id -u; pwd; locale 2>/dev/null; env | sort; "
        'date -d @0 > "$TIMELAB_OUTPUT/d"; chmod +x "$TIMELAB_OUTPUT/d"'
    )
    found = []
    for name, mask, zone in (("a", 0o022, "UTC"), ("b", 0o077, "America/Lima")):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", "POSIX" if name == "b" else "C.UTF-8")
        before = os.umask(mask)
        try:
            result = execute(tmp_path / name, argv=["sh", "-c", command])
        finally:
            os.umask(before)
        assert result.status is Status.OK
        staging = tmp_path / name / "staging"
        modes = {path.name: path.stat().st_mode & 0o777 for path in (staging / "output").iterdir()}
        text = (staging / "logs/stdout.txt").read_text()
        found.append((text if result.sandbox.kind != "landlock" else "", outputs(tmp_path / name), modes))
    assert found[0] == found[1]


def test_absent_limits_take_their_defaults() -> None:
    limits = resolve_limits(make_spec(argv=["true"], limits={"cpu_s": 7}))
    assert limits.cpu_s == 7
    assert limits.processes == resolve_limits(make_spec(argv=["true"])).processes


def test_the_gravest_fault_comes_first() -> None:
    task = Task(("x",), {}, None, *[Path("/x")] * 4)
    record = SandboxRecord(kind="namespaces", network="none", enforced=True, as_root=False)
    lost = Outcome(None, None, False, Usage(wall_ms=1), None, 0, (), False, record, lost=True)
    assert [slug for slug, _ in find_faults(lost, task)] == ["sandbox-lost"]
    both = replace(lost, lost=False, exit_code=1, left_over=2)
    assert [slug for slug, _ in find_faults(both, task)] == ["exit-status", "left-over"]
    full = replace(both, overflow="tmp", exit_code=0, left_over=0)
    assert list(find_faults(full, task)) == []
