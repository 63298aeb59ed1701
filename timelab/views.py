"""What read commands print: plain values, each with a schema in `schemas/` (style O1). No pydantic here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from timelab.diff import CasePair, Change, FileDiff

# -- run


@dataclass(frozen=True)
class Ran:
    """Is one run as `timelab run FILE` names it; `folder` is its absolute path, None in a bare repository."""

    run_id: str
    status: str
    folder: str | None


# -- allow


@dataclass(frozen=True)
class AllowedFile:
    """Is one file, as it stands in a blob, that may take part in runs from now on."""

    path: str
    blob: str


@dataclass(frozen=True)
class Allowed:
    """Is what one consent changed: the files that are newly allowed, and the specs that run now."""

    allowed: tuple[AllowedFile, ...]
    queued: tuple[str, ...]


# -- trace


@dataclass(frozen=True)
class Origin:
    """Is one answer to where a file came from. `role` is `made` for an output, else its room (`input`, `logs`)."""

    artifact: str
    role: str
    run_id: str
    status: str
    timestamp_start: str
    spec_path: str
    spec_blob: str
    git_sha: str | None
    flake_lock_sha256: str | None
    shell_fingerprint: str
    model: str | None
    inputs: tuple[str, ...]


# -- verify


@dataclass(frozen=True)
class Finding:
    """Is one thing that is wrong (or, as a warning, worth a look): the step, the run, the place, and how to heal it.

    `place` names bytes where they are known: `run.json byte 17`, `note on 3fa2c1aa byte 40`, `chain entry 9c1d…`.
    """

    step: int
    run_id: str | None
    place: str
    what: str
    heal: str | None = None


@dataclass(frozen=True)
class Step:
    """Is one numbered step: how many things it looked at, and how many of them were wrong, unknown or absent.

    `unknown` could not be told here (the commit is in another clone); `absent` is a copy that is not there.
    """

    number: int
    name: str
    unit: str
    checked: int
    wrong: int
    unknown: int
    absent: int
    result: Literal["passed", "wrong", "unknown", "absent", "skipped"]


@dataclass(frozen=True)
class VerifyReport:
    """Is what `verify` found. `is_signed` is false as long as records carry no signature."""

    ok: bool
    runs: int
    chains: int
    is_signed: bool
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


# -- diff


@dataclass(frozen=True)
class DiffSide:
    """Is one of two runs set side by side."""

    run_id: str
    name: str
    status: str
    timestamp_start: str
    git_sha: str | None
    spec_path: str
    model: str | None
    replay_of: str | None


@dataclass(frozen=True)
class RunDiff:
    """Is two runs side by side: what changed by cause, the outputs file by file, and the answers case by case."""

    before: DiffSide
    after: DiffSide
    causes: tuple[str, ...]
    changes: tuple[Change, ...]
    outputs: tuple[FileDiff, ...]
    cases: tuple[CasePair, ...]


# -- replay


@dataclass(frozen=True)
class Outcome:
    """Is one thing about how a run ended that the replay should repeat: its status or its exit code."""

    what: str
    before: str
    after: str


@dataclass(frozen=True)
class ReplayReport:
    """Is what came of one replay.

    `verdict` is of all outputs and of how the run ended. `held_to` is the level of determinism that the record claims
    (design 6) and `reasons` why it is no higher; `ok` says that the verdict is what it claims: `exact` wants
    `identical`, `same-text` also takes `equal`, `none` also outputs that differ where nothing changed that explains it.
    `missing` says which part is not here when the verdict is `cannot`. `cause` is the first of `causes`, or
    `nondeterminism` when something differs and no cause changed.
    """

    run_id: str
    replay_id: str | None
    ok: bool
    verdict: Literal["identical", "equal", "differs", "cannot"]
    held_to: str
    reasons: tuple[str, ...]
    missing: str | None
    cause: str | None
    causes: tuple[str, ...]
    changes: tuple[Change, ...]
    outcome: tuple[Outcome, ...]
    artifacts: tuple[FileDiff, ...]


# -- forget and reindex


@dataclass(frozen=True)
class Forgotten:
    """Is the run that `timelab forget` was asked to take back; `is_forgotten` is false when the answer was no."""

    run_id: str
    name: str
    status: str
    timestamp_start: str
    is_forgotten: bool


@dataclass(frozen=True)
class Rebuilt:
    """Is what `timelab reindex` rebuilt everything from: the number of runs in all chains."""

    runs: int


# -- status and doctor


@dataclass(frozen=True)
class JobView:
    """Is one entry of the queue; `attempts` counts how often work on it was begun."""

    state: Literal["queued", "running"]
    commit: str | None
    hook: str
    attempts: int
    pid: int | None


@dataclass(frozen=True)
class WaitingView:
    """Is a spec version that does not run yet, and why."""

    path: str
    commit: str
    reason: str


@dataclass(frozen=True)
class LastRun:
    """Is one of the newest runs, in short."""

    run_id: str
    timestamp_start: str
    status: str
    name: str
    error_slug: str | None


@dataclass(frozen=True)
class StatusView:
    """Is the state of a repository's runs (`timelab status`).

    `unfinished` are runs that were cut off; `set_aside` those of them that left no record, by now in the quarantine.
    `is_deaf` says that no hook of ours is there to run what is committed.
    """

    jobs: tuple[JobView, ...]
    waiting: tuple[WaitingView, ...]
    unfinished: tuple[str, ...]
    is_deaf: bool
    set_aside: tuple[str, ...]
    last: tuple[LastRun, ...]


@dataclass(frozen=True)
class Check:
    """Is one thing that `timelab doctor` looked at; `heal` is the command that mends it."""

    what: str
    state: Literal["passed", "wrong", "unknown"]
    detail: str
    heal: str | None


# -- router and model


@dataclass(frozen=True)
class ProviderView:
    """Is one provider: whether it may be asked now (`state`), whether it answers, and what came of the calls to it.

    `kind` is the prefix of its models. `health` is null when it answers, else why not; one elsewhere is not asked.
    `wait_s` is how long an open breaker stays so; `failures_in_a_row` is what opens it.
    """

    name: str
    kind: str
    address: str | None
    leaves: bool
    state: Literal["closed", "open", "half-open"]
    wait_s: float
    failures_in_a_row: int
    reason: str | None
    health: str | None
    attempts: int
    answered: int
    failures: int
    skipped: int
    mean_latency_ms: int | None
    tokens_per_s: float | None
    last_answer: str | None
    last_failure: str | None


@dataclass(frozen=True)
class RouterView:
    """Is every provider in the order in which they are tried (`timelab router status`)."""

    threshold: int
    pause_s: float
    providers: tuple[ProviderView, ...]


@dataclass(frozen=True)
class ModelView:
    """Is a model that is here: `hash` is the digest of its weights, null where the engine tells none."""

    name: str
    provider: str
    hash: str | None
    deterministic: bool
    exact_on_request: bool
    details: dict[str, str]


@dataclass(frozen=True)
class Silent:
    """Is a provider that could not say what it has, and why."""

    provider: str
    reason: str


@dataclass(frozen=True)
class ModelsView:
    """Is what is here (`timelab model list`)."""

    models: tuple[ModelView, ...]
    silent: tuple[Silent, ...]


@dataclass(frozen=True)
class ChoiceView:
    """Is one model that a spec allows, on one provider: what it would get there, or `reason` why nothing."""

    asked: str
    provider: str
    fits: bool
    model: ModelView | None
    reason: str | None


@dataclass(frozen=True)
class ModelChoices:
    """Is what a spec, or a name, would get now, in the order in which it is tried; `gets` is the first that fits."""

    asked: str
    gets: ModelView | None
    degraded: bool
    choices: tuple[ChoiceView, ...]
