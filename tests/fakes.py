"""Fakes at our protocols, and nowhere else (style K3): services whose executor does what a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from timelab.clock import FixedClock, FixedRandomness
from timelab.config import load_settings
from timelab.errors import ShellError
from timelab.executors.base import TaskContext, TaskResult
from timelab.manifest import Determinism, Failure, SandboxRecord, Status, Usage
from timelab.run import Services
from timelab.shell.base import Session, ShellRequest
from timelab.shell.own import own_session
from timelab.spec.load import load_spec
from timelab.spec.model import CommandSpec, LlmSpec

START = datetime(2026, 11, 20, 10, 23, 0, 123456, tzinfo=UTC)


def ended(status: Status = Status.OK, error: Failure | None = None) -> TaskResult:
    """Returns how a task ended that did nothing."""
    return TaskResult(
        status=status,
        cmd=("true",),
        exit_code=0 if status is Status.OK else 1,
        usage=Usage(wall_ms=1),
        sandbox=SandboxRecord(kind="not-needed", network="none", enforced=True, as_root=False),
        determinism=Determinism(level="same-text", seed_drawn=False, reasons=()),
        error=error,
    )


@dataclass
class FakeExecutor:
    """Does what it is told, and remembers what it was given."""

    does: Callable[[TaskContext], TaskResult] = lambda context: ended()
    kind: str = "command"
    asked: list[TaskContext] = field(default_factory=list)

    def execute(self, context: TaskContext) -> TaskResult:
        """Remembers the context and does the task."""
        self.asked.append(context)
        return self.does(context)


@dataclass
class FakeShell:
    """Serves the profiles that it is given with timelab's own environment; `broken` cannot be entered."""

    profiles: tuple[str, ...] = ("default", "host")
    kind: str = "fake"
    broken: bool = False
    entered: list[ShellRequest] = field(default_factory=list)

    def has_profile(self, request: ShellRequest) -> bool:
        """Says whether the profile is one of its own."""
        return request.profile in self.profiles

    def enter(self, request: ShellRequest) -> Session:
        """Returns a session, or fails as told."""
        self.entered.append(request)
        if self.broken:
            raise ShellError("the lock does not match")
        return own_session()


def parse(data: bytes, path: str) -> CommandSpec | LlmSpec:
    """Reads a spec as the command line does."""
    return load_spec(data, path, given_by_hand=True).spec


_hours = count()


def make_services(
    executor: FakeExecutor | None = None,
    *shells: FakeShell,
    environ: dict[str, str] | None = None,
    start: datetime | None = None,
) -> Services:
    """Returns services that need no sandbox, no network and no time; each begins later than those made before."""
    return Services(
        clock=FixedClock(start or START + timedelta(hours=next(_hours)), step=timedelta(milliseconds=1)),
        randomness=FixedRandomness(),
        settings=load_settings(repo_toml=None, pyproject=None, git_config={}, environ={}),
        executors={"command": executor or FakeExecutor()},
        shells=shells or (FakeShell(),),
        own_shell=own_session,
        providers={},
        effective_params=lambda spec, randomness: ({}, False),
        load_spec=parse,
        user_env=environ or {},
    )
