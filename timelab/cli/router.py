"""`timelab router`: who answers model calls, whether their breakers are open, and how quick they are (B54, B55)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from timelab.cli.options import current_repo, json_option, start_directory
from timelab.errors import NotARepository, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from timelab.config import ProviderConfig, Settings
    from timelab.providers.cascade import Entry, Router
    from timelab.providers.state import Known
    from timelab.views import ProviderView, RouterView


@click.group()
def command() -> None:
    """Say who answers model calls, and how well."""


@command.command()
@json_option
def status(as_json: bool) -> None:
    """Show who answers, who is left alone, and how quick each is.

    Providers are listed in the order in which they are tried. One on another machine is not asked how it is. One that
    failed five times in a row is left alone for half a minute; `timelab config` shows both numbers.
    """
    show(_view(surroundings()), as_json=as_json)


@command.command()
@click.argument("name", metavar="PROVIDER")
@json_option
def reset(name: str, as_json: bool) -> None:
    """Let PROVIDER be asked again at once.

    What was counted stays.
    """
    here = surroundings()
    known = [entry.name for entry in here.router.entries]
    if name not in known:
        raise NotFound(f"no provider is named {name}", hint=f"one of: {', '.join(known)}")
    here.router.state.reset(name)
    show(_view(here), as_json=as_json)


@dataclass(frozen=True)
class Surroundings:
    """Is where a command stands: the settings, the environment, and the router of both."""

    settings: Settings
    environ: Mapping[str, str]
    router: Router


def surroundings() -> Surroundings:
    """Returns where the command stands; outside a repository with the user's settings alone, and no memory."""
    import os

    from timelab.cli.provider_table import router_for
    from timelab.config import load_settings
    from timelab.settings import settings_for

    try:
        repo = current_repo()
    except NotARepository:
        settings = load_settings(repo_toml=None, pyproject=None, git_config={}, environ=os.environ)
        router = router_for(settings, None, os.environ, root=start_directory())
        return Surroundings(settings, os.environ, router)
    settings = settings_for(repo)
    router = router_for(settings, repo.timelab_dir, os.environ, root=repo.root or repo.git_dir)
    return Surroundings(settings, os.environ, router)


def _view(here: Surroundings) -> RouterView:
    from timelab.cli.provider_table import configs_of
    from timelab.providers.state import Known
    from timelab.views import RouterView

    known = here.router.state.read()
    return RouterView(
        threshold=here.settings.circuit_breaker_threshold,
        pause_s=here.settings.circuit_breaker_pause_s,
        providers=tuple(
            _provider(here, entry, config, known.get(entry.name, Known()))
            for entry, config in zip(here.router.entries, configs_of(here.settings), strict=True)
        ),
    )


def _provider(here: Surroundings, entry: Entry, config: ProviderConfig, known: Known) -> ProviderView:
    from timelab.cli.provider_table import address_of
    from timelab.providers.breaker import state_of, wait_s
    from timelab.views import ProviderView

    router, breaker, metrics = here.router, known.breaker, known.metrics
    now_s = router.clock.now().timestamp()
    return ProviderView(
        name=entry.name,
        kind=entry.kind,
        address=address_of(config, here.environ),
        leaves=entry.leaves,
        state=state_of(breaker, now_s, router.state.policy),
        wait_s=round(wait_s(breaker, now_s, router.state.policy), 1),
        failures_in_a_row=breaker.failures,
        reason=breaker.reason,
        health=health_of(router, entry),
        attempts=metrics.attempts,
        answered=metrics.answered,
        failures=metrics.failures,
        skipped=metrics.skipped,
        mean_latency_ms=metrics.mean_latency_ms,
        tokens_per_s=metrics.tokens_per_s,
        last_answer=metrics.last_answer,
        last_failure=metrics.last_failure,
    )


def health_of(router: Router, entry: Entry) -> str | None:
    """Returns None for a provider that answers, else why it does not; one elsewhere is not asked (style R2)."""
    from timelab.errors import TimelabError

    if entry.leaves:
        return "on another machine: not asked"
    try:
        ill = router.provider(entry).health()
    except TimelabError as error:
        ill = f"{error.message}; {error.hint}" if error.hint else error.message
    return router.clean(ill) if ill is not None else None


def show(view: RouterView, *, as_json: bool) -> None:
    """Prints the providers."""
    from timelab.cli import render

    if as_json:
        render.emit_json(view)
        return
    rows = []
    for each in view.providers:
        calls = f"{each.answered} of {each.attempts}"
        latency = "-" if each.mean_latency_ms is None else f"{each.mean_latency_ms} ms"
        speed = "-" if each.tokens_per_s is None else f"{each.tokens_per_s:g} tok/s"
        rows.append((each.name, _breaker(each), calls, latency, speed, render.plain(each.health or "answers")))
    render.lines(render.table(rows, ("PROVIDER", "BREAKER", "ANSWERED", "LATENCY", "SPEED", "NOW")))
    for each in view.providers:
        if each.reason:
            row = render.many(each.failures_in_a_row, "failure")
            reason = render.plain(each.reason.removeprefix(f"{each.name}: "))
            render.talk(f"timelab: {each.name}: {row} in a row: {reason}")
        if each.state == "open":
            render.talk(f"hint: timelab router reset {each.name}")


def _breaker(view: ProviderView) -> str:
    return f"open, {view.wait_s:.0f} s" if view.state == "open" else view.state
