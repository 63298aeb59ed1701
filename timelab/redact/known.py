"""Secrets that are known by their value: those of the variables that a spec passes to its task.

Only variables with a name that sounds secret count. With all of them, `env: [LANG]` or `env: [HOME]` would fail every
run that prints its language or a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from timelab.redact.rules import PLACEHOLDERS

_SECRET_NAME = re.compile(
    r"(?i:key|token|secret|pass|pwd|cred|auth(?!or)|macaroon|private|cookie|bearer|mnemonic|dsn|jwt|(?:^|_)(?:pw|psk|pin)$)"
)
# A name that says where a secret lies, or who someone is, holds none itself.
_PLACE_NAME = re.compile(
    r"(?i:(?:_|^)(?:file|path|dir|sock|socket|home|user|username|host|port|type|method|mode|timeout)$)"
)
_IN_ADDRESS = re.compile(r"://[^\s/@]*:(?P<value>[^\s/@]+)@")
_SHORTEST, _SHORTEST_LINE = 6, 16
# What development set-ups use for want of a secret: as words they stand in any log.
_WORDS = frozenset(
    {
        "anonymous",
        "changeme",
        "default",
        "develop",
        "development",
        "disabled",
        "docker",
        "enabled",
        "example",
        "guest",
        "localhost",
        "nobody",
        "optional",
        "password",
        "postgres",
        "production",
        "public",
        "secret",
        "staging",
        "testing",
        "unknown",
    }
)


def known_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns value → name for those of a task's variables that hold a secret, and for passwords in an address.

    Args:
        variables: what the task is given, name → value. Values of fewer than 6 signs, words such as `true` and
            `postgres`, numbers of fewer than 8 digits and paths of files that are there are no secrets.
    """
    found: dict[str, str] = {}
    for name, value in sorted(variables.items()):
        for candidate in _candidates(name, value):
            if _is_telling(candidate):
                found.setdefault(candidate, name)
    return found


def _candidates(name: str, value: str) -> Iterator[str]:
    yield from (match["value"] for match in _IN_ADDRESS.finditer(value))
    if not _SECRET_NAME.search(name) or _PLACE_NAME.search(name):
        return
    lines = [line.strip() for line in value.splitlines() if line.strip()]
    if len(lines) == 1:
        yield lines[0]
    else:
        # A key over several lines is told by any of them; its first and last are the same for every key.
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE and not line.startswith("-----"))


def _is_telling(value: str) -> bool:
    if len(value) < _SHORTEST or value.lower() in PLACEHOLDERS | _WORDS:
        return False
    if value.isdigit() and len(value) < 8:
        return False
    if len(set(value)) == 1:
        return False
    return not (value.startswith(("/", "~/", "./", "../")) and Path(value).expanduser().exists())


def known_matches(text: str, known: Mapping[str, str]) -> Iterator[tuple[int, str, str]]:
    """Yields place, name and value for each known secret in a text that is read as Latin-1."""
    for value, name in known.items():
        sought = value.encode("utf-8", "surrogateescape").decode("latin-1")
        at = text.find(sought)
        while at >= 0:
            yield at, name, sought
            at = text.find(sought, at + len(sought))
