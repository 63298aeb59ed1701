"""The Executor protocol: a plan and a place to work in, results out. Executors record nothing themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from timelab.clock import Clock
from timelab.manifest import Attempt, Determinism, Failure, ModelRecord, SandboxRecord, Status, Usage
from timelab.plan import Plan
from timelab.providers.base import Provider
from timelab.providers.cascade import Router, entries_of
from timelab.providers.state import ProviderState
from timelab.shell.base import Session


@dataclass(frozen=True)
class TaskContext:
    """Is what a task may use.

    `staging` is the run folder in the making: `input/` is filled, `output/` and `logs/` are empty and writable.
    `source` is the commit's tree, read-only, for kinds that execute user code. `providers` by name. `user_env` holds
    the values of the variables that the spec asks for by name. `progress(done, total)` may be called at any rate, and
    `stream(text)` with the end of what a model is saying. `emit` writes an event. Without a `router` models are asked
    for by `providers` alone, and nothing is remembered of them.
    """

    plan: Plan
    session: Session
    staging: Path
    source: Path | None
    providers: Mapping[str, Provider]
    clock: Clock
    best_effort_sandbox: bool
    user_env: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[int, int], None] = lambda done, total: None
    stream: Callable[[str], None] = lambda text: None
    emit: Callable[..., object] = lambda kind, **data: None
    router: Router | None = None

    def routed(self) -> Router:
        """Returns the router, or one of the plain providers that forgets."""
        return self.router or Router(entries_of(self.providers), ProviderState(None, self.clock), self.clock)


@dataclass(frozen=True)
class TaskResult:
    """Is how a task ended; its files lie in the staging folder."""

    status: Status
    cmd: tuple[str, ...]
    exit_code: int | None
    usage: Usage
    sandbox: SandboxRecord
    determinism: Determinism
    model: ModelRecord | None = None
    providers: tuple[Attempt, ...] = ()
    error: Failure | None = None


class Executor(Protocol):
    """Does tasks of one kind."""

    kind: str

    def execute(self, context: TaskContext) -> TaskResult:
        """Does the task. A task that fails is a result, not an exception; `KeyboardInterrupt` passes through."""
