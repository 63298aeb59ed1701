"""Builds the conductor's services: the real shells, executors and providers, chosen here and nowhere deeper."""

from __future__ import annotations

import os

from timelab.cli.options import settings_of
from timelab.git.repo import Repo
from timelab.run import Services


def services_for(repo: Repo) -> Services:
    """Returns what a run in this repository works with."""
    from timelab.clock import SystemClock, SystemRandomness
    from timelab.executors.command import CommandExecutor
    from timelab.executors.llm import LlmExecutor, effective_params
    from timelab.providers.builtin import BuiltinProvider
    from timelab.shell.host import HostShell
    from timelab.shell.own import own_session
    from timelab.shell.uv import UvShell
    from timelab.spec.load import load_spec

    builtin = BuiltinProvider()
    return Services(
        clock=SystemClock(),
        randomness=SystemRandomness(),
        settings=settings_of(repo),
        executors={each.kind: each for each in (CommandExecutor(), LlmExecutor())},
        shells=(UvShell(), HostShell()),
        own_shell=own_session,
        providers={builtin.name: builtin},
        effective_params=effective_params,
        load_spec=lambda data, path: load_spec(data, path, given_by_hand=True).spec,
        user_env=dict(os.environ),
    )
