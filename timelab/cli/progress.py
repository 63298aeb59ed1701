"""One line of progress on stderr, only where somebody looks."""

from __future__ import annotations

import shutil
import sys
import time


class Progress:
    """Rewrites one line on a terminal; says nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = False
        self._last_s = 0.0
        self._line = ""

    def name(self, what: str) -> None:
        """Says what it is about, before there is anything to count."""
        from timelab.cli.render import plain

        self._line = f"timelab: {plain(what)}"

    def __call__(self, what: str, done: int, total: int) -> None:
        """Shows `what done/total`, at most ten times a second."""
        from timelab.cli.render import plain

        self._line = f"timelab: {plain(what)} {done}/{total}"
        if self._is_due(must=done >= total):
            self._show(self._line)

    def stream(self, text: str) -> None:
        """Shows the end of what a model is saying, behind what was shown last."""
        if not self._is_due():
            return
        from timelab.cli.render import plain, text_width

        room = shutil.get_terminal_size((100, 24)).columns - text_width(self._line) - 3
        said = " ".join(plain(text).split())
        while said and text_width(said) > room:
            said = said[1:]
        self._show(f"{self._line}  {said}" if self._line else f"timelab: {said}")

    def _is_due(self, *, must: bool = False) -> bool:
        if sys.stderr is None or not sys.stderr.isatty():
            return False
        return must or time.monotonic() - self._last_s >= 0.1

    def _show(self, line: str) -> None:
        self._last_s, self._shown = time.monotonic(), True
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Takes the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
