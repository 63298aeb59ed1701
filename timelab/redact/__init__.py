"""Finds secrets, masks them, and makes foreign text safe to show (requirements A187, A188, design 4).

`find_secrets` says where a secret stands and of what kind, never what it is. detect-secrets judges every candidate;
since importing it costs five times as much as a small run's whole scan, a gate that each of its rules implies decides
first whether there is a candidate at all (`plugins.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from timelab.redact.escape import MASKED, Secret, escape_csv, escape_terminal

__all__ = [
    "MASKED",
    "Finding",
    "Secret",
    "escape_csv",
    "escape_terminal",
    "find_secrets",
    "known_secrets",
    "mask",
    "scan_folder",
]


class Finding(NamedTuple):
    """Is a place where a secret stands: the line from 1 (0 is the file's name) and its kind; never the value."""

    line: int
    kind: str


def find_secrets(data: bytes, name: str) -> list[Finding]:
    """Returns where secrets stand in `data`, in order of line and kind, each pair once.

    Text in any encoding that keeps ASCII, UTF-16, JSON with escapes and binary data are read alike; the time is linear
    in the size. `name` is the file's name: in configuration files (YAML, TOML, INI …) a value needs no quotes.
    A key word's value of more than 12 KiB on one line is not seen; formats with a name of their own are, at any length.
    """
    from timelab.redact.scan import hits

    return sorted({Finding(hit.line, hit.kind) for hit in hits(data, name)})


def known_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns value → name for those of a task's variables that hold a secret (see `timelab.redact.known`)."""
    from timelab.redact import known

    return known.known_secrets(variables)


def scan_folder(path: Path, known: Mapping[str, str] | None = None) -> list[tuple[str, Finding]]:
    """Returns the secrets in the regular files of a folder and in their names, in order of path and line.

    `known` are secrets by value, from `known_secrets`. Links are not followed. The path is relative to the folder;
    where the finding's line is 0 the path holds the secret.
    """
    from timelab.redact.scan import folder_hits

    return [(name, Finding(line, kind)) for name, line, kind in folder_hits(path, known or {})]


def mask(text: str, known: Mapping[str, str] | None = None) -> str:
    """Returns `text` with every secret that `find_secrets` sees replaced by `***`, and those that are `known`.

    What has none comes back as it is. Where a secret cannot be told from its surroundings, or is written with
    escapes, its whole line is replaced.
    """
    from timelab.redact.masking import masked

    return masked(text, known or {})
