"""Builds the conductor's services: the real shells, executors and providers, chosen here and nowhere deeper."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from timelab.cli.options import settings_of
from timelab.cli.provider_table import router_for
from timelab.clock import Randomness
from timelab.git.repo import Repo
from timelab.run import Services
from timelab.spec.model import CommandSpec, LlmSpec

if TYPE_CHECKING:
    from timelab.providers.recorded import RecordedProvider, Recording

EXECUTORS: Mapping[str, str] = {
    "command": "timelab.executors.command:CommandExecutor",
    "llm": "timelab.executors.llm:LlmExecutor",
}
TRANSCRIPT = "output/output.jsonl"
SHELLS: tuple[str, ...] = ("timelab.shell.uv:UvShell", "timelab.shell.host:HostShell")


class _OnDemand(Mapping[str, Any]):
    """Makes each service when it is asked for: a command does not wait for what only prompts need (style S3)."""

    def __init__(self, table: Mapping[str, Callable[[], Any]]) -> None:
        self._table = table
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._table[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def services_for(repo: Repo) -> Services:
    """Returns what a run in this repository works with."""
    from timelab.clock import SystemClock, SystemRandomness
    from timelab.providers.cascade import Entry
    from timelab.shell.own import own_session

    settings, clock = settings_of(repo), SystemClock()
    runs = Entry("recorded", "recorded", partial(_recorded, repo))
    router = router_for(settings, repo.timelab_dir, os.environ, root=repo.root or repo.git_dir, more=(runs,))
    first = {entry.kind: entry for entry in reversed(router.entries)}
    providers = _OnDemand({kind: partial(router.provider, entry) for kind, entry in first.items()})
    return Services(
        clock=clock,
        randomness=SystemRandomness(),
        settings=settings,
        executors=_OnDemand({kind: partial(_make, name) for kind, name in EXECUTORS.items()}),
        shells=tuple(_make(name) for name in SHELLS),
        own_shell=own_session,
        providers=providers,
        effective_params=partial(_effective_params, providers),
        load_spec=_load_spec,
        user_env=dict(os.environ),
        router=router,
    )


def _make(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)()


def _effective_params(
    providers: Mapping[str, Any], spec: LlmSpec, randomness: Randomness
) -> tuple[dict[str, Any], bool]:
    from timelab.errors import ProviderError
    from timelab.executors.llm import effective_params
    from timelab.providers.cascade import pin_of

    recorded = None
    if spec.model.startswith("recorded:"):
        # A run that is not here is told where the model is asked, so that the attempt is recorded and a fallback tried.
        with suppress(ProviderError):
            recorded = providers["recorded"].params(pin_of(spec.model)[0])
    return effective_params(spec, randomness, recorded)


def _recorded(repo: Repo) -> RecordedProvider:
    from timelab.providers.recorded import RecordedProvider

    return RecordedProvider(partial(_recording, repo))


def _recording(repo: Repo, name: str) -> Recording:
    """Returns what a run of this repository keeps of its model; raises `ProviderError` when it has nothing to give."""
    from timelab.canonical import sha256_bytes
    from timelab.errors import DataError, ModelAbsent, NotFound, ProviderError, StoreError, UsageError
    from timelab.providers.recorded import Recording
    from timelab.store.reader import artifact_bytes, find_all

    try:
        # Only an id: `last`, a path or a commit would mean another run tomorrow.
        found = find_all(repo, name) if re.fullmatch(r"[0-9a-f]{4,64}", name) else []
        run = next(one for one in found if one.run_id.startswith(name))
        manifest = run.manifest()
    except (NotFound, StopIteration) as error:
        told = ascii(name)[1:-1][:80]
        raise ModelAbsent(f"there is no run {told} here", hint="timelab sync fetches those of others") from error
    except (UsageError, DataError, StoreError) as error:
        raise ProviderError(": ".join(filter(None, (error.message, error.hint)))) from error
    if manifest.task.kind != "llm":
        raise ProviderError(f"run {run.run_id[:8]} is of kind {manifest.task.kind}: it recorded no answers")
    artifact = next((item for item in manifest.artifacts if item.path == TRANSCRIPT), None)
    if manifest.model is None or artifact is None or not artifact.size_bytes:
        raise ProviderError(f"run {run.run_id[:8]} ended as {manifest.status.value}: it recorded no answers")
    data = artifact_bytes(repo, run, TRANSCRIPT)
    if data is None or sha256_bytes(data) != artifact.sha256:
        raise ProviderError(f"{TRANSCRIPT} of run {run.run_id[:8]} is not what its record says: timelab verify")
    return Recording(run.run_id, manifest.model.hash, manifest.model.params, data)


def _load_spec(data: bytes, path: str) -> CommandSpec | LlmSpec:
    from timelab.spec.load import load_spec

    return load_spec(data, path, given_by_hand=True).spec
