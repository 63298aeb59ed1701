"""Masks secrets in text that is logged or reported."""

from __future__ import annotations

import re
from collections.abc import Mapping

from timelab.redact.escape import MASKED
from timelab.redact.scan import NONE, hits

# A secret's neighbours that belong to it: the rest of a token whose rule names only its beginning or its middle.
_END_OF_TOKEN = re.compile(r"[\s\"'`,;<>(){}\[\]]")
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 -]{0,60}-----|\Z)", re.S
)
_ROUNDS = 4


def masked(text: str, known: Mapping[str, str] = NONE) -> str:
    """Returns the text without its secrets (see `timelab.redact.mask`)."""
    data = text.encode("utf-8", "surrogatepass")
    found = hits(data, "", known)
    if not found:
        return text
    body = _KEY_BLOCK.sub(MASKED, data.decode("latin-1"))
    for _ in range(_ROUNDS):
        found = hits(body.encode("latin-1"), "", known)
        if not found:
            break
        lines = body.split("\n")
        for hit in found:
            lines[hit.line - 1] = _without(lines[hit.line - 1], hit.value)
        body = "\n".join(lines)
    for hit in hits(body.encode("latin-1"), "", known):
        lines = body.split("\n")
        lines[hit.line - 1] = MASKED
        body = "\n".join(lines)
    return body.encode("latin-1").decode("utf-8", "replace")


def _without(line: str, value: str) -> str:
    """Returns the line without the value and the token around it; the line goes when the value is not there as such."""
    if not value or value not in line:
        return line if MASKED in line else MASKED
    out, at = [], 0
    while (found := line.find(value, at)) >= 0:
        start = found
        while start > at and not _END_OF_TOKEN.match(line[start - 1]):
            start -= 1
        after = _END_OF_TOKEN.search(line, found + len(value))
        out += [line[at:start], MASKED]
        at = after.start() if after else len(line)
    return "".join(out) + line[at:]
