"""Two texts side by side on a terminal: wrapped to equal columns, changed words marked."""

from __future__ import annotations

import difflib
import re
import shutil
import sys

import click

from timelab.cli import render
from timelab.cli.render import text_width

WIDTH_WITHOUT_TERMINAL = 80
_GAP = " │ "
_WORDS = re.compile(r"\n|[^\S\n]+|[^\s]+")

Token = tuple[str, bool]
"""Is a word, a space or a line break, and whether it changed."""


def terminal_width() -> int:
    """Returns the width to write for: the terminal's, at least 40, or 80 where there is none."""
    if sys.stdout is None or not sys.stdout.isatty():
        return WIDTH_WITHOUT_TERMINAL
    return max(40, shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns)


def side_by_side(before: str | None, after: str | None, width: int) -> list[str]:
    """Returns the lines of two columns; None is a side that has nothing to say."""
    column = (width - len(_GAP)) // 2
    old, new = _marked(_clean(before), _clean(after))
    left = _wrap(old, column, "red") if before is not None else ["(none)"]
    right = _wrap(new, column, "green") if after is not None else ["(none)"]
    lines = []
    for number in range(max(len(left), len(right))):
        one = left[number] if number < len(left) else ""
        other = right[number] if number < len(right) else ""
        lines.append((one + " " * (column - text_width(one)) + _GAP + other).rstrip())
    return lines


def _clean(text: str | None) -> str:
    """Returns text without what could drive the terminal; line breaks stay."""
    return "\n".join(render.plain(line) for line in (text or "").split("\n"))


def _marked(before: str, after: str) -> tuple[list[Token], list[Token]]:
    """Returns the words of both texts, each with whether the other text lacks it at that place."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    kept_old, kept_new = [True] * len(old), [True] * len(new)
    for _, start_old, end_old, start_new, end_new in (x for x in matcher.get_opcodes() if x[0] != "equal"):
        kept_old[start_old:end_old] = [False] * (end_old - start_old)
        kept_new[start_new:end_new] = [False] * (end_new - start_new)
    return (
        [(word, not kept) for word, kept in zip(old, kept_old, strict=True)],
        [(word, not kept) for word, kept in zip(new, kept_new, strict=True)],
    )


def _wrap(tokens: list[Token], width: int, colour: str) -> list[str]:
    lines, line, used = [], "", 0
    for word, is_changed in tokens:
        if word == "\n":
            lines.append(line.rstrip())
            line, used = "", 0
            continue
        for piece in _pieces(word, width):
            size = text_width(piece)
            if used + size > width:
                lines.append(line.rstrip())
                line, used = "", 0
                if piece.isspace():
                    continue
            line += click.style(piece, fg=colour) if is_changed and render.is_colourful() else piece
            used += size
    return [*lines, line.rstrip()]


def _pieces(word: str, width: int) -> list[str]:
    """Returns a word in pieces that fit into a column."""
    pieces, piece, used = [], "", 0
    for sign in word:
        size = text_width(sign)
        if used + size > width and piece:
            pieces.append(piece)
            piece, used = "", 0
        piece, used = piece + sign, used + size
    return [*pieces, piece] if piece else pieces


def rule(title: str, width: int) -> str:
    """Returns a title with a line to the right edge."""
    return f"── {title} " + "─" * max(0, width - text_width(title) - 4)
