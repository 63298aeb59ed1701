"""Which files of a repository are specs, told by their paths. No pydantic here: every commit asks."""

from __future__ import annotations

import re
from functools import lru_cache

SPEC_PATTERNS: tuple[str, ...] = (
    "specs/**/*.json",
    "specs/**/*.yaml",
    "specs/**/*.yml",
    "specs/**/*.toml",
    "[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]/ai-team/specs/*.json",
    "[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]/ai-team/specs/*.yaml",
    "[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]/ai-team/specs/*.yml",
    "[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]/ai-team/specs/*.toml",
    "**/*.spec.json",
    "**/*.spec.yaml",
    "**/*.spec.yml",
    "**/*.spec.toml",
)
"""Which files of a repository are specs, as git's `:(glob)` pathspecs (design 2)."""

EXCLUDED_FOLDERS: frozenset[str] = frozenset({"artifacts", "outputs"})
"""A model's own output must not become a spec."""


def glob_matches(pattern: str, path: str) -> bool:
    """Says whether `path` fits git's `:(glob)` pattern: `**/` spans folders, `*` does not cross `/` (gitglossary(7)).

    Takes time in proportion to both lengths whatever the pattern, for patterns come from specs that others wrote.
    """
    wanted = _segments(pattern)
    parts = path.split("/")
    # `fits` are the numbers of leading segments of the path that the pattern so far can stand for.
    fits = {0}
    for number, segment in enumerate(wanted):
        if not fits:
            return False
        if segment is None:
            least = 1 if number == len(wanted) - 1 else 0
            fits = set(range(min(fits) + least, len(parts) + 1))
        else:
            fits = {at + 1 for at in fits if at < len(parts) and segment.fullmatch(parts[at])}
    return len(parts) in fits


@lru_cache(maxsize=4096)
def _segments(pattern: str) -> tuple[re.Pattern[str] | None, ...]:
    """Returns one regular expression for each part of the pattern, None for `**`."""
    return tuple(None if part == "**" else re.compile(_segment_regex(part)) for part in pattern.split("/"))


def _segment_regex(part: str) -> str:
    chunks, at = [""], 0
    while at < len(part):
        end = part.find("]", at + 2 + (part[at + 1 : at + 2] in ("!", "^"))) if part[at] == "[" else -1
        if part[at] == "*":
            chunks.append("")
        elif part[at] == "?":
            chunks[-1] += "."
        elif end > 0:
            chunks[-1] += _class_regex(part[at + 1 : end])
            at = end
        else:
            chunks[-1] += re.escape(part[at])
        at += 1
    if len(chunks) == 1:
        return f"(?s:{chunks[0]})"
    # Between two stars the first place that fits is as good as any later one, so that no star needs a second try:
    # atomic groups say so, and keep hostile patterns from taking exponential time (as fnmatch does since 3.9).
    inner = "".join(f"(?>.*?{chunk})" for chunk in chunks[1:-1] if chunk)
    return f"(?s:{chunks[0]}{inner}.*{chunks[-1]})"


def _class_regex(body: str) -> str:
    negated = body[0] in "!^"
    signs = body[1:] if negated else body
    out, at = "", 0
    while at < len(signs):
        if signs[at + 1 : at + 2] == "-" and at + 2 < len(signs):
            if signs[at] <= signs[at + 2]:
                out += f"{re.escape(signs[at])}-{re.escape(signs[at + 2])}"
            at += 3
        else:
            out += re.escape(signs[at])
            at += 1
    if not out:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{out}]"


def is_spec_path(path: str, extra_patterns: tuple[str, ...] = ()) -> bool:
    """Says whether the path of a committed file is one of a spec; its content decides the rest (`is_ours`)."""
    if EXCLUDED_FOLDERS.intersection(path.split("/")[:-1]):
        return False
    return any(glob_matches(pattern, path) for pattern in (*SPEC_PATTERNS, *extra_patterns))
