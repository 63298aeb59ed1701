"""The Shell protocol: from a profile's pins at a commit to a session that a command can be run in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from timelab.manifest import Environment, ShellRecord


@dataclass(frozen=True)
class ShellRequest:
    """Is what a shell is entered with.

    `read` returns the bytes of a file of the commit, or None; `paths` are all file paths there; `cache` is a folder of
    ours in the common git dir; `pin` is the profile's entry for this kind of shell (a folder for uv, a flake
    attribute for nix), or None where the configuration has none and the defaults of design 5 apply. `names_pins` says
    whether the configuration names a pin for any profile.
    """

    profile: str
    read: Callable[[str], bytes | None]
    paths: tuple[str, ...]
    cache: Path
    pin: str | None = None
    names_pins: bool = False


@dataclass(frozen=True)
class Session:
    """Is an entered shell: how to run a command in it, and what it is.

    `path` are folders for PATH, in order; `variables` are set in the task's environment; `read_only` are folders that
    the sandbox must show at their own path (the environment, its interpreter).
    """

    path: tuple[Path, ...]
    variables: Mapping[str, str]
    read_only: tuple[Path, ...]
    record: ShellRecord
    environment: Environment


class Shell(Protocol):
    """Turns a profile into a session. Must not read the user's environment or touch the work tree."""

    kind: str

    def has_profile(self, request: ShellRequest) -> bool:
        """Says whether this shell can serve the profile here; must not build anything."""

    def enter(self, request: ShellRequest) -> Session:
        """Builds or finds the environment; raises `ShellError` (70) when it cannot be had."""
