"""The unpinned shell: the machine's own programs; only where the spec says so or nothing is pinned (design 5)."""

from __future__ import annotations

import json
import os
from pathlib import Path

from timelab.atomic import write_atomic
from timelab.canonical import sha256_json
from timelab.manifest import Environment, ShellRecord
from timelab.shell.base import Session, ShellRequest
from timelab.shell.measure import SYSTEM_PATH, TOOLS, measure_tools, nix_system

PROFILE = "host"


def has_pins(paths: tuple[str, ...]) -> bool:
    """Says whether the commit holds any pin where none needs to be named.

    That is a flake with its lock, or a uv.lock at the root or under `env/`.
    """
    known = set(paths)
    if {"flake.nix", "flake.lock"} <= known or {"pyproject.toml", "uv.lock"} <= known:
        return True
    return any(path.startswith("env/") and path.count("/") == 2 and path.endswith("/uv.lock") for path in paths)


class HostShell:
    """Serves the profile `host`, and every profile of a repository without pins."""

    kind = "host"

    def has_profile(self, request: ShellRequest) -> bool:
        """Says whether the host may serve: asked for by name, or nothing is pinned."""
        return request.profile == PROFILE or not (request.names_pins or has_pins(request.paths))

    def enter(self, request: ShellRequest) -> Session:
        """Returns the system's folders; versions are measured again when one of the programs has changed."""
        tools = _measured(request.cache / "shells" / "host.json")
        fingerprint = sha256_json({"kind": self.kind, "system": nix_system(), "tools": tools})
        return Session(
            path=SYSTEM_PATH,
            variables={},
            read_only=(),
            record=ShellRecord(
                kind="host", profile=request.profile, pinned=False, lock_sha256=None, fingerprint=fingerprint
            ),
            environment=Environment(system=nix_system(), apps=(), tools=tools),
        )


def _measured(cache: Path) -> dict[str, str]:
    stamp = _stamp()
    try:
        kept = json.loads(cache.read_bytes())
        if kept["stamp"] == stamp:
            return {str(name): str(version) for name, version in kept["tools"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # absent, or not of our writing: measured anew
    tools = measure_tools(SYSTEM_PATH, {}, ())
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(cache, json.dumps({"stamp": stamp, "tools": tools}).encode())
    return tools


def _stamp() -> str:
    """Returns a digest of what the programs look like from outside, and of the libc beneath them."""
    seen = []
    for tool in (*TOOLS, "../lib/os-release"):
        for folder in SYSTEM_PATH:
            try:
                state = os.stat(folder / tool)  # noqa: PTH116 - follows /bin -> usr/bin without resolving twice
            except OSError:
                continue
            seen.append([str(folder / tool), state.st_size, str(state.st_mtime_ns), state.st_ino])
            break
    return sha256_json(seen)
