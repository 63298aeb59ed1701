"""Runs a record again and compares artifact by artifact: did the same come out, and if not, why (design 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from timelab.canonical import sha256_bytes
from timelab.diff import NONDETERMINISM, FileDiff, causes_of, changes, compare_outputs
from timelab.diff.causes import spec_name
from timelab.errors import DataError, MissingExtra, ProviderError, SecretFound, SpecError, UsageError
from timelab.git import chain, history
from timelab.git import repo as git_repo
from timelab.git.chain import Entry
from timelab.git.repo import Repo
from timelab.manifest import INPUT_FILES, Manifest, Status
from timelab.names import Oid
from timelab.providers.cascade import Router, entries_of, pin_of
from timelab.providers.state import ProviderState
from timelab.run import RunRequest, Services, run_spec
from timelab.spec.model import LlmSpec, ModelParams
from timelab.store.reader import StoredRun
from timelab.views import Outcome, ReplayReport

_LACKING = {
    "shell": "the pinned shell",
    "sandbox": "a sandbox that can enforce what the spec asks",
    "provider": "the model",
    "model-mismatch": "the model's weights",
    "missing-extra": "an optional part of timelab",
}
"""Errors of a replay that say that a part is not here, by slug."""

FROM_RECORD = "the answers came from the record: no model was asked"
"""Is among the reasons of a replay that put no answer to the test."""

_NAMED_BY = 12
"""How many digits of a run's id name it in a model: as many as lists show, and beyond chance."""


@dataclass(frozen=True)
class Changed:
    """Is what a replay does otherwise on purpose: `at` a commit, with another model, with other parameters.

    With `recorded` no model is asked: the record's own answers are given again, to the same requests only.
    """

    at: str | None = None
    model: str | None = None
    recorded: bool = False
    params: Mapping[str, Any] | None = None


class _Cannot(Exception):
    """Says which part of the record cannot be had here."""


def replay(
    repo: Repo,
    stored: StoredRun,
    services: Services,
    *,
    changed: Changed | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ReplayReport:
    """Runs a record again, records that as a run of its own (`replay_of`), and says what came out otherwise.

    Spec bytes and inputs are those of the record, whatever the commit says; commit, profile, model and parameters
    (the drawn seed too) as recorded. With `changed.at` spec, code, locks and inputs are those of that commit.

    Returns:
        A report; its verdict is `cannot` when a part is missing, and then nothing may have been recorded.

    Raises:
        UsageError: `changed` does not fit the record, or itself. NotFound: `changed.at` is no commit.
        ManifestError: the record is not one.
    """
    changed = changed or Changed()
    if changed.recorded and changed.model is not None:
        raise UsageError("the record's answers or another model's, not both", hint="leave out --recorded or --model")
    manifest = stored.manifest()
    original = _Files(repo, stored)
    try:
        request = _request(repo, manifest, original, services, changed)
        again = run_spec(repo, replace(request, progress=progress), services)
    except _Cannot as lack:
        return _cannot(manifest, str(lack), None)
    except DataError as damage:
        if damage.slug != "object-missing":
            raise
        return _cannot(manifest, f"a part of the commit is not here: {damage.message}", None)
    result = again.manifest()
    error = result.error
    if error is not None and result.status is Status.REFUSED:
        return _cannot(manifest, f"it is refused here: {error.message}", again.run_id)
    if error is not None and error.slug in _LACKING:
        part = "the record's answer" if changed.recorded and error.slug == ProviderError.slug else _LACKING[error.slug]
        return _cannot(manifest, f"{part} is not here: {error.message}", again.run_id)
    try:
        return _compare(manifest, result, original, _Files(repo, again), from_record=changed.recorded)
    except DataError as damage:
        return _cannot(manifest, f"there is nothing to compare with: {damage.message}", again.run_id)


class _Files:
    """Reads the files of a stored run from its chain."""

    def __init__(self, repo: Repo, stored: StoredRun) -> None:
        self._repo = repo
        self._stored = stored
        self._entry: Entry | None = None

    def __call__(self, path: str) -> bytes | None:
        if self._entry is None:
            self._entry = chain.read_entry(self._repo, self._stored.entry, ref=self._stored.ref)
        return chain.read_file(self._repo, self._entry, path)


def _request(repo: Repo, manifest: Manifest, files: _Files, services: Services, changed: Changed) -> RunRequest:
    """Returns what has to be run; raises `_Cannot` when a part of it is missing."""
    _check_record(manifest, services, with_shell=changed.at is None)
    if changed.at is not None:
        commit: Oid | None = git_repo.resolve(repo, changed.at)
        overlay: dict[str, bytes] = {}
        state = git_repo.commit_state(repo, commit)
        spec_bytes = state.read(manifest.spec.path)
        if spec_bytes is None:
            raise _Cannot(f"there is no {manifest.spec.path} at {changed.at}")
    else:
        commit = manifest.git_sha
        if commit is not None and not history.has_commit(repo, commit):
            raise _Cannot(f"commit {commit[:12]} is not here: git fetch brings it, unless it was amended away")
        recorded = _recorded_files(manifest, files)
        spec_bytes = recorded[manifest.spec.path]
        state = git_repo.commit_state(repo, commit)
        overlay = {path: data for path, data in recorded.items() if state.read(path) != data}
    try:
        spec = services.load_spec(spec_bytes, manifest.spec.path)
    except SpecError as error:
        raise _Cannot(f"the spec cannot be read: {error.message}") from error
    params, model = None, None
    if isinstance(spec, LlmSpec):
        params, model = _params(manifest, spec, services, changed), _model(manifest, spec, changed)
        _check_model(model or spec.model, spec, services)
    elif changed.model is not None or changed.recorded or changed.params:
        raise UsageError(f"run {manifest.run_id[:8]} asks no model: --model, --recorded and --set do not apply")
    return RunRequest(
        spec_path=manifest.spec.path,
        commit=commit,
        overlay=overlay or None,
        replay_of=manifest.run_id,
        params=params,
        profile=manifest.shell.profile if changed.at is None and not isinstance(spec, LlmSpec) else None,
        model=model,
    )


def _check_record(manifest: Manifest, services: Services, *, with_shell: bool) -> None:
    if manifest.error is not None and manifest.error.slug == SecretFound.slug:
        raise _Cannot("a secret was taken out of the record, and what ran is not kept")
    if manifest.status is Status.INVALID:
        raise _Cannot("the spec was invalid: nothing ran that could run again")
    if manifest.status is Status.INTERRUPTED:
        raise _Cannot("the run was interrupted: what it would have made is unknown")
    kinds = {"self", *(shell.kind for shell in services.shells)}
    if with_shell and manifest.shell.kind not in kinds:
        raise _Cannot(f"the shell is of kind {manifest.shell.kind}, which is not available here")


def _recorded_files(manifest: Manifest, files: _Files) -> dict[str, bytes]:
    """Returns the spec and the inputs as the record keeps them, by their paths in the repository."""
    wanted = [(manifest.spec.path, spec_name(manifest), manifest.spec.sha256)]
    wanted += [(item.path, f"{INPUT_FILES}{item.path}", item.sha256) for item in manifest.inputs]
    found: dict[str, bytes] = {}
    for path, place, digest in wanted:
        try:
            data = files(place)
        except DataError as error:
            raise _Cannot(f"{place} of the record cannot be read: {error.message}") from error
        if data is None:
            raise _Cannot(f"{place} is not in the record")
        if sha256_bytes(data) != digest:
            raise _Cannot(f"{place} of the record is not what its run.json says: timelab verify")
        found[path] = data
    return found


def _params(manifest: Manifest, spec: LlmSpec, services: Services, changed: Changed) -> dict[str, Any] | None:
    """Returns the recorded parameters; at another commit its spec's, with the recorded seed where that states none."""
    recorded = dict(manifest.model.params) if manifest.model is not None else None
    params = recorded
    if changed.at is not None or recorded is None:
        params, drawn = services.effective_params(spec, services.randomness)
        if drawn and recorded is not None and "seed" in recorded:
            params = {**params, "seed": recorded["seed"]}
    if changed.params:
        params = {**params, **checked_params(changed.params)} if params is not None else None
    return params


def checked_params(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns sampling parameters that the spec's own rules allow.

    Raises:
        UsageError: one has no such name, or may not have that value.
    """
    from pydantic import ValidationError

    try:
        ModelParams.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = f"one of: {', '.join(ModelParams.model_fields)}"
        raise UsageError(f"--set {name}: {ascii(first['msg'])[1:-1][:120]}", hint=hint) from error
    return dict(given)


def _model(manifest: Manifest, spec: LlmSpec, changed: Changed) -> str | None:
    """Returns the model to ask instead of the spec's: the one that answered, where that was a fallback."""
    if changed.recorded:
        return f"recorded:{manifest.run_id[:_NAMED_BY]}"
    if changed.model is not None:
        return changed.model
    if changed.at is None and manifest.model is not None and manifest.model.degraded:
        return manifest.model.name
    return None


def _check_model(model: str, spec: LlmSpec, services: Services) -> None:
    """Raises `_Cannot` when nobody here serves the model; a provider elsewhere is asked if the spec allows it."""
    router = services.router or Router(
        entries_of(services.providers), ProviderState(None, services.clock), services.clock
    )
    bare, _ = pin_of(model)
    lack = f"no provider {model.partition(':')[0]}"
    for entry in router.serving(bare):
        if entry.leaves and not spec.allow_net:
            lack = f"{entry.name} is on another machine, and the spec does not allow the network"
            continue
        try:
            router.provider(entry).describe(bare)
        except (ProviderError, MissingExtra, DataError) as error:
            lack = router.clean(error.message)
            continue
        return
    raise _Cannot(f"the model {model} is not here: {lack}")


def _cannot(manifest: Manifest, missing: str, replay_id: str | None) -> ReplayReport:
    return ReplayReport(
        run_id=manifest.run_id,
        replay_id=replay_id,
        ok=False,
        verdict="cannot",
        held_to=manifest.determinism.level,
        reasons=manifest.determinism.reasons,
        missing=missing,
        cause=None,
        causes=(),
        changes=(),
        outcome=(),
        artifacts=(),
    )


def _compare(
    before: Manifest, after: Manifest, read_before: _Files, read_after: _Files, *, from_record: bool
) -> ReplayReport:
    artifacts = compare_outputs(
        [item.path for item in before.artifacts], [item.path for item in after.artifacts], read_before, read_after
    )
    ends = (
        ("status", before.status.value, after.status.value),
        ("exit code", str(before.exit_code), str(after.exit_code)),
    )
    outcome = tuple(Outcome(what, old, new) for what, old, new in ends if old != new)
    found = changes(before, after, read_before, read_after)
    reasons = before.determinism.reasons
    if from_record:
        # The name of another model, and the same answers: that is no cause of anything.
        found = tuple(replace(each, cause="label") if each.cause == "model" else each for each in found)
        found = tuple(sorted(found, key=lambda each: each.cause == "label"))
        reasons = (*reasons, FROM_RECORD)
    causes = causes_of(found)
    verdict = _verdict(artifacts, outcome)
    level = before.determinism.level
    why = causes[0] if causes else NONDETERMINISM
    is_held = _is_held(level, verdict, why, has_ended_alike=not outcome)
    cause = why if verdict == "differs" or not is_held else None
    return ReplayReport(
        run_id=before.run_id,
        replay_id=after.run_id,
        ok=is_held,
        verdict=verdict,
        held_to=level,
        reasons=reasons,
        missing=None,
        cause=cause,
        causes=causes,
        changes=found,
        outcome=outcome,
        artifacts=artifacts,
    )


def _verdict(artifacts: tuple[FileDiff, ...], outcome: tuple[Outcome, ...]) -> Literal["identical", "equal", "differs"]:
    verdicts = {item.verdict for item in artifacts}
    if outcome or verdicts & {"differs", "missing", "new"}:
        return "differs"
    return "equal" if "equal" in verdicts else "identical"


def _is_held(level: str, verdict: str, cause: str, *, has_ended_alike: bool) -> bool:
    """Says whether a verdict is what the record claims (design 6).

    `exact` claims the same bytes, `same-text` the same after normalising. `none` claims nothing of outputs as long as
    nothing changed that explains them; how a run ended, and a difference that has a cause, count at every level.
    """
    if verdict == "differs":
        return level == "none" and cause == NONDETERMINISM and has_ended_alike
    return verdict == "identical" or level != "exact"
