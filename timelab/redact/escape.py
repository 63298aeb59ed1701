"""Makes text from outside safe to show: terminals, CSV cells, and secrets that travel."""

from __future__ import annotations

import re
from typing import NoReturn

MASKED = "***"

# C0 and C1 controls (with them every CSI, OSC and DCS sequence), DEL, bidirectional controls, line and paragraph
# separators, invisible signs that can hide text (U+200B, U+2060–U+206F, U+FEFF, tags) and lone surrogates.
# The joiners U+200C and U+200D stay: scripts and emoji need them.
_UNSAFE = (
    "\\x00-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"
    "\\ud800-\\udfff\\U000e0000-\\U000e007f"
)
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA = frozenset("=+-@\t\r\n|%＝＋－＠")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def escape_terminal(text: str, *, multiline: bool = False) -> str:
    r"""Returns `text` with control, escape, bidirectional and hiding signs made visible as `\n`, `\x1b`, `\u202e` ….

    Args:
        text: anything, lone surrogates included.
        multiline: keeps line feeds and tabs as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return re.sub(f"[{_UNSAFE}]", lambda match: _visible(match.group(), multiline), text)


def _visible(sign: str, multiline: bool) -> str:
    if multiline and sign in "\n\t":
        return sign
    code = ord(sign)
    if sign in _NAMES:
        return _NAMES[sign]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape_csv(cell: str) -> str:
    """Returns a cell that no spreadsheet takes for a formula; numbers stay as they are. Quoting is the csv module's.

    Source: OWASP, CSV Injection: a leading `=`, `+`, `-`, `@`, tab or return starts a formula, also in full width.
    """
    shown = escape_terminal(cell)
    start = cell.lstrip(" ")[:1]
    if start in _FORMULA and start and not _NUMBER.fullmatch(cell):
        return "'" + shown
    return shown


class Secret:
    """Holds a secret value that shows itself nowhere by accident: `str`, `repr` and formatting give `***`.

    Not a subclass of `str`, so that joining or encoding it fails instead of leaking. `reveal` gives the value.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Returns the value; call it only where it is sent."""
        return self._value

    def __str__(self) -> str:
        return MASKED

    def __repr__(self) -> str:
        return "Secret(***)"

    def __format__(self, spec: str) -> str:
        return format(MASKED, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        import hmac

        return hmac.compare_digest(self._value.encode("utf-8", "replace"), other._value.encode("utf-8", "replace"))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
