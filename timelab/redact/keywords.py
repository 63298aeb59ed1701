"""The gate of detect-secrets' rule for key words: assignments to names that sound secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from timelab.redact.gates import Gate, line_end, line_start, tame
from timelab.redact.rules import is_literal

# detect_secrets.plugins.keyword.DENYLIST, in lower case, with ñ in Latin-1 and UTF-8.
KEYWORDS = (
    r"(?:api|auth|service|account|db|database|priv|private|client)_?key|(?:db|database|key)_?pass|password|passwd|pwd"
    r"|secret|contrase(?:n|\xf1|\xe3[\xb1\x91])a"
)
# Signs before a key word that are looked at; of a value without quotes, in back ticks, and in quotes.
_CONTEXT, _UNQUOTED, _TICKED, _QUOTED = 64, 96, 512, 12_288
# The files in which the rule takes values without quotes (detect_secrets.util.filetype).
_BARE = frozenset({"yaml", "yml", "eyaml", "toml", "ini", "cfg", "cnf", "conf", "cf", "properties", "go"})
_QUOTES = "'\"`"

_SOURCES = {
    "word": r"\w*+",
    # What stands behind the name in each of the rule's patterns but one: a sign, an index and a sign, or a call.
    "sign": r"[\]'\"]{0,2}\s*+[:=!]|\[[0-9]*+\]\s*+[!=]|(?:.assign)?\(\"",
    # a name, a value in quotes and a semicolon
    "statement": r"\S{0,50}?\s*+['\"`]",
    # a value in quotes, a comparison and a name
    "compared": r"['\"`]\s*+[!=]{2,3}\s*+(?P<word>\w++)",
    "opening": r"[\]'\"]{0,2}\s*+[:=!]{0,2}=?>?\s*+@?['\"`]|\[[0-9]*+\]\s*+[!=]{1,2}\s*+@?\"|\S{0,50}?\s*+['\"`]",
    "quote": r"['\"]",
}


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_SOURCES[name])


@dataclass(frozen=True)
class KeywordGate(Gate):
    """Opens at a key word that is followed, or in a comparison preceded, by what an assignment needs.

    The rule sees each assignment alone: it looks for one match in a line, and a harmless one would hide the next.
    """

    def find(self, text: str, lowered: str, name: str) -> Iterator[tuple[int, str]]:
        """Returns the place and value of each assignment that the rule takes for a secret's."""
        if not any(needle in lowered for needle in self.needles):
            return
        bare = name.lower().rpartition(".")[2] in _BARE
        line_done = 0
        for start, end in self._assignments(text, lowered, bare):
            if start < line_done:
                continue
            context = text[line_start(text, start, _CONTEXT) : start]
            for piece in text[start:end].split("\r"):
                window = tame(piece)
                for value in self._values(window, name):
                    if is_secret_value(value, context + window):
                        line_done = line_end(text, start, len(text)) if bare else 0
                        yield start, value

    def _values(self, window: str, name: str) -> Iterator[str]:
        from detect_secrets.plugins.keyword import QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP as QUOTED
        from detect_secrets.plugins.keyword import REGEX_BY_FILETYPE
        from detect_secrets.util.filetype import determine_file_type

        by_type = REGEX_BY_FILETYPE.get(determine_file_type(name.lower()), QUOTED)
        has_quotes = any(quote in window for quote in _QUOTES)
        for patterns in [QUOTED] * has_quotes + [by_type] * (by_type is not QUOTED):
            yield from self.rule.analyze_string(window, denylist_regex_to_group=patterns)

    def _assignments(self, text: str, lowered: str, bare: bool) -> Iterator[tuple[int, int]]:
        statement = any(quote + ";" in text for quote in _QUOTES)
        done = -1
        for match in self.pattern.finditer(lowered):
            if match.start() < done:
                continue
            word = _pattern("word").match(text, match.end())
            done = word.end() if word else match.end()
            if _pattern("sign").match(text, done) or (statement and _pattern("statement").match(text, done)):
                end = _value_end(text, done, bare)
                if statement:
                    # `pwd'x'value';` is one assignment to the rule: it lets fifty signs stand before the quotes.
                    end = max(end or 0, _statement_end(text, done)) or None
                if end is not None:
                    yield self._last_keyword(lowered, match.start(), done), end
        for match in _pattern("compared").finditer(text):
            if self.pattern.search(match.group("word").lower()):
                at = match.start()
                opening = text.rfind(text[at], max(0, at - self.back), at)
                if opening >= 0:
                    yield opening, match.end()

    def _last_keyword(self, lowered: str, start: int, end: int) -> int:
        """Returns where a long name's last key word begins: the rule's patterns are quadratic in a run of them."""
        if end - start < 256:
            return start
        return max(match.start() for match in self.pattern.finditer(lowered, start, end))


_STATEMENT = 512
"""How far a statement is followed, in signs."""


def _statement_end(text: str, at: int) -> int:
    """Returns the end of the last quote with a semicolon that is near, 0 where there is none."""
    near = text[at : line_end(text, at, _STATEMENT)]
    last = max(near.rfind(quote + ";") for quote in _QUOTES)
    return at + last + 2 if last >= 0 else 0


def _value_end(text: str, at: int, bare: bool) -> int | None:
    """Returns the end of a value: its closing quote and one sign more, or as much as one without quotes may take.

    None when there are no quotes and they are needed.
    """
    opening = _pattern("opening").match(text, at)
    if opening is not None:
        # A value in quotes may hold back ticks, one in back ticks more of them, and neither the other quotes.
        ticked = text[opening.end() - 1] == "`"
        limit = line_end(text, opening.end(), _TICKED if ticked else _QUOTED)
        closing = _pattern("quote").search(text, opening.end(), limit)
        if ticked or closing is not None:
            return min(closing.end() + 1, limit) if closing else limit
    return line_end(text, at, _UNQUOTED) if bare else None


# What is shorter is `no`, `on`, `yes`, or open to anyone who tries.
_SHORTEST = 4

# Words that make a quoted value of four words or more a sentence and no pass phrase.
_PROSE = frozenset({"the", "a", "an", "of", "to", "is", "are", "in", "and", "or", "for", "that", "be", "with", "your"})


def is_secret_value(value: str, window: str) -> bool:
    """Says whether the value of a secret-sounding name may be a secret: no reference, digest, uuid or plain prose."""
    if len(value) < _SHORTEST or not is_literal(value) or _is_digest(value, window):
        return False
    at = window.find(value)
    words = value.split()
    if at > 0 and window[at - 1] in _QUOTES:
        sentence = value.rstrip()[-1:] in ".!?:" or bool(_PROSE & {word.lower() for word in words})
        return len(words) < 4 or not sentence
    if len(words) >= 3:
        return False
    # `rotate the secret: monthly` is a sentence; `- secret: monthly` is a setting.
    before = window[max(0, at - 300) : at].rstrip(" \t") if at >= 0 else ""
    return not (before.endswith(":") and re.search(r"[A-Za-z]{2,}[ \t]+\w*[\]'\"]{0,2}\s*:$", before))


_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NAMED_DIGEST = r"(?:sha(?:1|224|256|384|512)|md5|blake[23][a-z]?)[:-][A-Za-z0-9+/=]{32,}"
_DIGEST_NAME = (
    r"(?i:sha\d*|digest|hash|hashed_\w*|oid|fingerprint|checksum|_id|blob|tree|commit)"
    r"[\]'\"]{0,2}\s*[:=]{1,3}\s*['\"`]?"
)


def _is_digest(value: str, window: str) -> bool:
    if re.fullmatch(f"{_UUID}|{_NAMED_DIGEST}", value):
        return True
    if not re.fullmatch(r"[0-9a-f]{32,128}", value):
        return False
    return re.search(_DIGEST_NAME + re.escape(value), window) is not None
