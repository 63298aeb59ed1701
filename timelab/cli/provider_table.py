"""Who can answer model calls: the user's configuration made into the router's entries, each loaded when it is asked."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from timelab.clock import SystemClock
from timelab.config import ProviderConfig, Settings
from timelab.errors import DataError, UsageError
from timelab.providers.base import Provider
from timelab.providers.breaker import Policy
from timelab.providers.cascade import Entry, Router
from timelab.providers.state import ProviderState

CLASSES: Mapping[str, str] = {
    "ollama": "timelab.providers.ollama:OllamaProvider",
    "llamacpp": "timelab.providers.llamacpp:LlamaCppProvider",
    "openai": "timelab.providers.openai_compat:OpenAICompatProvider",
    "builtin": "timelab.providers.builtin:BuiltinProvider",
}
_OLLAMA, _OPENAI = "127.0.0.1:11434", "https://api.openai.com/v1"
_LEAVES: Mapping[str | None, bool] = {None: False, _OLLAMA: False, _OPENAI: True}
"""What is known without a look at the address."""

_NOT_OPTIONS = frozenset({"host", "base_url", "api_key", "allow_net"})


def configs_of(settings: Settings) -> tuple[ProviderConfig, ...]:
    """Returns the user's providers in order, then one of each kind that is not configured."""
    given = settings.cascade_providers
    kinds = {each.kind for each in given}
    return (*given, *(ProviderConfig(kind, kind) for kind in CLASSES if kind not in kinds))


def router_for(
    settings: Settings,
    folder: Path | None,
    environ: Mapping[str, str],
    *,
    root: Path,
    more: Sequence[Entry] = (),
) -> Router:
    """Returns the router of the settings; nothing is imported or asked before a model is.

    Args:
        settings: who is configured, and when a breaker opens.
        folder: where the shared state lies; None keeps it in memory.
        environ: holds keys, and the addresses that other programs use too.
        root: the work tree, in which files with weights are looked for.
        more: those who answer from elsewhere than a model, such as earlier runs.
    """
    clock = SystemClock()
    policy = Policy(settings.circuit_breaker_threshold, settings.circuit_breaker_pause_s)
    configs = configs_of(settings)
    keys = [key_of(each, environ) for each in configs]
    entries = [*(_entry(each, environ, root) for each in configs), *more]
    return Router(entries, ProviderState(folder, clock, policy), clock, secrets=[key for key in keys if key])


def address_of(config: ProviderConfig, environ: Mapping[str, str]) -> str | None:
    """Returns where a provider's server stands: the setting, else the variable, else the usual place."""
    if config.kind == "ollama":
        return config.base_url or environ.get("OLLAMA_HOST") or _OLLAMA
    if config.kind == "openai":
        return config.base_url or environ.get("OPENAI_BASE_URL") or _OPENAI
    return None


def address_for(settings: Settings, name: str, environ: Mapping[str, str]) -> str:
    """Returns where the server of a provider stands, by the provider's name; empty for one that has no server."""
    return next((address_of(each, environ) or "" for each in configs_of(settings) if each.name == name), "")


def key_of(config: ProviderConfig, environ: Mapping[str, str]) -> str | None:
    """Returns a provider's key. A server of the settings gets the one that they name, and no other (B56)."""
    if config.api_key_env is not None:
        return dict(environ).get(config.api_key_env)
    return environ.get("OPENAI_API_KEY") if config.kind == "openai" and config.base_url is None else None


def _entry(config: ProviderConfig, environ: Mapping[str, str], root: Path) -> Entry:
    leaves = _leaves(address_of(config, environ))
    make = partial(_make, config, leaves, environ, root)
    return Entry(config.name, config.kind, make, concurrency=config.concurrency, leaves=leaves)


def _leaves(address: str | None) -> bool:
    """Says whether what is sent there leaves this machine; one that cannot be read is taken for far away."""
    if address in _LEAVES:
        return _LEAVES[address]
    from timelab.providers.http import parse_place

    try:
        return not parse_place(str(address), port=0).is_loopback
    except UsageError:
        return True


def _make(config: ProviderConfig, leaves: bool, environ: Mapping[str, str], root: Path) -> Provider:
    module, _, name = CLASSES[config.kind].partition(":")
    build: Callable[..., Provider] = getattr(importlib.import_module(module), name)
    known = inspect.signature(build).parameters
    for option in config.options:
        if option not in known or option in _NOT_OPTIONS:
            takes = ", ".join(sorted(known.keys() - _NOT_OPTIONS)) or "none"
            raise DataError(f"cascade_providers: {config.name} takes no option {option!r}", hint=f"it takes: {takes}")
    return build(**_arguments(config, leaves, environ, root))


def _arguments(config: ProviderConfig, leaves: bool, environ: Mapping[str, str], root: Path) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(config.options)
    if config.kind == "ollama":
        # The router asks nobody far away unless the spec allows the network.
        arguments |= {"host": address_of(config, environ), "allow_net": leaves}
    elif config.kind == "openai":
        arguments |= {"base_url": address_of(config, environ), "allow_net": leaves, "api_key": key_of(config, environ)}
    elif config.kind == "llamacpp":
        arguments["root"] = root / str(arguments.get("root", ""))
    return arguments
