"""From a task's result to its record: secrets out, files hashed, manifest built, run stored."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from timelab import __version__
from timelab.clock import Clock, parse_timestamp, timestamp
from timelab.errors import DataError, SecretFound
from timelab.executors.base import TaskResult
from timelab.git import chain
from timelab.git.repo import Repo
from timelab.manifest import (
    Determinism,
    Environment,
    Failure,
    Manifest,
    Status,
    flake_metadata,
    make_run_key,
)
from timelab.plan import Plan
from timelab.redact import Finding, find_secrets, known_secrets, mask, scan_folder
from timelab.shell.base import Session
from timelab.store import writer
from timelab.store.reader import StoredRun


@dataclass(frozen=True)
class Outcome:
    """Is what a task left: its result, its run folder in the making; `given` are the user's variables that it had."""

    result: TaskResult
    staging: Path
    given: Mapping[str, str] = field(default_factory=dict, repr=False)


def record_run(repo: Repo, clock: Clock, plan: Plan, session: Session, outcome: Outcome) -> StoredRun:
    """Scans what came out, hashes it, builds the manifest and stores the run."""
    result, staging, known = outcome.result, outcome.staging, known_secrets(outcome.given)
    hit = take_out_secrets(staging, known)
    if hit is not None:
        failure = Failure(slug=SecretFound.slug, message=hit)
        result = replace(result, status=Status.FAILED, error=failure, cmd=())
    try:
        writer.collect(staging)
    except DataError as error:
        result = replace(result, status=Status.FAILED, error=Failure(slug=error.slug, message=error.message))
        shutil.rmtree(staging / "output", ignore_errors=True)
    manifest = _manifest(repo, clock, plan, session, _masked(result, known), staging=staging)
    return writer.commit(repo, manifest, staging)


def _masked(result: TaskResult, known: Mapping[str, str]) -> TaskResult:
    """Returns the result with its words masked: an engine's message may quote a key, an argument may be one."""
    attempts = tuple(
        attempt.model_copy(update={"reason": mask(attempt.reason, known)}) if attempt.reason else attempt
        for attempt in result.providers
    )
    error = result.error
    if error is not None:
        error = error.model_copy(update={"message": mask(error.message, known)})
    return replace(result, providers=attempts, error=error, cmd=tuple(mask(word, known) for word in result.cmd))


def _manifest(repo: Repo, clock: Clock, plan: Plan, session: Session, result: TaskResult, *, staging: Path) -> Manifest:
    """Hashes the files and builds the manifest."""
    end = max(clock.now(), parse_timestamp(plan.timestamp_start) + timedelta(microseconds=1))
    model = result.model
    manifest = Manifest(
        schema_version=1,
        run_id=plan.run_id,
        run_key=make_run_key(
            task_sha256=plan.task.sha256,
            inputs=plan.inputs,
            code_tree=plan.commit.code_tree,
            fingerprint=session.record.fingerprint,
            model_hash=model.hash if model else None,
            params=model.params if model else None,
        ),
        name=plan.name,
        status=result.status,
        timestamp_start=plan.timestamp_start,
        timestamp_end=timestamp(end),
        cmd=result.cmd,
        exit_code=result.exit_code,
        git_sha=plan.commit.git_sha,
        git_describe=plan.commit.describe,
        git_tree=plan.commit.git_tree,
        code_tree=plan.commit.code_tree,
        dirty=plan.commit.dirty,
        flake_lock_sha256=plan.flake_lock_sha256,
        flake_metadata=flake_metadata(plan.commit.flake_lock),
        spec=plan.record,
        task=plan.task,
        env=_environment(session),
        shell=session.record,
        sandbox=result.sandbox,
        inputs=plan.inputs,
        model=model,
        providers=result.providers,
        usage=result.usage,
        determinism=_with_seed(result.determinism, plan.seed_drawn),
        artifacts=writer.collect(staging),
        replay_of=plan.replay_of,
        reused_from=None,
        parent_run=None,
        error=result.error,
        writer=chain.writer_id(repo),
        timelab_version=__version__,
    )
    if find_secrets(manifest.to_bytes(), "run.json"):
        # Files, file names and messages are clean by now: it stands in the spec's own path or name.
        shutil.rmtree(staging, ignore_errors=True)
        raise SecretFound(
            "the spec's path or name holds a secret: nothing was recorded", hint="rename it, and replace the secret"
        )
    return manifest


def _environment(session: Session) -> Environment:
    """Returns where it ran, with the programs that were used to get there, `name@version` (A60)."""
    used = (f"timelab@{__version__}", *(app for app in session.environment.apps if not app.startswith("timelab@")))
    return session.environment.model_copy(update={"apps": used})


def _with_seed(determinism: Determinism, seed_drawn: bool) -> Determinism:
    """Returns the determinism record with the plan's word on where the seed came from (A74)."""
    return determinism.model_copy(update={"seed_drawn": seed_drawn})


def take_out_secrets(staging: Path, known: Mapping[str, str] | None = None) -> str | None:
    """Looks for secrets in a run folder; removes the files that hold one, and returns where the first was.

    `known` are secrets by value, from `known_secrets`.
    """
    found = scan_folder(staging, known)
    for path, _ in found:
        (staging / path).unlink(missing_ok=True)
    return _say_where(found) if found else None


def _say_where(found: list[tuple[str, Finding]]) -> str:
    path, finding = found[0]
    if finding.line == 0:
        return f"the name of a file in {path.partition('/')[0]}/: {finding.kind}"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{path}:{finding.line}: {finding.kind}{more}"
