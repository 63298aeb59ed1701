"""A gate is a condition that a rule of detect-secrets implies: wherever the rule sees a secret, the gate opens.

Only then is detect-secrets imported (200 ms, with `requests`) and asked about the piece of the line around. A test
feeds each rule's examples to its gate. Text is read as Latin-1, one sign a byte: then `\\w`, `\\s` and letter case mean
the same to gate and rule, and positions are those of the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any


@dataclass(frozen=True)
class Gate:
    """Is one rule of detect-secrets: where its class is, and what must stand in a text for it to see anything.

    `needles` are in lower case, one of them must stand in the text; `source` is the pattern of the condition, over the
    text in lower case where the rule ignores case (a pattern that ignores it itself is twice as slow). On a long line
    the rule sees what stands from `back` before to `ahead` behind the place.
    """

    module: str
    class_name: str
    needles: tuple[str, ...]
    source: str
    is_real: Callable[[str, str], bool] = lambda value, window: True
    lower: bool = False
    back: int = 512
    ahead: int = 1_536

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Returns the condition, compiled at the first text that holds a needle."""
        return re.compile(self.source)

    def find(self, text: str, lowered: str, name: str) -> Iterator[tuple[int, str]]:
        """Returns the place of the line's piece and the value for each secret that the rule finds."""
        if any(needle in lowered for needle in self.needles):
            for start, end in self._pieces(lowered if self.lower else text):
                for piece in text[start:end].split("\r"):
                    window = tame(piece)
                    for value in self.rule.analyze_string(window):
                        if self.is_real(value, window):
                            yield start, value

    def positions(self, text: str) -> Iterator[int]:
        """Returns where the condition holds, in order."""
        return (match.start() for match in self.pattern.finditer(text))

    def _pieces(self, text: str) -> Iterator[tuple[int, int]]:
        """Returns the pieces of lines that the rule must see: a short line whole, a long one in overlapping windows."""
        last_start = last_end = 0
        last_at = -self.back
        for at in self.positions(text):
            inside = last_start <= at < last_end
            if inside and (at - last_at < self.back or text[last_end : last_end + 1] in ("", "\n")):
                continue
            start, end = line_start(text, at, self.back), line_end(text, at, self.ahead)
            yield start, end
            last_start, last_end, last_at = start, end, at

    @property
    def rule(self) -> Any:
        """Returns detect-secrets' rule; only its `analyze_string` is used, which verifies nothing and keeps nothing."""
        return _load(self.module, self.class_name)

    @property
    def kind(self) -> str:
        """Returns detect-secrets' own name for the kind."""
        return str(self.rule.secret_type)


@dataclass(frozen=True)
class JwtGate(Gate):
    """Opens at `eyJ…` with a dot behind it; looks at each run of letters once, which a pattern alone would not."""

    def positions(self, text: str) -> Iterator[int]:
        """Returns where a run of base64url that holds `eyJ` and ends in a dot begins."""
        at = text.find("eyJ")
        while at >= 0:
            found = self.pattern.match(text, at)
            end = found.end() if found else at + 3
            if text[end : end + 1] == ".":
                yield at
            at = text.find("eyJ", end)


@cache
def _load(module: str, class_name: str) -> Any:
    from importlib import import_module

    return getattr(import_module(f"detect_secrets.plugins.{module}"), class_name)()


def line_start(text: str, at: int, back: int) -> int:
    """Returns the start of the line that holds `at`, or the place `back` before where that is nearer."""
    return text.rfind("\n", max(0, at - back), at) + 1 or max(0, at - back)


def line_end(text: str, at: int, ahead: int) -> int:
    """Returns the end of the line that holds `at`, or the place `ahead` behind where that is nearer."""
    end = text.find("\n", at, at + ahead)
    return end if end >= 0 else min(len(text), at + ahead)


def tame(piece: str) -> str:
    """Returns a piece in which detect-secrets' patterns cannot run away, and match as before.

    Three `*` over spaces in a row are cubic in a run of spaces, so runs end at eight. UTF-8 ñ becomes n (contraseña).
    """
    piece = piece.replace("\xc3\xb1", "n").replace("\xc3\x91", "N")
    return re.sub(r" {9,}", "        ", piece) if "         " in piece else piece
