"""The conductor: one function, one order, whatever happens (layout 1).

spec → plan → shell → task → scan → artifacts → manifest → record. A task that fails, is refused or is interrupted flows
to the end too: its manifest says so.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timelab import interrupts
from timelab.clock import Clock, Randomness
from timelab.config import Settings
from timelab.errors import (
    DataError,
    ModelMismatch,
    SandboxError,
    SecretFound,
    ShellError,
    SpecError,
    StoreError,
    TimelabError,
)
from timelab.events import EVENTS_FILE, EventKind, EventLog
from timelab.executors.base import Executor, TaskContext, TaskResult
from timelab.git import repo as git_repo
from timelab.git import trees, worktree
from timelab.git.repo import Repo
from timelab.manifest import (
    Determinism,
    Failure,
    SandboxRecord,
    Status,
    Usage,
)
from timelab.names import Oid, RepoPath, RunId
from timelab.plan import DATED_FOLDER, CommitState, Plan, is_spec_path, make_invalid_plan, make_plan
from timelab.providers.base import Provider
from timelab.providers.cascade import Router
from timelab.recording import Outcome, record_run, take_out_secrets
from timelab.redact import mask
from timelab.settings import settings_at
from timelab.shell.base import Session, Shell, ShellRequest
from timelab.spec.model import CommandSpec, LlmSpec
from timelab.store import writer

if TYPE_CHECKING:
    from timelab.store.reader import StoredRun

logger = logging.getLogger(__name__)

EXIT_CODES: Mapping[Status, int] = {
    Status.OK: 0,
    Status.FAILED: 70,
    Status.TIMEOUT: 70,
    Status.INTERRUPTED: 130,
    Status.INVALID: 65,
    Status.REFUSED: 70,
}
"""What a run ends with by its status alone; `exit_code_of` is the whole mapping (design 2)."""


_SAME_MOMENT_TRIES = 5


@dataclass(frozen=True)
class Services:
    """Is everything the conductor is given rather than reaches for: instances, settings, time and chance."""

    clock: Clock
    randomness: Randomness
    settings: Settings
    executors: Mapping[str, Executor]
    shells: tuple[Shell, ...]
    own_shell: Callable[[], Session]
    providers: Mapping[str, Provider]
    effective_params: Callable[[LlmSpec, Randomness], tuple[dict[str, Any], bool]]
    load_spec: Callable[[bytes, str], CommandSpec | LlmSpec]
    user_env: Mapping[str, str] = field(default_factory=dict)
    router: Router | None = None


@dataclass(frozen=True)
class RunRequest:
    """Is one run that somebody asked for.

    `overlay` are files taken from the work tree instead of the commit (a dirty run). A replay names the run that it
    repeats, and may set profile, parameters and model, which then win over what the spec says. `give_up` records the
    run with this status and reason instead of doing it. `is_retried` says that a queue holds it: when the system ends
    the process it is not recorded, for the next worker begins it again.
    """

    spec_path: RepoPath
    commit: Oid | None
    overlay: Mapping[str, bytes] | None = None
    replay_of: RunId | None = None
    params: Mapping[str, Any] | None = None
    profile: str | None = None
    model: str | None = None
    give_up: tuple[Status, Failure] | None = None
    is_retried: bool = False
    progress: Callable[[int, int], None] = lambda done, total: None
    stream: Callable[[str], None] = lambda text: None


def run_spec(repo: Repo, request: RunRequest, services: Services) -> StoredRun:
    """Does one run from its spec to its record and returns what was stored.

    Raises:
        StoreError, GitError: the record could not be written.
        KeyboardInterrupt: the user stopped it; the run is recorded as `interrupted` first, unless `is_retried`.
    """
    state = git_repo.commit_state(repo, request.commit, overlay=request.overlay)
    data = state.read(request.spec_path)
    if data is None:
        raise SpecError(f"{request.spec_path}: no such file in the commit", hint=f"git add {request.spec_path}")
    # A staged run is recorded however often it is told to stop: only its work can be broken off.
    with interrupts.held() as hold:
        try:
            plan, staging = _stage(repo, request, services, state, data)
        except SpecError as error:
            return _record_invalid(repo, request, services, state, data, error)
        interrupted: KeyboardInterrupt | None = None
        with _scratch(repo, plan.run_id) as scratch:
            try:
                with hold.lifted():
                    session, result = _work(_Bench(repo, request, services, plan, staging.path, scratch))
            except KeyboardInterrupt as stop:
                if request.is_retried and isinstance(stop, interrupts.Terminated):
                    # What it did so far is set aside by the next command, as after a kill that nobody can take.
                    raise
                interrupted = stop
                session, result = services.own_shell(), _ended(Status.INTERRUPTED, "interrupted", "stopped by the user")
        outcome = Outcome(result, staging.path, _given(services, plan))
        stored = record_run(repo, services.clock, plan, session, outcome)
    if interrupted is not None:
        raise interrupted
    return stored


def _stage(
    repo: Repo, request: RunRequest, services: Services, state: CommitState, data: bytes
) -> tuple[Plan, writer.Staging]:
    """Plans the run and opens its staging folder; again when another run began in the same microsecond."""
    tries = 0
    while True:
        plan = _plan(repo, request, services, state, data)
        try:
            return plan, writer.open_staging(repo, plan)
        except StoreError as error:
            tries += 1
            if error.slug != "run-exists" or tries == _SAME_MOMENT_TRIES:
                raise


def _plan(repo: Repo, request: RunRequest, services: Services, state: CommitState, data: bytes) -> Plan:
    spec = services.load_spec(data, request.spec_path)
    params: dict[str, Any] | None = None
    seed_drawn = False
    if isinstance(spec, LlmSpec):
        if request.model is not None:
            spec = spec.model_copy(update={"model": request.model, "fallback": ()})
        params, seed_drawn = services.effective_params(spec, services.randomness)
    if request.params is not None:
        params, seed_drawn = dict(request.params), False
    plan = make_plan(
        spec,
        data,
        request.spec_path,
        trees.blob_oid(data),
        state,
        profile=request.profile or spec.profile or _profile_of(request.spec_path, state),
        params=params,
        seed_drawn=seed_drawn,
        start=services.clock.now(),
        replay_of=request.replay_of,
    )
    if plan.executes_user_code and state.git_tree is not None:
        # The pin is told by the shell's record: a new lock is no new code.
        dropped = {*plan.closure.paths, *_pin_files(plan)}
        code = trees.code_tree(
            repo,
            state.git_tree,
            lambda path: path in dropped or bool(DATED_FOLDER.match(path)) or is_spec_path(path),
        )
        plan = replace(plan, commit=replace(state, code_tree=code))
    return plan


def _pin_files(plan: Plan) -> tuple[str, ...]:
    """Returns the files that pin the plan's profile in a hash-locked environment."""
    try:
        named = settings_at(plan.commit.read).pin_of(plan.profile, "uv")
    except DataError:
        named = None  # entering the shell says what is wrong with the file
    for folder in (named, f"env/{plan.profile}"):
        if folder and f"{folder.strip('/')}/uv.lock" in plan.commit.paths:
            return (f"{folder.strip('/')}/uv.lock", f"{folder.strip('/')}/pyproject.toml")
    # The root's pyproject.toml says more than what is installed, and counts as code.
    return ("uv.lock",) if plan.profile == "default" else ()


def _profile_of(spec_path: str, state: CommitState) -> str:
    """Returns the profile that the nearest `.envrc` names (`use flake …#name`), else `default` (A19, A99, G6)."""
    folder = spec_path
    while "/" in folder:
        folder = folder.rpartition("/")[0]
        envrc = state.read(f"{folder}/.envrc")
        for line in (envrc or b"").decode("utf-8", "replace").splitlines():
            if line.startswith("use flake") and "#" in line:
                name = line.rpartition("#")[2].strip().strip("\"'")
                if name.replace("_", "").replace("-", "").isalnum():
                    return name
    return "default"


@dataclass(frozen=True)
class _Bench:
    """Is what a task is done with: `staging` is the run folder in the making, `scratch` is gone afterwards."""

    repo: Repo
    request: RunRequest
    services: Services
    plan: Plan
    staging: Path
    scratch: Path


def _work(bench: _Bench) -> tuple[Session, TaskResult]:
    """Enters the shell and does the task; every failure becomes a result."""
    plan, services = bench.plan, bench.services
    if bench.request.give_up is not None:
        status, failure = bench.request.give_up
        return services.own_shell(), _ended(status, failure.slug, failure.message)
    hit = take_out_secrets(bench.staging)
    if hit is not None:
        return services.own_shell(), _ended(Status.FAILED, SecretFound.slug, hit)
    events = EventLog(bench.staging / EVENTS_FILE, services.clock, mask)
    events.emit(EventKind.RUN_STARTED, run_id=plan.run_id, task=plan.spec.kind, spec=plan.record.path)
    try:
        session = _enter(bench.repo, services, plan)
    except ShellError as error:
        return services.own_shell(), _ended(Status.FAILED, error.slug, error.message)
    shell = session.record
    events.emit(EventKind.SHELL_ENTERED, shell=shell.kind, profile=shell.profile, pinned=shell.pinned)
    if shell.kind == "host" and plan.profile != "host":
        events.emit(EventKind.FALLBACK, what="shell", reason=f"nothing pins the profile {plan.profile}")
    result = _execute(bench, session, events)
    if result.model is not None and result.model.degraded:
        reason = f"{result.model.requested} did not answer"
        events.emit(EventKind.FALLBACK, what="model", model=result.model.name, reason=reason)
    if not result.sandbox.enforced:
        events.emit(EventKind.FALLBACK, what="sandbox", reason="nothing enforces it here; best effort was asked for")
    events.emit(EventKind.TASK_ENDED, status=result.status.value, sandbox=result.sandbox.kind)
    return session, result


def _execute(bench: _Bench, session: Session, events: EventLog) -> TaskResult:
    """Gives the task its files and does it."""
    plan, services = bench.plan, bench.services
    source = None
    if plan.executes_user_code:
        source = bench.scratch / "src"
        _export(bench.repo, plan, source)
    context = TaskContext(
        plan=plan,
        session=session,
        staging=bench.staging,
        source=source,
        providers=services.providers,
        clock=services.clock,
        best_effort_sandbox=services.settings.sandbox == "best-effort",
        user_env=_given(services, plan),
        progress=bench.request.progress,
        stream=bench.request.stream,
        emit=events.emit,
        router=services.router,
    )
    try:
        return services.executors[plan.spec.kind].execute(context)
    except (SandboxError, ModelMismatch) as error:
        return _ended(Status.REFUSED, error.slug, error.message)
    except TimelabError as error:
        return _ended(Status.FAILED, error.slug, error.message)


def _given(services: Services, plan: Plan) -> dict[str, str]:
    """Returns the user's variables that the spec passes to its task."""
    return {name: services.user_env[name] for name in plan.spec.env if name in services.user_env}


def _enter(repo: Repo, services: Services, plan: Plan) -> Session:
    """Enters the first shell that serves the profile: nix, else uv, else the host where design 5 allows it."""
    if not plan.executes_user_code:
        return services.own_shell()
    try:
        settings = settings_at(plan.commit.read)
    except DataError as error:
        raise ShellError(error.message) from error
    for shell in services.shells:
        asked = ShellRequest(
            profile=plan.profile,
            read=plan.commit.read,
            paths=plan.commit.paths,
            cache=repo.timelab_dir / "cache",
            pin=settings.pin_of(plan.profile, shell.kind),
            names_pins=any(entry.uv or entry.nix for entry in settings.profiles.values()),
        )
        if shell.has_profile(asked):
            return shell.enter(asked)
    raise ShellError(
        f"no pinned shell serves the profile {plan.profile!r}",
        hint=f"add env/{plan.profile}/pyproject.toml and uv.lock, or say 'profile: host' in the spec",
    )


def _export(repo: Repo, plan: Plan, source: Path) -> None:
    """Writes the commit's files, then those that a dirty run takes from the work tree."""
    source.mkdir(parents=True)
    if plan.commit.git_tree is not None:
        worktree.export(repo, plan.commit.git_tree, source)
    for path, data in plan.closure.files.items() if plan.commit.dirty or plan.replay_of else ():
        target = source / path
        mode = target.stat().st_mode & 0o777 if target.is_file() else 0o644
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)


def _ended(status: Status, slug: str, message: str) -> TaskResult:
    return TaskResult(
        status=status,
        cmd=(),
        exit_code=None,
        usage=Usage(wall_ms=0),
        sandbox=SandboxRecord(kind="not-needed", network="none", enforced=True, as_root=False),
        determinism=Determinism(level="none", seed_drawn=False, reasons=(f"the run did not complete: {slug}",)),
        error=Failure(slug=slug, message=message[:1_900]),
    )


def _record_invalid(
    repo: Repo, request: RunRequest, services: Services, state: CommitState, data: bytes, error: SpecError
) -> StoredRun:
    """Records a spec that says nothing that can be run: its bytes, and the line that says why."""
    plan = make_invalid_plan(data, request.spec_path, trees.blob_oid(data), state, start=services.clock.now())
    staging = writer.open_staging(repo, plan)
    result = _ended(Status.INVALID, error.slug, error.message)
    return record_run(repo, services.clock, plan, services.own_shell(), Outcome(result, staging.path))


@contextmanager
def _scratch(repo: Repo, run_id: str) -> Iterator[Path]:
    """Gives a folder beside the staging area that is gone afterwards."""
    folder = repo.timelab_dir / "scratch" / run_id
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def exit_code_of(status: Status, error_slug: str | None) -> int:
    """Returns the exit code that a run's end asks for, by how it ended and why (design 2)."""
    return ModelMismatch.exit_code if error_slug == ModelMismatch.slug else EXIT_CODES[status]
