from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.helpers import Lab, make_lab
from tests.records import loose_path
from timelab.canonical import sha256_bytes
from timelab.clock import Randomness, SystemClock, SystemRandomness
from timelab.config import Settings
from timelab.errors import ProviderError, UsageError
from timelab.executors.base import TaskContext, TaskResult
from timelab.git.dirty import overlay_for
from timelab.manifest import (
    Determinism,
    Environment,
    Failure,
    ModelRecord,
    SandboxRecord,
    ShellRecord,
    Status,
    Usage,
)
from timelab.names import Digest, Oid, RepoPath
from timelab.replay import Changed, checked_params, replay
from timelab.run import RunRequest, Services, run_spec
from timelab.shell.base import Session
from timelab.spec.load import load_spec
from timelab.spec.model import LlmSpec
from timelab.store.index import open_index
from timelab.store.reader import StoredRun
from timelab.views import ReplayReport

SPEC = "timelab: 1\nkind: llm\nmodel: fake:echo@1\nprompt: say {{ text }}\ncases: data/cases.jsonl\n"
COMMAND = "timelab: 1\nkind: command\nargv: [tool]\ninputs: [data/cases.jsonl]\n"


@dataclass
class FakeExecutor:
    """Writes what it was asked; `noise` stands for everything that nobody controls."""

    kind: str = "llm"
    noise: str = ""
    weights: str = "a"
    sort_keys: bool = False
    level: Literal["exact", "same-text", "none"] = "same-text"
    error: Failure | None = None
    status: Status = Status.FAILED

    def execute(self, context: TaskContext) -> TaskResult:
        plan, spec = context.plan, context.plan.spec
        asked = spec.model if isinstance(spec, LlmSpec) else "tool"
        text = plan.closure.files[RepoPath("data/cases.jsonl")].decode()
        prompt = spec.prompt if isinstance(spec, LlmSpec) else ""
        code = (context.source / "tool.py").read_text() if context.source else ""
        params = json.dumps(plan.params, sort_keys=True)
        answer = {"z": None, "output": f"{asked} {prompt} {text} {params} {self.noise} {code}"}
        if self.error is None:
            data = json.dumps(answer, sort_keys=self.sort_keys) + "\n"
            (context.staging / "output/output.jsonl").write_text(data)
        model = ModelRecord(
            name=asked,
            hash=Digest("sha256:" + self.weights * 64),
            params=plan.params or {},
            requested=asked,
            degraded=False,
        )
        return TaskResult(
            status=Status.OK if self.error is None else self.status,
            cmd=(),
            exit_code=None,
            usage=Usage(wall_ms=1),
            sandbox=SandboxRecord(kind="not-needed", network="none", enforced=True, as_root=False),
            determinism=Determinism(level=self.level, seed_drawn=False, reasons=()),
            model=model if self.kind == "llm" else None,
            error=self.error,
        )


@dataclass
class FakeShell:
    """Serves every profile; the lock is the commit's file `lock`."""

    kind: str = "uv"

    def has_profile(self, request: Any) -> bool:
        return True

    def enter(self, request: Any) -> Session:
        lock = sha256_bytes(request.read("env/default/uv.lock") or b"")
        return session("uv", lock)


class FakeProvider:
    """Serves every model but one."""

    def describe(self, model: str) -> None:
        if model == "other:gone@1":
            raise ProviderError("no such weights")


def session(kind: str = "self", lock: str | None = None) -> Session:
    record = ShellRecord.model_validate(
        {
            "kind": kind,
            "profile": "default",
            "pinned": True,
            "lock_sha256": lock,
            "fingerprint": sha256_bytes((lock or "").encode()),
        }
    )
    environment = Environment(system="x86_64-linux", apps=(), tools={})
    return Session(path=(), variables={}, read_only=(), record=record, environment=environment)


@dataclass
class World:
    """Is a repository with one spec, and the services that run it."""

    lab: Lab
    services: Services
    executors: dict[str, FakeExecutor] = field(default_factory=dict)

    def commit(self, files: Mapping[str, str]) -> Oid:
        for path, data in files.items():
            (self.lab.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.lab.root / path).write_text(data)
        self.lab.git("add", "-f", "--", *files)
        self.lab.git("commit", "-q", "--allow-empty", "-m", "work")
        return self.head()

    def head(self) -> Oid:
        return Oid(self.lab.git("rev-parse", "HEAD"))

    def run(self, path: str = "specs/ask.yaml", **more: Any) -> StoredRun:
        request = RunRequest(spec_path=RepoPath(path), commit=self.head(), **more)
        return run_spec(self.lab.repo, request, self.services)

    def replay(self, stored: StoredRun, **changed: Any) -> ReplayReport:
        return replay(self.lab.repo, stored, self.services, changed=Changed(**changed))


def effective(spec: LlmSpec, randomness: Randomness) -> tuple[dict[str, Any], bool]:
    seed = spec.params.seed if spec.params.seed is not None else randomness.seed()
    return {"temperature": spec.params.temperature or 0.2, "seed": seed}, spec.params.seed is None


@pytest.fixture
def world(repo: Path) -> World:
    executors = {"llm": FakeExecutor(), "command": FakeExecutor("command")}
    services = Services(
        clock=SystemClock(),
        randomness=SystemRandomness(),
        settings=Settings(),
        executors=executors,  # type: ignore[arg-type]
        shells=(FakeShell(),),  # type: ignore[arg-type]
        own_shell=session,
        providers={"fake": FakeProvider(), "other": FakeProvider()},  # type: ignore[dict-item]
        effective_params=effective,
        load_spec=lambda data, path: load_spec(data, path, given_by_hand=True).spec,
    )
    made = World(make_lab(repo), services, executors)
    files = {
        "specs/ask.yaml": SPEC,
        "specs/do.yaml": COMMAND,
        "data/cases.jsonl": '{"text": "x"}\n',
        "tool.py": "one",
        "env/default/uv.lock": "1",
    }
    made.commit(files)
    return made


@pytest.mark.parametrize("path", ["specs/ask.yaml", "specs/do.yaml"])
def test_a_replay_of_an_unchanged_record_is_identical_and_a_run_itself(world: World, path: str) -> None:
    """A12, A15, A16, A37: the drawn seed is the recorded one; equal work has an equal run_key."""
    stored = world.run(path)
    world.commit({"data/cases.jsonl": "changed since\n", "tool.py": "two", path: "timelab: 9\n"})
    report = world.replay(stored)
    assert (report.verdict, report.ok, report.cause, report.causes) == ("identical", True, None, ())
    with open_index(world.lab.repo) as index:
        row = index.get(report.replay_id or "")
    assert row is not None and row.replay_of == stored.run_id and row.run_key == stored.manifest().run_key


@pytest.mark.parametrize(
    ("path", "files", "cause"),
    [
        ("specs/ask.yaml", {"specs/ask.yaml": SPEC.replace("say", "tell")}, "spec"),
        ("specs/ask.yaml", {"specs/ask.yaml": SPEC + "params: {temperature: 0.9}\n"}, "params"),
        ("specs/ask.yaml", {"specs/ask.yaml": SPEC.replace("fake:echo@1", "other:echo@1")}, "model"),
        ("specs/ask.yaml", {"data/cases.jsonl": '{"text": "y"}\n'}, "inputs"),
        ("specs/do.yaml", {"data/cases.jsonl": '{"text": "y"}\n'}, "inputs"),
        ("specs/do.yaml", {"tool.py": "two"}, "code"),
    ],
)
def test_at_another_commit_one_change_differs_by_its_own_cause(
    world: World, path: str, files: dict[str, str], cause: str
) -> None:
    """A12: one thing changed at a time, and that one named."""
    stored = world.run(path)
    world.commit(files)
    report = world.replay(stored, at="HEAD")
    assert (report.verdict, report.cause, report.causes) == ("differs", cause, (cause,))
    assert report.artifacts[0].first is not None


def test_a_changed_lock_is_named_even_where_nothing_came_of_it(world: World) -> None:
    stored = world.run("specs/do.yaml")
    world.commit({"env/default/uv.lock": "2"})
    report = world.replay(stored, at="HEAD")
    assert (report.verdict, report.cause, report.causes) == ("identical", None, ("shell",))
    world.executors["command"].noise = "by the new lock"
    assert world.replay(stored, at="HEAD").cause == "shell"


def test_another_model_and_other_parameters_are_asked_for(world: World) -> None:
    stored = world.run()
    report = world.replay(stored, model="other:big@2")
    assert (report.verdict, report.cause) == ("differs", "model")
    report = world.replay(stored, params={"temperature": 1.5})
    assert (report.verdict, report.cause) == ("differs", "params")
    assert [(each.what, each.before, each.after) for each in report.changes] == [("temperature", "0.2", "1.5")]


def test_weights_that_changed_under_their_name_are_the_cause(world: World) -> None:
    """A39, A182."""
    stored = world.run()
    world.executors["llm"].weights, world.executors["llm"].noise = "b", "other"
    assert world.replay(stored).cause == "model"


def test_what_no_cause_explains_is_nondeterminism(world: World) -> None:
    """A15, A183."""
    stored = world.run()
    world.executors["llm"].noise = "the moon"
    report = world.replay(stored)
    assert (report.verdict, report.ok, report.cause, report.held_to) == (
        "differs",
        False,
        "nondeterminism",
        "same-text",
    )


def test_a_run_that_ends_otherwise_differs(world: World) -> None:
    stored = world.run("specs/do.yaml")
    world.executors["command"].error = Failure(slug="exit-status", message="no")
    report = world.replay(stored)
    assert report.verdict == "differs"
    assert [(each.what, each.before, each.after) for each in report.outcome] == [("status", "ok", "failed")]
    assert [(each.path, each.verdict) for each in report.artifacts] == [("output/output.jsonl", "missing")]


def test_a_dirty_run_replays_from_the_bytes_in_its_record(world: World) -> None:
    """A40: what was never committed is in the record."""
    (world.lab.root / "data/cases.jsonl").write_text('{"text": "not committed"}\n')
    overlay = overlay_for(world.lab.repo, RepoPath("specs/do.yaml"), world.head(), world.services.load_spec)
    stored = world.run("specs/do.yaml", overlay=overlay)
    assert stored.manifest().dirty
    world.lab.git("checkout", "-q", "--", ".")
    assert world.replay(stored).verdict == "identical"


@pytest.mark.parametrize(
    ("services", "path", "missing"),
    [
        ({"shells": ()}, "specs/do.yaml", "the shell is of kind uv"),
        ({"providers": {}}, "specs/ask.yaml", "no provider fake"),
    ],
)
def test_a_missing_part_is_named_and_nothing_runs(
    world: World, services: dict[str, Any], path: str, missing: str
) -> None:
    stored = world.run(path)
    world.services = replace(world.services, **services)
    report = world.replay(stored)
    assert (report.verdict, report.ok, report.replay_id) == ("cannot", False, None)
    assert missing in (report.missing or "")


def test_a_model_that_nobody_serves_is_named(world: World) -> None:
    report = world.replay(world.run(), model="other:gone@1@sha256:" + "0" * 64)
    assert report.missing is not None and report.missing.endswith("is not here: no such weights")


def test_a_part_that_is_found_missing_while_it_runs_is_named_too(world: World) -> None:
    stored = world.run()
    world.executors["llm"].error = Failure(slug="model-mismatch", message="sha256 is another")
    report = world.replay(stored)
    assert report.verdict == "cannot" and report.replay_id is not None
    assert report.missing == "the model's weights is not here: sha256 is another"


@pytest.mark.parametrize("slug", ["shell", "sandbox", "provider", "model-mismatch", "missing-extra"])
def test_a_part_that_the_record_lacked_too_is_not_identical(world: World, slug: str) -> None:
    """A run that never got into its shell made nothing: that nothing came again proves nothing."""
    world.executors["command"].error = Failure(slug=slug, message="not here")
    report = world.replay(world.run("specs/do.yaml"))
    assert (report.verdict, report.ok) == ("cannot", False)


def test_a_replay_that_is_refused_cannot_be_had(world: World) -> None:
    world.executors["command"].error = Failure(slug="determinism", message="not here")
    world.executors["command"].status = Status.REFUSED
    report = world.replay(world.run("specs/do.yaml"))
    assert (report.verdict, report.missing) == ("cannot", "it is refused here: not here")


def test_an_interrupted_record_cannot_be_replayed(world: World) -> None:
    """What it would have made is unknown, whatever comes out now."""
    world.executors["command"].error = Failure(slug="interrupted", message="stopped")
    world.executors["command"].status = Status.INTERRUPTED
    stored = world.run("specs/do.yaml")
    world.executors["command"].error = None
    report = world.replay(stored)
    assert (report.verdict, report.replay_id) == ("cannot", None)
    assert report.missing == "the run was interrupted: what it would have made is unknown"


@pytest.mark.parametrize(
    ("level", "change", "verdict", "ok"),
    [
        ("exact", {}, "identical", True),
        ("exact", {"sort_keys": True}, "equal", False),
        ("exact", {"noise": "the moon"}, "differs", False),
        ("same-text", {"sort_keys": True}, "equal", True),
        ("same-text", {"noise": "the moon"}, "differs", False),
        ("none", {"sort_keys": True}, "equal", True),
        ("none", {"noise": "the moon"}, "differs", True),
        ("none", {"error": Failure(slug="task", message="no")}, "differs", False),
    ],
)
def test_a_replay_is_held_to_the_level_that_the_record_claims(
    world: World, level: Literal["exact", "same-text", "none"], change: dict[str, Any], verdict: str, ok: bool
) -> None:
    """A15, A183, design 6: what `none` claims is how the run ended, and no more."""
    world.executors["command"].level = level
    stored = world.run("specs/do.yaml")
    for name, value in change.items():
        setattr(world.executors["command"], name, value)
    report = world.replay(stored)
    assert (report.verdict, report.ok, report.held_to) == (verdict, ok, level)
    assert (report.cause is None) == (verdict == "identical" or (verdict == "equal" and ok))


def test_a_difference_that_has_a_cause_counts_at_every_level(world: World) -> None:
    world.executors["command"].level = "none"
    stored = world.run("specs/do.yaml")
    world.commit({"tool.py": "two"})
    report = world.replay(stored, at="HEAD")
    assert (report.verdict, report.cause, report.ok) == ("differs", "code", False)


def test_a_record_whose_output_is_gone_has_nothing_to_compare_with(world: World) -> None:
    """An empty output now is not identical with one that nobody can read."""
    stored = world.run("specs/do.yaml")
    loose_path(world.lab, world.lab.git("rev-parse", f"{stored.entry}:output/output.jsonl")).unlink()
    world.executors["command"].noise = "other bytes, or they would come back with the new record"
    report = world.replay(stored)
    assert (report.verdict, report.ok) == ("cannot", False)
    assert (report.missing or "").startswith("there is nothing to compare with: ")


def test_a_commit_that_is_not_here_is_named(world: World) -> None:
    stored = world.run()
    gone = stored.manifest_bytes.replace(world.head().encode(), b"9" * 40)
    report = world.replay(replace(stored, manifest_bytes=gone))
    assert report.missing is not None and report.missing.startswith("commit 999999999999 is not here")


def test_records_of_which_a_part_was_never_kept_cannot_be_replayed(world: World) -> None:
    """A187: a secret was taken out; an invalid spec never ran."""
    world.executors["llm"].error = Failure(slug="secret-found", message="output/x:1")
    assert "secret" in (world.replay(world.run()).missing or "")
    world.executors["llm"].error = None
    world.commit({"specs/ask.yaml": "timelab: 1\nkind: llm\n"})
    assert "invalid" in (world.replay(world.run()).missing or "")


def test_a_spec_that_is_gone_at_the_other_commit_is_named(world: World) -> None:
    stored = world.run()
    world.lab.git("rm", "-q", "specs/ask.yaml")
    world.lab.git("commit", "-q", "-m", "gone")
    assert world.replay(stored, at="HEAD").missing == "there is no specs/ask.yaml at HEAD"


def test_parameters_are_checked_by_the_rules_of_specs(world: World) -> None:
    assert checked_params({"seed": 7, "stop": ("a",)}) == {"seed": 7, "stop": ("a",)}
    with pytest.raises(UsageError, match="--set heat"):
        checked_params({"heat": 1})
    with pytest.raises(UsageError, match="--set seed"):
        checked_params({"seed": "seven"})
    with pytest.raises(UsageError, match="asks no model"):
        world.replay(world.run("specs/do.yaml"), params={"seed": 1})
