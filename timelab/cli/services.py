"""Builds the conductor's services: the real shells, executors and providers, chosen here and nowhere deeper."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from timelab.cli.options import settings_of
from timelab.cli.provider_table import router_for
from timelab.clock import Randomness
from timelab.git.repo import Repo
from timelab.run import Services
from timelab.spec.model import CommandSpec, LlmSpec

EXECUTORS: Mapping[str, str] = {
    "command": "timelab.executors.command:CommandExecutor",
    "llm": "timelab.executors.llm:LlmExecutor",
}
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
    from timelab.shell.own import own_session

    settings, clock = settings_of(repo), SystemClock()
    router = router_for(settings, repo.timelab_dir, os.environ, root=repo.root or repo.git_dir)
    first = {entry.kind: entry for entry in reversed(router.entries)}
    return Services(
        clock=clock,
        randomness=SystemRandomness(),
        settings=settings,
        executors=_OnDemand({kind: partial(_make, name) for kind, name in EXECUTORS.items()}),
        shells=tuple(_make(name) for name in SHELLS),
        own_shell=own_session,
        providers=_OnDemand({kind: partial(router.provider, entry) for kind, entry in first.items()}),
        effective_params=_effective_params,
        load_spec=_load_spec,
        user_env=dict(os.environ),
        router=router,
    )


def _make(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)()


def _effective_params(spec: LlmSpec, randomness: Randomness) -> tuple[dict[str, Any], bool]:
    from timelab.executors.llm import effective_params

    return effective_params(spec, randomness)


def _load_spec(data: bytes, path: str) -> CommandSpec | LlmSpec:
    from timelab.spec.load import load_spec

    return load_spec(data, path, given_by_hand=True).spec
