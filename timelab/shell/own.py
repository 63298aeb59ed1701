"""Timelab's own environment as a shell: for kinds that execute no user code (design 5)."""

from __future__ import annotations

import platform
import re
from functools import cache
from importlib import metadata

from timelab.canonical import sha256_json
from timelab.manifest import Environment, ShellRecord
from timelab.shell.base import Session
from timelab.shell.measure import libc_version, nix_system

_NAME = re.compile(r"[A-Za-z0-9._-]+")


@cache
def own_session() -> Session:
    """Returns the session that stands for timelab itself; nothing is entered.

    The fingerprint is over timelab and the distributions that it needs, at their installed versions, and over the
    Python that runs them; not over what else stands beside them, nor over any path.
    """
    versions = _needed("timelab")
    tools = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "libc": libc_version(),
        "timelab": versions.get("timelab", "unknown"),
    }
    fingerprint = sha256_json({"kind": "self", "system": nix_system(), "tools": tools, "distributions": versions})
    return Session(
        path=(),
        variables={},
        read_only=(),
        record=ShellRecord(kind="self", profile="self", pinned=False, lock_sha256=None, fingerprint=fingerprint),
        environment=Environment(
            system=nix_system(), apps=tuple(f"{name}@{version}" for name, version in versions.items()), tools=tools
        ),
    )


def _needed(root: str) -> dict[str, str]:
    """Returns name → version of a distribution and all that it needs here, in order of name."""
    found: dict[str, str] = {}
    pending = [root]
    while pending:
        name = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # another platform's, or an extra that is not installed
            continue
        found[name] = distribution.version
        for line in distribution.requires or ():
            wanted = _NAME.match(line)
            if wanted and "extra ==" not in line:
                pending.append(wanted.group())
    return dict(sorted(found.items()))
